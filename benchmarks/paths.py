"""How fast is a path walked, against the usual way and against one network after the other in memory?

The images are made up: speed does not depend on what they show. Their number is a part of the real one, which
all ways share in proportion; the number of alphas is the real one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from benchmarks.rounds import alternate
from lmc_mlflow import weights
from lmc_mlflow.images import ResidentImages
from lmc_mlflow.interpolation.barriers import alpha_grid
from lmc_mlflow.interpolation.path import Path, walk
from lmc_mlflow.models.registry import NetworkSpec, build_network

BATCH_SIZE = 1000
NUM_ALPHAS = 21
NUM_ROUNDS = 3
NUM_CLASSES = 10
MEAN, DEVIATION = 0.5, 0.25


@dataclass(frozen=True)
class Case:
    """A row of the table: a network, its images, and how many of them."""

    name: str
    model: str
    channels: int
    side: int
    num_test: int
    num_train: int
    """Both training sides together."""


def cases() -> tuple[Case, ...]:
    """The networks of the project's goals, at a tenth of MNIST's and CIFAR-10's size (ResNet10: a fiftieth)."""
    return (
        Case("MNIST MLP L1", "mlp_l1_w587", 1, 28, 1000, 6000),
        Case("MNIST MLP L3", "mlp_l3_w256_512_256", 1, 28, 1000, 6000),
        Case("CIFAR-10 MLP L1", "mlp_l1_w126", 3, 32, 1000, 5000),
        Case("MNIST ResNet10", "resnet10", 1, 28, 200, 1200),
    )


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """What torchvision's MNIST and CIFAR10 do for each sample: an array, a PIL image, the transforms."""

    def __init__(self, pixels: np.ndarray[Any, np.dtype[np.uint8]], labels: Tensor) -> None:
        self._pixels, self._labels = pixels, labels.tolist()
        channels = pixels.shape[3]
        self._transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((MEAN,) * channels, (DEVIATION,) * channels)]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self._pixels[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return self._transform(image), self._labels[index]


def measure(rows: Iterable[Case] | None = None, num_rounds: int = NUM_ROUNDS) -> list[dict[str, Any]]:
    """One row a case: seconds of each way, its speed against the usual way, and how far the losses are apart."""
    return [_measure(case, num_rounds) for case in (cases() if rows is None else rows)]


def _measure(case: Case, num_rounds: int) -> dict[str, Any]:
    spec = NetworkSpec(case.model, case.channels, case.side, case.side, NUM_CLASSES)
    network, other = build_network(spec, 1), build_network(spec, 2)
    ends, alphas = (network.state_dict(), other.state_dict()), alpha_grid(NUM_ALPHAS)
    pictures = {
        "test": _pictures(case, case.num_test, 0),
        "train_a": _pictures(case, case.num_train // 2, 1),
        "train_b": _pictures(case, case.num_train // 2, 2),
    }
    splits = {name: _in_memory(dataset) for name, dataset in pictures.items()}

    def in_memory(engine: str) -> Path:
        return walk(network, ends, alphas, splits, "interpolate", engine=engine)

    scratch = build_network(spec, 1).eval()
    times = alternate(
        {
            "usual": lambda: _usual(scratch, ends, alphas.tolist(), pictures),
            "exact": lambda: in_memory("exact"),
            "fast": lambda: in_memory("fast"),
        },
        num_rounds,
        warm_up=False,
    )
    exact, fast, usual = in_memory("exact"), in_memory("fast"), _usual(scratch, ends, alphas.tolist(), pictures)
    row: dict[str, Any] = {"case": case.name, "num_alphas": NUM_ALPHAS, "num_images": case.num_test + case.num_train}
    for way, time in times.items():
        row[f"{way}_s"] = round(time.least, 3)
        row[f"{way}_speedup"] = round(times["usual"].least / time.least, 1)
        row[f"{way}_speedup_of_medians"] = round(times["usual"].median / time.median, 1)
    row["fast_over_exact"] = round(times["exact"].least / times["fast"].least, 1)
    row["largest_loss_difference"] = max(float(np.abs(fast.losses[s] - exact.losses[s]).max()) for s in splits)
    row["largest_loss_difference_to_usual"] = max(float(np.abs(fast.losses[s] - usual[s]).max()) for s in splits)
    return row


def _pictures(case: Case, num_images: int, seed: int) -> Pictures:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (num_images, case.side, case.side, case.channels), dtype=np.uint8)
    return Pictures(pixels, torch.from_numpy(random.integers(0, NUM_CLASSES, num_images)))


def _in_memory(dataset: Pictures) -> tuple[ResidentImages, Tensor]:
    images, labels = next(iter(DataLoader(dataset, batch_size=len(dataset))))
    return ResidentImages(images), labels


@torch.no_grad()
def _usual(
    network: torch.nn.Module, ends: tuple[weights.State, weights.State], alphas: list[float], data: dict[str, Pictures]
) -> dict[str, list[float]]:
    """For each alpha load the network, then loop over a DataLoader of each split; losses."""
    losses: dict[str, list[float]] = {split: [] for split in data}
    for alpha in alphas:
        network.load_state_dict(weights.interpolate(*ends, alpha))
        for split, dataset in data.items():
            total, correct = 0.0, 0
            for images, labels in DataLoader(dataset, batch_size=BATCH_SIZE):
                outputs = network(images)
                total += torch.nn.functional.nll_loss(outputs, labels, reduction="sum").item()
                correct += int((outputs.argmax(dim=1) == labels).sum())
            losses[split].append(total / len(dataset))
    return losses
