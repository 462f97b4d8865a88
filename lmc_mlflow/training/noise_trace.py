"""Records digests of the SGD noise of every epoch, and checks whether both sides had the same noise."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from lmc_mlflow.training.noise import EpochDraws

TRACED_EPOCHS = (1, 2, 20, 21)
"""The paper prints "epochs 1 and 20", of a loop that starts at 0: the 2nd and the 21st, or the 1st and the 20th."""
TRACED_BATCH = 10
TRACED_LABELS = 10
NOTE = (
    f"epochs and batches are counted from 1; null: that epoch has fewer than {TRACED_BATCH} batches, or an earlier "
    "version trained it; where noise_scope=paper seeds the first epoch with 0, epochs 1 and 20 of Algorithm 1's loop "
    "are epochs 2 and 21 here"
)


@dataclass(frozen=True)
class EpochTrace:
    """What one side drew in one epoch: digests of positions, labels, flips and moves, and some labels.

    `labels_of_batch_10` holds the first 10 labels of the 10th batch in the epochs that Algorithm 1 may mean (a list for
    each image where images have several labels); it is None in other epochs and where an epoch has fewer batches. What
    was not drawn has an empty digest. Moves are translations, crops, or boxes that are resized.
    """

    epoch: int
    positions: str
    labels: str
    flips: str
    labels_of_batch_10: list[int] | list[list[int]] | None
    moves: str = ""


def trace_epoch(epoch: int, draws: EpochDraws, labels: Tensor) -> EpochTrace:
    """Trace an epoch whose batches have all been drawn.

    Args:
        epoch: counted from 1.
        draws: of that epoch.
        labels: (N,) or (N, K) of the side's training subset, on the CPU.
    """
    seen = labels[draws.order]
    start = (TRACED_BATCH - 1) * draws.batch_size
    traced = epoch in TRACED_EPOCHS and start < len(seen)
    return EpochTrace(
        epoch=epoch,
        positions=_digest(draws.order),
        labels=_digest(seen),
        flips=_digest(torch.cat(draws.flipped)) if draws.flipped else "",
        labels_of_batch_10=_as_lists(seen[start : start + min(TRACED_LABELS, draws.batch_size)]) if traced else None,
        moves="".join(_digest(drawn) for drawn in (draws.moves, draws.boxes) if drawn is not None),
    )


def noise_check(traces: dict[str, list[EpochTrace]]) -> dict[str, Any]:
    """Make the content of `noise_check.json`: whether both sides drew the same, the paper's labels, all digests.

    Compared are the epochs that both sides have: with equal steps a smaller side has more epochs.
    """
    a, b = traces["A"], traces["B"]
    pairs = list(zip(a, b, strict=False))
    return {
        "same_positions": all(x.positions == y.positions for x, y in pairs),
        "same_labels": all(x.labels == y.labels for x, y in pairs),
        "same_flips": all(x.flips == y.flips for x, y in pairs),
        "same_translations": all(x.moves == y.moves for x, y in pairs),
        "first_10_labels_of_batch_10": {
            f"epoch_{x.epoch}": {"A": x.labels_of_batch_10, "B": y.labels_of_batch_10}
            for x, y in pairs
            if x.epoch in TRACED_EPOCHS
        },
        "note": NOTE,
        "digests": {side: [asdict(trace) for trace in traces[side]] for side in traces},
    }


def noise_digest(traces: list[EpochTrace]) -> str:
    """Compute one digest of everything that a side drew."""
    lines = [f"{t.epoch} {t.positions} {t.labels} {t.flips}{f' {t.moves}' if t.moves else ''}" for t in traces]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _as_lists(labels: Tensor) -> list[int] | list[list[int]]:
    if labels.ndim == 1:
        indices: list[int] = labels.tolist()
        return indices
    return [row.nonzero().flatten().tolist() for row in labels]


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]
