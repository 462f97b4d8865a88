"""Measures the path between both sides of a pair after one of its epochs: numbers and rows of a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import BY_EPOCH, UNALIGNED
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.models.freezing import freeze
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.gradients import gradient_agreement
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.workflows.lifecycle.devices import SharedWork
from lmc_mlflow.workflows.networks.pair_of_networks import Ends
from lmc_mlflow.workflows.path.images import measured_splits, needed_splits
from lmc_mlflow.workflows.path.measured_paths import measure_paths
from lmc_mlflow.workflows.path.measurer import MeasuredEnds
from lmc_mlflow.workflows.path.results import path_metrics
from lmc_mlflow.workflows.path.verdicts import judge_path

OF_BOTH = ("angle_deg", "angle_weights_deg", "manhattan", "euclidean_squared")
"""Measures of the two networks, whatever the split."""
AGREEMENT = "gradient_agreement"
"""Of the training losses of both sides, at the middle of the segment between the networks as they are."""
OF_MATCHING = ("objective_before", "objective_after", "units_moved")
"""Of the permutation of B's units, where they are aligned."""
VERDICTS = ("connected", "connected_by_error")
Row = dict[str, Any]
"""Column -> value, at one epoch on one split."""


@dataclass(frozen=True)
class MeasuredEpoch:
    """What was measured after an epoch.

    Attributes:
        epoch: counted from 1.
        metrics: as a path logs them.
        verdicts: name -> verdict.
    """

    epoch: int
    metrics: Mapping[str, float]
    verdicts: Mapping[str, str]

    def row(self, split: str) -> Row:
        """Give the row of a split: its numbers, then those of both networks; `unaligned/` stands before its numbers."""
        row: Row = {"epoch": self.epoch, "split": split} | self._of(split, "") | self._of_both("")
        row |= {name: self.metrics[name] for name in (AGREEMENT, *OF_MATCHING) if name in self.metrics}
        if f"{UNALIGNED}{OF_BOTH[0]}" in self.metrics:
            row |= {f"{UNALIGNED}{name}": value for name, value in self._of(split, UNALIGNED).items()}
            row |= {f"{UNALIGNED}{name}": value for name, value in self._of_both(UNALIGNED).items()}
        return row

    def curves(self) -> dict[str, float]:
        """Give the metrics that are logged with the epoch as their step."""
        whole = (*OF_BOTH, AGREEMENT, *OF_MATCHING)
        return {
            f"{key}{BY_EPOCH}": value
            for key, value in self.metrics.items()
            if value == value and (key.removeprefix(UNALIGNED) in whole or "/" in key.removeprefix(UNALIGNED))
        }

    def _of(self, split: str, before: str) -> Row:
        start = f"{before}{split}/"
        return {key.removeprefix(start): value for key, value in self.metrics.items() if key.startswith(start)}

    def _of_both(self, before: str) -> Row:
        numbers: Row = {name: self.metrics[f"{before}{name}"] for name in OF_BOTH}
        return numbers | {name: self.verdicts[f"{before}{name}"] for name in VERDICTS}


def measure_epoch(
    work: SharedWork,
    config: InterpolateConfig,
    ends: Ends,
    symmetry: Symmetry | None,
    epoch: int,
    splits: Mapping[str, LabelledImages],
) -> MeasuredEpoch:
    """Measure the path between both sides as they were after an epoch.

    Args:
        work: measures.
        config: how.
        ends: both networks then.
        symmetry: of the networks, where B's units are aligned to A's at each epoch; None: they are not.
        epoch: counted from 1.
        splits: all images that there are, on the device.
    """
    measured = MeasuredEnds(config, ends, symmetry, needed_splits(config, splits))
    with work.workers(measured) as workers:
        paths = measure_paths(
            workers, config.path, symmetry, {name: splits[name].labels for name in measured_splits(config)}
        )
    ends_of_path = ends if paths.alignment is None else (ends[0], paths.alignment.network)
    metrics, verdicts = _judged(config, ends_of_path, paths.path)
    if paths.alignment is not None and paths.unaligned is not None:
        metrics |= {key: value for key, value in paths.alignment.metrics().items() if key in OF_MATCHING}
        numbers, words = _judged(config, ends, paths.unaligned)
        metrics |= {f"{UNALIGNED}{key}": value for key, value in numbers.items()}
        verdicts |= {f"{UNALIGNED}{key}": word for key, word in words.items()}
    if {"train_a", "train_b"} <= set(splits):
        metrics[AGREEMENT] = agreement_between(ends, splits["train_a"], splits["train_b"])
    return MeasuredEpoch(epoch, metrics, verdicts)


def agreement_between(ends: Ends, a: LabelledImages, b: LabelledImages) -> float:
    """Measure how far the gradients of both sides' training losses agree in the middle between two networks.

    The middle has the mean of both networks' weights and statistics; tensors that were frozen do not count.
    """
    network = ends[0].network()
    freeze(network, ends[0].config.starting.freeze)
    network.load_state_dict(Segment(ends[0].state, ends[1].state).point(0.5))
    network.to(a.labels.device)
    return gradient_agreement(network, (a.images, a.labels), (b.images, b.labels))


def _judged(config: InterpolateConfig, ends: Ends, path: Path) -> tuple[dict[str, float], dict[str, str]]:
    found = judge_path(config.path, path)
    verdicts = dict(zip(VERDICTS, (found.connected, found.by_error), strict=True))
    return path_metrics(ends, path, config.path, found), verdicts
