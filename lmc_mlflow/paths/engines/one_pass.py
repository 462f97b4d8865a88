"""Measures all networks of a path in one pass over the images.

The plain way loads one network of the path after the other and reads all images for each. Here every batch
is read once, and all networks see it while it lies in the cache. What the networks have in common is computed
once, what can be folded is folded (`mlp.py`, `folding.py`): sums are taken in another order, so losses
differ in the last digits of float32, and an accuracy by a sample whose two best classes tie.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow.batches import Images
from lmc_mlflow.evaluation import BATCH_SIZE
from lmc_mlflow.paths.curves import Curve
from lmc_mlflow.paths.measures import Splits
from lmc_mlflow.paths.points import LoadPoint
from lmc_mlflow.paths.samples import Kept, Point, PointBuilder

INEXACT_SPLITS = ("train", "train_a", "train_b", "unseen")
"""On all others, which are test sets, the ends of a path equal what endpoints measure, to the last bit."""
MEMORY_BUDGET = 2**31
"""Bytes for the weights and outputs of the networks that are measured together (51 VGG19 fill 4 GB)."""


class Points(Protocol):
    """The networks at some points of a path, ready to be applied together."""

    def outputs(self, images: Tensor, exact_ends: bool) -> Tensor:
        """Compute outputs (T, n, K) of T networks for images (n, C, H, W).

        Args:
            images: a batch as `evaluate` takes it.
            exact_ends: whether the networks at alpha 0 and 1 compute as in `evaluate`, to the last bit.
        """


class Plan(Protocol):
    """How the networks of one architecture are applied together."""

    def num_bytes(self) -> int:
        """Count the memory that one network takes among others, its outputs for a batch included."""

    def points(self, alphas: Sequence[float], load_point: LoadPoint) -> Points:
        """Collect the networks at these alphas; each is loaded once."""


Planner = Callable[[nn.Module, Curve, Tensor], Plan | None]
"""From a network in evaluation mode (may be overwritten), the curve and a few images; None: not a network for it."""


@torch.no_grad()
def measure_together(
    plan: Plan,
    alphas: Sequence[float],
    load_point: LoadPoint,
    splits: Splits,
    memory_budget: int,
    kept: Kept,
) -> dict[str, list[Point]]:
    """Measure the networks at all alphas: split -> one point an alpha.

    Args:
        plan: of the networks' architecture.
        alphas: T of them.
        load_point: of the path.
        splits: name -> images and labels.
        memory_budget: bytes; the alphas are taken in as many passes as it asks for, one a pass at least.
        kept: what is kept of every point beside the numbers.
    """
    together = max(1, memory_budget // (plan.num_bytes() + kept.num_bytes(splits)))
    groups = [alphas[start : start + together] for start in range(0, len(alphas), together)]
    num_batches = sum(-(-images.shape[0] // BATCH_SIZE) for images, _ in splits.values())
    found: dict[str, list[Point]] = {split: [] for split in splits}
    with tqdm(
        total=len(groups) * num_batches, desc="measuring the path", unit="batch", leave=False, disable=None
    ) as progress:
        for group in groups:
            points = plan.points(group, load_point)
            for split, (images, labels) in splits.items():
                builders = [PointBuilder(labels, kept) for _ in group]
                _measure(points, builders, images, labels, split not in INEXACT_SPLITS, progress.update)
                found[split] += [builder.point() for builder in builders]
    return found


def _measure(
    points: Points,
    builders: Sequence[PointBuilder],
    images: Images,
    labels: Tensor,
    exact_ends: bool,
    advance: Callable[[], object],
) -> None:
    """One split, in the batches of `evaluate` and with its sums: fills the builders, one a point."""
    start = 0
    for part in images.batches(None, BATCH_SIZE):
        truth = labels[start : start + len(part)]
        for builder, outputs in zip(builders, points.outputs(part, exact_ends), strict=True):
            builder.add(outputs, truth)
        start += len(part)
        advance()
