"""How are all networks of a segment measured in one pass over the images?

The plain way loads one network of the segment after the other and reads all images for each. Here every batch
is read once, and all networks see it while it lies in the cache. What the networks have in common is computed
once, what can be folded is folded (`mlp_line.py`, `folding.py`): sums are taken in another order, so losses
differ in the last digits of float32, and an accuracy by a sample whose two best classes tie.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow.batches import Images
from lmc_mlflow.evaluation import BATCH_SIZE
from lmc_mlflow.predictions.scores import Scores, make_tally, sample_losses
from lmc_mlflow.weights import State

Splits = Mapping[str, tuple[Images, Tensor]]
Place = Callable[[float], nn.Module]
"""Puts one scratch network at a point of the segment, batch norm's statistics included, and hands it out."""
ENDPOINT_SPLIT = "test"
"""Endpoints log their own metrics on it: the ends of a path must equal them to the last bit."""
MEMORY_BUDGET = 2**31
"""Bytes for the weights and outputs of the networks that are measured together (51 VGG19 fill 4 GB)."""


class Line(Protocol):
    """Some networks of a segment, ready to be applied together."""

    def outputs(self, images: Tensor, exact_ends: bool) -> Tensor:
        """Outputs (T, n, K) of T networks for images (n, C, H, W).

        Args:
            images: a batch as `evaluate` takes it.
            exact_ends: whether the networks at alpha 0 and 1 compute as in `evaluate`, to the last bit.
        """


class Plan(Protocol):
    """How the networks of one architecture are applied together."""

    def num_bytes(self) -> int:
        """Memory that one network takes in a line, its outputs for a batch included."""

    def line(self, alphas: Sequence[float], place: Place) -> Line:
        """The networks at these alphas; `place` is asked once for each."""


Planner = Callable[[nn.Module, tuple[State, State], Tensor], Plan | None]
"""From a network in evaluation mode (may be overwritten), the ends and a few images; None: not a network for it."""


@torch.no_grad()
def measure_together(
    plan: Plan, alphas: Sequence[float], place: Place, splits: Splits, memory_budget: int
) -> dict[str, list[Scores]]:
    """Scores of the networks at all alphas: split -> one row an alpha.

    Args:
        plan: of the networks' architecture.
        alphas: T of them.
        place: of the segment.
        splits: name -> images and labels.
        memory_budget: bytes; the alphas are taken in as many passes as it asks for, one a pass at least.
    """
    together = max(1, memory_budget // plan.num_bytes())
    groups = [alphas[start : start + together] for start in range(0, len(alphas), together)]
    num_batches = sum(-(-images.shape[0] // BATCH_SIZE) for images, _ in splits.values())
    measured: dict[str, list[Scores]] = {split: [] for split in splits}
    with tqdm(
        total=len(groups) * num_batches, desc="walking the path", unit="batch", leave=False, disable=None
    ) as progress:
        for group in groups:
            line = plan.line(group, place)
            for split, (images, labels) in splits.items():
                measured[split] += _measure(line, len(group), images, labels, split == ENDPOINT_SPLIT, progress.update)
    return measured


def _measure(
    line: Line, num_alphas: int, images: Images, labels: Tensor, exact_ends: bool, advance: Callable[[], object]
) -> list[Scores]:
    """One split, in the batches of `evaluate` and with its sums."""
    tallies, start = [make_tally(labels) for _ in range(num_alphas)], 0
    for part in images.batches(None, BATCH_SIZE):
        truth = labels[start : start + len(part)]
        for tally, outputs in zip(tallies, line.outputs(part, exact_ends), strict=True):
            tally.add(sample_losses(outputs, truth).double().sum(), outputs, truth)
        start += len(part)
        advance()
    return [tally.scores() for tally in tallies]
