"""Measures the paths between both sides of a pair after each of its kept epochs, and logs them as one run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from tqdm import tqdm

from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import HEADLINE, UNALIGNED, Artifact, Kind, Tag
from lmc_mlflow.data.other_tests import check_other_tests
from lmc_mlflow.plots.per_run.paths_by_epoch import paths_by_epoch_figure
from lmc_mlflow.query.kept_states import load_kept
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.tracking.descriptions import list_on
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry
from lmc_mlflow.workflows.lifecycle.devices import share_work
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.networks.dataset_inputs import log_data
from lmc_mlflow.workflows.networks.other_tests import images_of, other_tests
from lmc_mlflow.workflows.networks.pair_of_networks import (
    Ends,
    check_splits,
    load_ends,
    load_splits,
    require_training,
    split_inputs,
)
from lmc_mlflow.workflows.networks.tags import joined_tags
from lmc_mlflow.workflows.path.by_epoch.at_epoch import MeasuredEpoch, Row, measure_epoch
from lmc_mlflow.workflows.path.images import measured_splits, needs_images
from lmc_mlflow.workflows.path.interpolate import path_fingerprint
from lmc_mlflow.workflows.path.names import path_run_name
from lmc_mlflow.workflows.path.who_pays import check_calibrate


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
    symmetry = None if config.aligning.align == NONE else find_symmetry(ends[0])
    by_epoch = {epoch: _ends_after(store, ends, epoch) for epoch in sorted(config.by_epoch.epochs)}
    splits = load_splits(store, ends, config.ends.data_root, work.device)
    config = replace(config, path=replace(config.path, splits=check_splits(config.path.splits, splits, ends)))
    check_calibrate(config.path, ends)
    others = other_tests(config.other_data, ends[0], splits["test"], config.ends.data_root, work.device)
    splits |= images_of(others)
    if needs_images(config):
        require_training(ends)
    pair, name = ends[0].split_run, path_run_name(ends, config, "by epoch")
    tags = {Tag.PAIR: pair, Tag.BN: config.path.bn, Tag.FINGERPRINT: path_fingerprint(config), **joined_tags(ends)}
    tags |= {Tag.RUN_A: ends[0].run.info.run_id, Tag.RUN_B: ends[1].run.info.run_id}
    if config.aligning.align != NONE:
        tags[Tag.ALIGN] = config.aligning.align
    start = RunStart(name, tags, to_params(config), ("pair.txt", f"{pair}\n"))
    with new_run(store, Kind.PATH_BY_EPOCH, start, parent) as run:
        log_data(run, split_inputs(ends, {split: splits[split] for split in config.path.splits}) | others)
        bar = tqdm(by_epoch.items(), desc="paths", unit="epoch", leave=False, disable=None)
        measured = [measure_epoch(work, config, then, symmetry, epoch, splits) for epoch, then in bar]
        first = _log(run, config, measured, name, pair)
    metrics = {str(key): value for key, value in first[-1].items() if isinstance(value, float)}
    return EpochsOutcome(
        run.run_id, name, "measured", metrics, run.experiment_id, pair, config.path.splits[0], tuple(first)
    )


def _ends_after(store: Store, ends: Ends, epoch: int) -> Ends:
    """Load both networks as they were after an epoch; after the last one they are those of the checkpoints."""
    last = ends[0].run.data.tags.get(Tag.LAST_EPOCH, str(ends[0].config.optimization.epochs))
    if str(epoch) == last:
        return ends
    a, b = (replace(end, state=load_kept(store.client, end.run, epoch).network) for end in ends)
    return a, b


def _log(
    run: TrackedRun, config: InterpolateConfig, measured: Sequence[MeasuredEpoch], name: str, pair: str
) -> list[Row]:
    """Log table, curves, figure and description; return the rows of the first split."""
    table = pd.DataFrame([one.row(split) for one in measured for split in measured_splits(config)])
    run.log_json(table.to_dict(orient="split", index=False), Artifact.BARRIER_BY_EPOCH)
    for one in measured:
        run.log_metrics(one.curves(), step=one.epoch)
    split = config.path.splits[0]
    first = [one.row(split) for one in measured]
    run.log_metrics({HEADLINE: float(first[-1]["barrier"])})
    run.log_figure(paths_by_epoch_figure(table, name), "figures/barrier_by_epoch.png")
    how = (
        "" if config.aligning.align == NONE else f", B's units aligned to A's by {config.aligning.align} at each epoch"
    )
    lines = "\n".join(f"| {' | '.join(_cells(row))} |" for row in first)
    columns = ["epoch", "barrier", "in basin", "angle (degrees)", "connected", *([] if not how else ["not aligned"])]
    run.describe(
        f"**Barrier on {split} {first[0]['barrier']:.4f} after epoch {first[0]['epoch']}, "
        f"{first[-1]['barrier']:.4f} after epoch {first[-1]['epoch']}**, between both sides of pair `{pair}`{how}.\n\n"
        f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n{lines}"
    )
    said = f"{len(first)} epochs, barrier {first[-1]['barrier']:.4f} after the last of them{how}"
    list_on(run.client, pair, f"paths by epoch `{run.run_id}`: {said}")
    return first


def _cells(row: Row) -> list[str]:
    cells = [str(row["epoch"]), *(f"{row[name]:.4f}" for name in ("barrier", "barrier_in_basin"))]
    cells += [f"{row['angle_deg']:.1f}", str(row["connected"])]
    return cells + [f"{row[other]:.4f}" for other in (f"{UNALIGNED}barrier",) if other in row]
