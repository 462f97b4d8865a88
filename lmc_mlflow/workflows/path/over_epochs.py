"""Measures the paths between both sides of a pair after each of its kept epochs, and logs them as one run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from tqdm import tqdm

from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import BY_EPOCH, HEADLINE, Artifact, Kind, Tag
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.data.other_tests import check_other_tests
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.plots.per_run.paths_by_epoch import paths_by_epoch_figure
from lmc_mlflow.query.kept_states import load_kept
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.tracking.descriptions import list_on
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.devices import SharedWork, share_work
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.networks.dataset_inputs import log_data
from lmc_mlflow.workflows.networks.other_tests import images_of, other_tests
from lmc_mlflow.workflows.networks.pair_of_networks import (
    Ends,
    check_splits,
    load_ends,
    load_splits,
    split_inputs,
)
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.tags import joined_tags
from lmc_mlflow.workflows.path.images import measured_splits, needed_splits
from lmc_mlflow.workflows.path.interpolate import grid_of, path_fingerprint
from lmc_mlflow.workflows.path.measurer import MeasuredEnds, walk_with
from lmc_mlflow.workflows.path.results import path_metrics
from lmc_mlflow.workflows.path.verdicts import judge_path

OF_BOTH = ("angle_deg", "angle_weights_deg", "manhattan", "euclidean_squared")
"""Measures of the two networks, whatever the split."""
Row = dict[str, Any]
"""Column -> value, at one epoch on one split."""


@dataclass(frozen=True)
class EpochsOutcome(Outcome):
    """The logged paths between the kept epochs of a pair.

    Attributes:
        pair: run id.
        split: that `rows` are of, the first that was measured.
        rows: what was measured at each epoch, in order.
    """

    pair: str
    split: str
    rows: tuple[Row, ...]


def interpolate_epochs(config: InterpolateConfig, parent: TrackedRun | None = None) -> EpochsOutcome:
    """Measure the path between both sides of a pair after each epoch that is asked for, and log all as one run.

    Args:
        config: with `epochs` and a pair.
        parent: run that the run is nested under.

    Raises:
        ValueError: an epoch that was not kept (lists those that were), or what `interpolate` refuses.
        StoreError: the tracking store cannot be used.
    """
    work = share_work(config.runtime, config.sharing)
    check_other_tests(config.other_data.names)
    store = open_store()
    ends = load_ends(store, config.ends)
    store = beside(store, ends[0].run.info.experiment_id)
    by_epoch = {epoch: _ends_after(store, ends, epoch) for epoch in sorted(config.by_epoch.epochs)}
    splits = load_splits(store, ends, config.ends.data_root, work.device)
    config = replace(config, path=replace(config.path, splits=check_splits(config.path.splits, splits, ends)))
    others = other_tests(config.other_data, ends[0], splits["test"], config.ends.data_root, work.device)
    splits |= images_of(others)
    pair, name = ends[0].split_run, group_run_name("by epoch", ends)
    tags = {Tag.PAIR: pair, Tag.BN: config.path.bn, Tag.FINGERPRINT: path_fingerprint(config), **joined_tags(ends)}
    tags |= {Tag.RUN_A: ends[0].run.info.run_id, Tag.RUN_B: ends[1].run.info.run_id}
    start = RunStart(name, tags, to_params(config), ("pair.txt", f"{pair}\n"))
    with new_run(store, Kind.PATH_BY_EPOCH, start, parent) as run:
        log_data(run, split_inputs(ends, {split: splits[split] for split in config.path.splits}) | others)
        bar = tqdm(by_epoch.items(), desc="paths", unit="epoch", leave=False, disable=None)
        rows = [row for epoch, then in bar for row in _measure(work, config, then, epoch, splits)]
        first = _log(run, config, rows, name, pair)
    metrics = {str(key): value for key, value in first[-1].items() if isinstance(value, float)}
    return EpochsOutcome(
        run.run_id, name, "measured", metrics, run.experiment_id, pair, config.path.splits[0], tuple(first)
    )


def _ends_after(store: Store, ends: Ends, epoch: int) -> Ends:
    """Load both networks as they were after an epoch; after the last one they are those of the checkpoints."""
    if epoch == ends[0].config.optimization.epochs:
        return ends
    a, b = (replace(end, state=load_kept(store.client, end.run, epoch).network) for end in ends)
    return a, b


def _measure(
    work: SharedWork, config: InterpolateConfig, ends: Ends, epoch: int, splits: dict[str, LabelledImages]
) -> list[Row]:
    """Measure the path at one epoch: a row a split."""
    measured = MeasuredEnds(config, ends, None, needed_splits(config, splits))
    with work.workers(measured) as workers:
        labels = {split: splits[split].labels for split in measured_splits(config)}
        path: Path = walk_with(workers, grid_of(config.path), labels, None)
    verdicts = judge_path(config.path, path)
    metrics = path_metrics(ends, path, config.path, verdicts)
    both: Row = {name: metrics[name] for name in OF_BOTH}
    both |= {"connected": verdicts.connected, "connected_by_error": verdicts.by_error}
    return [
        {"epoch": epoch, "split": split}
        | {key.removeprefix(f"{split}/"): value for key, value in metrics.items() if key.startswith(f"{split}/")}
        | both
        for split in measured_splits(config)
    ]


def _log(run: TrackedRun, config: InterpolateConfig, rows: Sequence[Row], name: str, pair: str) -> list[Row]:
    """Log table, curves, figure and description; return the rows of the first split."""
    table = pd.DataFrame(rows)
    run.log_json(table.to_dict(orient="split", index=False), Artifact.BARRIER_BY_EPOCH)
    for epoch in dict.fromkeys(row["epoch"] for row in rows):
        own = [row for row in rows if row["epoch"] == epoch]
        metrics = {f"{key}{BY_EPOCH}": float(own[0][key]) for key in OF_BOTH}
        for row in own:
            metrics |= {
                f"{row['split']}/{key}{BY_EPOCH}": value
                for key, value in row.items()
                if key not in ("epoch", "split", *OF_BOTH) and isinstance(value, float) and value == value
            }
        run.log_metrics(metrics, step=epoch)
    first = [row for row in rows if row["split"] == config.path.splits[0]]
    run.log_metrics({HEADLINE: float(first[-1]["barrier"])})
    run.log_figure(paths_by_epoch_figure(table, name), "figures/barrier_by_epoch.png")
    lines = "\n".join(
        f"| {row['epoch']} | {row['barrier']:.4f} | {row['barrier_in_basin']:.4f} | {row['angle_deg']:.1f} | "
        f"{row['connected']} |"
        for row in first
    )
    run.describe(
        f"**Barrier on {config.path.splits[0]} {first[0]['barrier']:.4f} after epoch {first[0]['epoch']}, "
        f"{first[-1]['barrier']:.4f} after epoch {first[-1]['epoch']}**, between both sides of pair `{pair}`.\n\n"
        f"| epoch | barrier | in basin | angle (degrees) | connected |\n|---|---|---|---|---|\n{lines}"
    )
    said = f"{len(first)} epochs, barrier {first[-1]['barrier']:.4f} after the last of them"
    list_on(run.client, pair, f"paths by epoch `{run.run_id}`: {said}")
    return first
