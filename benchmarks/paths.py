"""Times the measurement of a path against the usual way, and against one network after the other in memory.

The images are made up, because speed does not depend on their content. Their number is a fraction of the real one,
the same for all ways. The number of alphas is the real one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.pictures import NUM_CLASSES, Pictures, in_memory
from benchmarks.rounds import alternate, columns
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.walk import Path, measure_path

BATCH_SIZE = 1000
NUM_ALPHAS = 21
CPU = torch.device("cpu")
ENGINES = ("exact", "fast")


@dataclass(frozen=True)
class Case:
    """A row of the table: a network, its images, and how many of them."""

    name: str
    model: str
    shape: tuple[int, int, int]
    num_test: int
    num_train: int
    """Both training sides together."""
    num_rounds: int = 3


def cases() -> tuple[Case, ...]:
    """List the cases, at a tenth of the size of MNIST and CIFAR-10 (ResNet10: a thirty-fifth)."""
    mnist, cifar = (1, 28, 28), (3, 32, 32)
    return (
        Case("MNIST MLP L1", "mlp_l1_w587", mnist, 1000, 6000),
        Case("MNIST MLP L3", "mlp_l3_w256_512_256", mnist, 1000, 6000),
        Case("CIFAR-10 MLP L1", "mlp_l1_w126", cifar, 1000, 5000),
        Case("MNIST ResNet10", "resnet10", mnist, 1000, 1000, 1),
    )


def measure(
    device: torch.device = CPU, rows: Iterable[Case] | None = None, num_rounds: int | None = None
) -> list[dict[str, Any]]:
    """Return one row for each case: speed of each engine against the usual way, largest difference of a loss."""
    return [_measure(case, num_rounds or case.num_rounds, device) for case in (cases() if rows is None else rows)]


def _measure(case: Case, num_rounds: int, device: torch.device) -> dict[str, Any]:
    spec = NetworkSpec(case.model, *case.shape, NUM_CLASSES)
    network, other, scratch = (build_network(spec, seed).to(device).eval() for seed in (1, 2, 1))
    segment, alphas = Segment(network.state_dict(), other.state_dict()), alpha_grid(NUM_ALPHAS)
    counts = {"test": case.num_test, "train_a": case.num_train // 2, "train_b": case.num_train // 2}
    pictures = {name: Pictures(case.shape, count, seed) for seed, (name, count) in enumerate(counts.items())}
    splits = {name: in_memory(dataset, device) for name, dataset in pictures.items()}
    walked: dict[str, Path] = {}
    usual: dict[str, list[float]] = {}

    def ours(engine: str) -> Callable[[], None]:
        def way() -> None:
            walked[engine] = measure_path(network, segment, alphas, splits, "interpolate", engine=engine)

        return way

    ways: dict[str, Callable[[], object]] = {
        "usual": lambda: usual.update(_usual(scratch, segment, alphas.tolist(), pictures, device)),
        **{engine: ours(engine) for engine in ENGINES},
    }
    times = alternate(ways, num_rounds, warm_up=device.type == "cuda", device=device)
    row: dict[str, Any] = {"case": case.name, "alphas": NUM_ALPHAS, "images": sum(counts.values())}
    for engine in ENGINES:
        difference = max(float(np.abs(walked[engine].losses[split] - usual[split]).max()) for split in splits)
        row |= columns(engine, times["usual"], times[engine], difference, device)
    return row


@torch.no_grad()
def _usual(
    network: torch.nn.Module,
    segment: Segment,
    alphas: list[float],
    data: dict[str, Pictures],
    device: torch.device,
) -> dict[str, list[float]]:
    """Load the network at each alpha, loop over a DataLoader of each split, and return the losses."""
    losses: dict[str, list[float]] = {split: [] for split in data}
    for alpha in alphas:
        network.load_state_dict(segment.point(alpha))
        for split, dataset in data.items():
            total, correct = 0.0, 0
            for images, labels in DataLoader(dataset, batch_size=BATCH_SIZE):
                x, y = images.to(device), labels.to(device)
                outputs = network(x)
                total += torch.nn.functional.nll_loss(outputs, y, reduction="sum").item()
                correct += int((outputs.argmax(dim=1) == y).sum())
            losses[split].append(total / len(dataset))
    return losses
