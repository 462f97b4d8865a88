"""How fast is an epoch of a pair, against the usual way: torchvision and its transforms per sample, plain Adam?

The usual way is the paper's: a DataLoader without workers, two trainings one after the other, each epoch with its
test. The images are made up: speed does not depend on what they show. Their number is a part of the real one, in
the real proportion of training to test.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from benchmarks.rounds import Times, alternate
from lmc_mlflow.config.sections import NoiseConfig, OptimizationConfig
from lmc_mlflow.images import ResidentImages
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.training.loop import Trainee, train
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer

NUM_ROUNDS = 5
NUM_CLASSES = 10
MEAN, DEVIATION = 0.5, 0.25
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A row of the table: a network, its images, and how many of them."""

    name: str
    model: str
    shape: tuple[int, int, int]
    batch_size: int
    flips: bool
    num_train: int
    """Of each side."""
    num_test: int
    engines: tuple[str, ...] = ("exact", "fast")


def cases() -> tuple[Case, ...]:
    """The networks of the project's goals; convolutional networks have no fast engine."""
    mnist, cifar = (1, 28, 28), (3, 32, 32)
    return (
        Case("MNIST MLP L1, batches of 1024", "mlp_l1_w587", mnist, 1024, False, 6000, 2000),
        Case("MNIST MLP L1, batches of 32", "mlp_l1_w587", mnist, 32, False, 6000, 2000),
        Case("CIFAR-10 MLP L1, batches of 1024", "mlp_l1_w126", cifar, 1024, True, 6000, 2400),
        Case("CIFAR-10 MLP L1, batches of 32", "mlp_l1_w126", cifar, 32, True, 6000, 2400),
        Case("MNIST MLP L3, batches of 32", "mlp_l3_w256_512_256", mnist, 32, False, 6000, 2000),
        Case("CIFAR-10 ResNet10, batches of 1024", "resnet10", cifar, 1024, True, 1024, 400, ("exact",)),
        Case("CIFAR-10 ResNet10, batches of 32", "resnet10", cifar, 32, True, 512, 200, ("exact",)),
    )


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """What torchvision's MNIST and CIFAR10 do for each sample: an array, a PIL image, the transforms."""

    def __init__(self, pixels: NDArray[np.uint8], labels: Tensor, flips: bool) -> None:
        self._pixels, self._labels = pixels, labels.tolist()
        channels = pixels.shape[3]
        scaling = [transforms.ToTensor(), transforms.Normalize((MEAN,) * channels, (DEVIATION,) * channels)]
        self._transform = transforms.Compose([*[transforms.RandomHorizontalFlip()] * flips, *scaling])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self._pixels[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return self._transform(image), self._labels[index]


class Workload:
    """A case with its images: each way trains both sides for one epoch from the same start and the same noise."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._config = OptimizationConfig(epochs=1, batch_size=case.batch_size)
        self._start = build_network(NetworkSpec(case.model, *case.shape, NUM_CLASSES), seed=1)
        counts = (case.num_train, case.num_train, case.num_test)
        drawn = [_draw(case.shape, count, seed) for seed, count in enumerate(counts)]
        flips = (case.flips, case.flips, False)
        self._pictures = [Pictures(*images, flip) for images, flip in zip(drawn, flips, strict=True)]
        self._tensors = [_in_memory(Pictures(*images, flips=False)) for images in drawn]
        self.trained: dict[str, list[nn.Module]] = {}

    def usual(self) -> None:
        """Algorithm 1 of Hepburn et al. as it is usually written."""
        networks = []
        for side in self._pictures[:2]:
            network = copy.deepcopy(self._start)
            _usual_epoch(network, side, self._pictures[2], self._case.batch_size)
            networks.append(network)
        self.trained["usual"] = networks

    def ours(self, engine: str) -> None:
        """The project's loop over images in memory."""
        trainees = []
        for side, (images, labels) in zip("AB", self._tensors[:2], strict=True):
            network = copy.deepcopy(self._start)
            noise = noise_stream(NoiseConfig(noise_scope="paper"), 1, side, CPU)
            optimizer = make_optimizer(network.parameters(), self._config)
            trainees.append(Trainee(side, network, optimizer, noise, images, labels))
        used = train(trainees, self._tensors[2], self._config, self._case.flips, 1, lambda *_: None, engine=engine)
        assert used == engine
        self.trained[engine] = [trainee.network for trainee in trainees]

    def largest_difference(self, way: str) -> float:
        """Of any weight from the usual way's."""
        return max(
            float((p - q).detach().abs().max())
            for network, usual in zip(self.trained[way], self.trained["usual"], strict=True)
            for p, q in zip(network.parameters(), usual.parameters(), strict=True)
        )


def measure(rows: Iterable[Case] | None = None, num_rounds: int = NUM_ROUNDS) -> list[dict[str, Any]]:
    """One row a case: seconds of each way, its speed against the usual way, and how far the weights are apart."""
    return [_measure(case, num_rounds) for case in (cases() if rows is None else rows)]


def _measure(case: Case, num_rounds: int) -> dict[str, Any]:
    work = Workload(case)
    ways = {"usual": work.usual, **{engine: _bound(work, engine) for engine in case.engines}}
    times = alternate(ways, num_rounds, warm_up=False)
    row: dict[str, Any] = {
        "case": case.name,
        "num_train": case.num_train,
        "num_test": case.num_test,
        "num_threads": torch.get_num_threads(),
        "usual_s": round(times["usual"].least, 3),
    }
    for engine in case.engines:
        row |= _against(times["usual"], times[engine], engine)
        row[f"{engine}_largest_difference"] = work.largest_difference(engine)
    return row


def _against(usual: Times, ours: Times, engine: str) -> dict[str, float]:
    return {
        f"{engine}_s": round(ours.least, 3),
        f"{engine}_speedup": round(usual.least / ours.least, 1),
        f"{engine}_speedup_of_medians": round(usual.median / ours.median, 1),
    }


def _bound(work: Workload, engine: str) -> Any:
    return lambda: work.ours(engine)


def _draw(shape: tuple[int, int, int], count: int, seed: int) -> tuple[NDArray[np.uint8], Tensor]:
    random = np.random.default_rng(seed)
    channels, height, width = shape
    pixels = random.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    return pixels, torch.from_numpy(random.integers(0, NUM_CLASSES, count))


def _in_memory(pictures: Pictures) -> tuple[ResidentImages, Tensor]:
    images, labels = next(iter(DataLoader(pictures, batch_size=len(pictures))))
    return ResidentImages(images), labels


def _usual_epoch(network: nn.Module, pictures: Pictures, test: Pictures, batch_size: int) -> None:
    """One training epoch and one test, losses and accuracies read as usual after every batch."""
    optimizer = torch.optim.Adam(network.parameters(), lr=OptimizationConfig().lr)
    loss_sum, num_correct = 0.0, 0
    with torch.random.fork_rng():
        torch.manual_seed(1)  # noise_scope=paper: the epoch's number
        network.train()
        for images, labels in DataLoader(pictures, batch_size, shuffle=True):
            optimizer.zero_grad()
            outputs = network(images)
            loss = functional.nll_loss(outputs, labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            num_correct += int((outputs.argmax(dim=1) == labels).sum())
        network.eval()
        with torch.no_grad():
            for images, labels in DataLoader(test, batch_size):
                outputs = network(images)
                loss_sum += functional.nll_loss(outputs, labels, reduction="sum").item()
                num_correct += int((outputs.argmax(dim=1) == labels).sum())
    assert np.isfinite(loss_sum)
