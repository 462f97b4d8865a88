"""Times one epoch of a pair against the usual way: torchvision with transforms for each sample, and plain Adam.

The usual way is that of the paper: a DataLoader without workers, two trainings one after the other, a test after each
epoch. The images are made up, because speed does not depend on their content. Their number is a fraction of the real
one, with the real ratio of training to test.
"""

import copy
import ctypes
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.pictures import NUM_CLASSES, Pictures, in_memory
from benchmarks.rounds import Action, Preparation, alternate_prepared, columns
from lmc_mlflow.batches import Images
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.seeds import global_stream
from lmc_mlflow.training.engines.table import choose_engine
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.machine import keep_freed_memory

NUM_ROUNDS = 3
CPU = torch.device("cpu")
ENGINES = ("exact", "fast")
GLIBC_AFTER_A_WHILE = ((-4, 65536), (-3, 2**25), (-1, 2**26), (-2, 2**17))
"""M_MMAP_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD as they are once large blocks have been freed."""


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
    num_rounds: int = NUM_ROUNDS


def cases() -> tuple[Case, ...]:
    """List the cases."""
    mnist, cifar = (1, 28, 28), (3, 32, 32)
    return (
        Case("MNIST MLP L1, batches of 1024", "mlp_l1_w587", mnist, 1024, False, 6000, 2000),
        Case("MNIST MLP L1, batches of 32", "mlp_l1_w587", mnist, 32, False, 6000, 2000),
        Case("CIFAR-10 MLP L1, batches of 1024", "mlp_l1_w126", cifar, 1024, True, 6000, 2400),
        Case("CIFAR-10 MLP L1, batches of 32", "mlp_l1_w126", cifar, 32, True, 6000, 2400),
        Case("MNIST MLP L3, batches of 32", "mlp_l3_w256_512_256", mnist, 32, False, 6000, 2000),
        Case("MNIST MLP L3 with batch norm, batches of 32", "mlp_l3_w256_512_256_bn", mnist, 32, False, 6000, 2000),
        Case("MNIST ResNet10, batches of 1024", "resnet10", mnist, 1024, False, 1024, 340, 2),
        Case("MNIST ResNet10, batches of 32", "resnet10", mnist, 32, False, 512, 170, 2),
    )


class Workload:
    """A case with its images: each way trains both sides for one epoch from the same start and the same noise."""

    def __init__(self, case: Case, device: torch.device) -> None:
        self._case, self._device = case, device
        self._config = OptimizationConfig(epochs=1, batch_size=case.batch_size)
        self._start = build_network(NetworkSpec(case.model, *case.shape, NUM_CLASSES), seed=1).to(device)
        counts = (case.num_train, case.num_train, case.num_test)
        flips = (case.flips, case.flips, False)
        self._pictures = [
            Pictures(case.shape, count, seed, flip)
            for seed, (count, flip) in enumerate(zip(counts, flips, strict=True))
        ]
        self._tensors = [in_memory(Pictures(case.shape, count, seed), device) for seed, count in enumerate(counts)]
        self.trained: dict[str, list[nn.Module]] = {}

    def usual(self) -> Action:
        """Prepare to train both sides by Algorithm 1 of Hepburn et al., as it is usually written."""
        _forget_memory_settings()
        networks = [copy.deepcopy(self._start) for _ in self._pictures[:2]]

        def epoch() -> None:
            for network, side in zip(networks, self._pictures[:2], strict=True):
                _usual_epoch(network, side, self._pictures[2], self._case.batch_size, self._device)
            self.trained["usual"] = networks

        return epoch

    def ours(self, choice: str) -> Preparation:
        """Return what prepares to train both sides with an engine of this project, on images in memory."""

        def prepare() -> Action:
            keep_freed_memory()
            trainees = [self._trainee(side, *data) for side, data in zip("AB", self._tensors[:2], strict=True)]
            row = choose_engine(choice, trainees, self._config)
            assert row.is_exact == (choice == "exact")
            training = row.start(trainees, self._config, self._case.flips)

            def epoch() -> None:
                training.train_epoch(1)
                for trainee in trainees:
                    evaluate(trainee.network, *self._tensors[2])
                self.trained[choice] = [trainee.network for trainee in trainees]

            return epoch

        return prepare

    def _trainee(self, side: str, images: Images, labels: Tensor) -> Trainee:
        network = copy.deepcopy(self._start)
        noise = noise_stream(NoiseConfig(noise_scope="paper"), 1, side, self._device)
        return Trainee(side, network, make_optimizer(network.parameters(), self._config), noise, images, labels)

    def largest_difference(self, way: str) -> float:
        """Return the largest difference of any weight from that of the usual way."""
        return max(
            float((p - q).detach().abs().max())
            for network, usual in zip(self.trained[way], self.trained["usual"], strict=True)
            for p, q in zip(network.parameters(), usual.parameters(), strict=True)
        )


def measure(
    device: torch.device = CPU, rows: Iterable[Case] | None = None, num_rounds: int | None = None
) -> list[dict[str, Any]]:
    """Return one row for each case: speed of each engine against the usual way, largest difference of a weight."""
    return [_measure(case, num_rounds or case.num_rounds, device) for case in (cases() if rows is None else rows)]


def _measure(case: Case, num_rounds: int, device: torch.device) -> dict[str, Any]:
    work = Workload(case, device)
    ways = {"usual": work.usual, **{engine: work.ours(engine) for engine in ENGINES}}
    times = alternate_prepared(ways, num_rounds, warm_up=device.type == "cuda", device=device)
    row: dict[str, Any] = {"case": case.name, "images a side": case.num_train}
    for engine in ENGINES:
        row |= columns(engine, times["usual"], times[engine], work.largest_difference(engine), device)
    return row


def _forget_memory_settings() -> None:
    """Restore the default memory settings of the C library, which the usual way uses."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for setting, value in GLIBC_AFTER_A_WHILE:
            libc.mallopt(setting, value)
        libc.malloc_trim(0)


def _usual_epoch(network: nn.Module, side: Pictures, test: Pictures, batch_size: int, device: torch.device) -> None:
    """Train one epoch and test once, reading loss and accuracy after every batch, as is usual."""
    optimizer = torch.optim.Adam(network.parameters(), lr=OptimizationConfig().lr)
    loss_sum, num_correct = 0.0, 0
    with global_stream(0, device):  # noise_scope=paper: the loop of Algorithm 1 starts at 0
        network.train()
        for images, labels in DataLoader(side, batch_size, shuffle=True):
            x, y = images.to(device), labels.to(device)
            optimizer.zero_grad()
            outputs = network(x)
            loss = functional.nll_loss(outputs, y)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            num_correct += int((outputs.argmax(dim=1) == y).sum())
        network.eval()
        with torch.no_grad():
            for images, labels in DataLoader(test, batch_size):
                x, y = images.to(device), labels.to(device)
                outputs = network(x)
                loss_sum += functional.nll_loss(outputs, y, reduction="sum").item()
                num_correct += int((outputs.argmax(dim=1) == y).sum())
    assert np.isfinite(loss_sum)
