"""Measures the path between two logged networks, and logs it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.config.path import ADAPTIVE, PathConfig
from lmc_mlflow.contract import UNALIGNED, Artifact, Kind, Tag
from lmc_mlflow.data.other_tests import check_other_tests
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.grid import Grid, adaptive_grid
from lmc_mlflow.paths.measures import measures_beside
from lmc_mlflow.paths.samples import to_arrays
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.plots.per_run.alignment import aligned_path_figure
from lmc_mlflow.plots.per_run.paths import path_figure, polar_figure
from lmc_mlflow.tracking.connection.store import beside, open_store
from lmc_mlflow.tracking.descriptions import list_on
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workers.spread import Workers, in_order
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.alignment.find_alignment import (
    Alignment,
    find_symmetry,
    log_matching,
)
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
from lmc_mlflow.workflows.networks.run_names import short_name
from lmc_mlflow.workflows.networks.similarity import reference_angle, similarity_by_tensor
from lmc_mlflow.workflows.networks.tags import joined_tags
from lmc_mlflow.workflows.path.agreement import agreement_metrics
from lmc_mlflow.workflows.path.images import measured_splits, needed_splits, needs_images
from lmc_mlflow.workflows.path.measurer import MeasuredEnds, PathMeasurer, walk_with
from lmc_mlflow.workflows.path.names import path_name, path_run_name
from lmc_mlflow.workflows.path.results import (
    describe_path,
    first_charts,
    note_of_unaligned,
    path_curves,
    path_metrics,
    path_table,
)
from lmc_mlflow.workflows.path.verdicts import Verdicts, judge_path
from lmc_mlflow.workflows.path.who_pays import Classes, check_calibrate, classes_of, log_calibrated, log_who_pays

Value = TypeVar("Value")


@dataclass(frozen=True)
class PathOutcome(Outcome):
    """A logged path.

    Attributes:
        connected: the verdict by loss and accuracy.
        connected_by_error: the verdict by error.
        connected_interval: the verdict by intervals of loss and accuracy, and what decided it; empty without.
        decided_by: the split and the number that decided `connected`.
        decided_by_error: the same of `connected_by_error`.
        pair: the pair of both networks, if they are of one.
    """

    connected: str
    connected_by_error: str
    connected_interval: str = ""
    decided_by: str = ""
    decided_by_error: str = ""
    pair: str = ""


@dataclass(frozen=True)
class Paths:
    """The paths of one run.

    Attributes:
        path: the run's own: to B, or to B with its units permuted.
        alignment: how they were permuted, or None.
        unaligned: where they were, the path to B as it was logged.
    """

    path: Path
    alignment: Alignment | None = None
    unaligned: Path | None = None


def interpolate(config: InterpolateConfig, parent: TrackedRun | None = None) -> PathOutcome:
    """Measure the path between two logged networks and log it as a run.

    Args:
        config: which networks, which grid, which splits, whether the units of B are permuted first.
        parent: run that the path is nested under.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used; says how to put it right.
        StoreError: the tracking store cannot be used.
    """
    work = share_work(config.runtime, config.sharing)
    check_other_tests(config.other_data.names)
    config = with_runs(config, "ends", ("run_a", "run_b"))
    store = open_store()
    ends = load_ends(store, config.ends)
    store = beside(store, ends[0].run.info.experiment_id)
    symmetry = None if config.aligning.align == NONE else find_symmetry(ends[0])
    splits = load_splits(store, ends, config.ends.data_root, work.device)
    config = replace(config, path=replace(config.path, splits=check_splits(config.path.splits, splits, ends)))
    check_calibrate(config.path, ends)
    others = other_tests(config.other_data, ends[0], splits["test"], config.ends.data_root, work.device)
    splits |= images_of(others)
    if needs_images(config):
        require_training(ends)
    name = path_run_name(ends, config)
    first_file = ("ends.txt", f"A {ends[0].run.info.run_id}\nB {ends[1].run.info.run_id}\n")
    start = RunStart(name, _tags(ends, config), to_params(config), first_file)
    with new_run(store, Kind.PATH, start, parent) as run:
        log_data(run, split_inputs(ends, {name: splits[name] for name in config.path.splits}) | others)
        measured = MeasuredEnds(config, ends, symmetry, needed_splits(config, splits))
        with work.workers(measured) as workers:
            labels = {name: splits[name].labels for name in measured_splits(config)}
            paths = measure_paths(workers, config.path, symmetry, labels)
        return _log_paths(run, config, ends, paths, classes_of(ends, splits))


def measure_paths(
    workers: Workers[PathMeasurer], config: PathConfig, symmetry: Symmetry | None, labels: Mapping[str, torch.Tensor]
) -> Paths:
    """Measure the path, and with a symmetry those to B aligned and to B as it was logged."""
    walk_to = partial(walk_with, workers, grid_of(config), labels)
    if symmetry is None:
        return Paths(walk_to(None))
    (alignment,) = in_order(workers.map(PathMeasurer.alignment, [symmetry]))
    return Paths(walk_to(alignment.network), alignment, walk_to(None))


def grid_of(config: PathConfig) -> Grid:
    """Make the points at which a path is measured."""
    if config.alphas == ADAPTIVE:
        return adaptive_grid(config.alpha_tolerance, keep_samples=True, calibrate=config.calibrate)
    return Grid(alpha_grid(config.num_alphas), keep_samples=True, calibrate=config.calibrate)


def _log_paths(
    run: TrackedRun, config: InterpolateConfig, ends: Ends, paths: Paths, classes: Classes | None
) -> PathOutcome:
    path, name = paths.path, path_name(ends, config)
    verdicts = judge_path(config.path, path)
    ends_of_path = ends if paths.alignment is None else (ends[0], paths.alignment.network)
    metrics = path_metrics(ends_of_path, path, config.path, verdicts)
    metrics |= {"angle_reference_deg": reference_angle(ends[0])}
    curves, table = path_curves(path) | first_charts(path), path_table(path)
    title, note = f"{name}\n{verdicts.sentence}", ""
    start, end = map(short_name, ends)
    thresholds = config.path.barrier_threshold, config.path.accuracy_delta_threshold
    if paths.alignment is None or paths.unaligned is None:
        figure = path_figure(table, title, verdicts.intervals, thresholds, (start, end))
    else:
        other = path_table(paths.unaligned)
        verdicts_unaligned = judge_path(config.path, paths.unaligned)
        metrics |= _unaligned(path_metrics(ends, paths.unaligned, config.path, verdicts_unaligned))
        curves |= _unaligned(path_curves(paths.unaligned)) | first_charts(paths.unaligned, "_not_aligned")
        _log_unaligned(run, config.path, paths.unaligned, verdicts_unaligned)
        log_matching(run, paths.alignment, "alignment/")
        figure = aligned_path_figure(
            table, other, title, config.aligning.align, (start, end), verdicts.intervals, thresholds
        )
        note = note_of_unaligned(paths.alignment, paths.unaligned, verdicts_unaligned)
    metrics |= agreement_metrics(path) | log_who_pays(run, path, classes, name)
    log_calibrated(run, path, table, name, (start, end))
    run.log_metrics(metrics)
    run.log_curves(curves)
    run.log_json(table.to_dict(orient="split", index=False), Artifact.PATH)
    _log_samples(run, config.path, path, Artifact.SAMPLES)
    by_tensor = similarity_by_tensor(*ends_of_path)
    run.log_json(by_tensor.to_dict(orient="split", index=False), "similarity.json")
    run.log_figure(figure, "figures/path.png")
    run.log_figure(polar_figure(table, name), "figures/polar.png")
    run.set_tags(_verdict_tags(verdicts) | {Tag.ENGINE: path.engine})
    run.describe(describe_path(ends, config.path, path, verdicts, metrics, note))
    for pair in dict.fromkeys(end.split_run for end in ends):
        line = (
            f"path `{run.run_id}` {path_run_name(ends, config)}: connected {verdicts.connected} ({verdicts.decided_by})"
        )
        list_on(run.client, pair, line)
    said = f"{verdicts.answer_by_intervals} ({verdicts.reason})" if verdicts.by_intervals else ""
    pair = ends[0].split_run if ends[0].split_run == ends[1].split_run else ""
    outcome = (verdicts.connected, verdicts.by_error, said, verdicts.decided_by, verdicts.decided_by_error, pair)
    return PathOutcome(run.run_id, path_run_name(ends, config), "measured", metrics, run.experiment_id, *outcome)


def _verdict_tags(verdicts: Verdicts) -> dict[str, str]:
    tags = {Tag.CONNECTED: verdicts.connected, Tag.CONNECTED_BY_ERROR: verdicts.by_error}
    if verdicts.by_intervals is not None:
        tags[Tag.CONNECTED_INTERVAL] = verdicts.answer_by_intervals
    return tags


def _log_unaligned(run: TrackedRun, config: PathConfig, path: Path, verdicts: Verdicts) -> None:
    run.log_json(path_table(path).to_dict(orient="split", index=False), Artifact.PATH_UNALIGNED)
    _log_samples(run, config, path, Artifact.SAMPLES_UNALIGNED)
    run.set_tags({Tag.CONNECTED_UNALIGNED: verdicts.connected})
    if verdicts.by_intervals is not None:
        run.set_tags({Tag.CONNECTED_INTERVAL_UNALIGNED: verdicts.answer_by_intervals})


def _log_samples(run: TrackedRun, config: PathConfig, path: Path, artifact: str) -> None:
    if config.keep_samples and path.samples is not None:
        run.log_arrays(to_arrays(path.alphas, path.samples), artifact)


def _unaligned(named: Mapping[str, Value]) -> dict[str, Value]:
    """What is logged of the path to B as it was, under its names."""
    return {f"{UNALIGNED}{key}": value for key, value in named.items()}


def _tags(ends: Ends, config: InterpolateConfig) -> dict[str, str]:
    a, b = ends
    tags = {Tag.RUN_A: a.run.info.run_id, Tag.RUN_B: b.run.info.run_id, Tag.BN: config.path.bn}
    tags[Tag.FINGERPRINT] = path_fingerprint(config)
    if config.aligning.align != NONE:
        tags[Tag.ALIGN] = config.aligning.align
    if a.split_run == b.split_run:
        tags[Tag.PAIR] = a.split_run
    return tags | joined_tags(ends)


def path_fingerprint(config: InterpolateConfig) -> str:
    """Digest how a path is measured, whatever its ends; with them it tells a path from all others."""
    return fingerprint(config, ("pair", "run_a", "run_b"), measures_beside())
