"""Measures the path between two logged networks, and logs it."""

from dataclasses import dataclass
from functools import partial

import torch

from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.contract import UNALIGNED, Artifact, Kind, Tag
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.paths.barriers import alpha_grid, connected, connected_by_error
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.walk import Path, measure_path
from lmc_mlflow.plots.per_run.alignment import aligned_path_figure
from lmc_mlflow.plots.per_run.paths import path_figure, polar_figure
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import open_store
from lmc_mlflow.workflows.alignment.find_alignment import (
    Alignment,
    find_alignment,
    find_symmetry,
    log_matching,
    matching_sentence,
)
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, new_run
from lmc_mlflow.workflows.networks.pair_of_networks import (
    Ends,
    both_training_sides,
    check_splits,
    load_ends,
    load_splits,
    log_data,
)
from lmc_mlflow.workflows.networks.similarity import reference_angle, similarity_by_tensor
from lmc_mlflow.workflows.networks.tags import joined_tags
from lmc_mlflow.workflows.path.results import describe_path, path_curves, path_metrics, path_table


@dataclass(frozen=True)
class PathOutcome(Outcome):
    """A logged path.

    Attributes:
        connected: the verdict by loss and accuracy.
        connected_by_error: the verdict by error.
    """

    connected: str
    connected_by_error: str


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
    device = prepare_machine(config.runtime)
    store = open_store()
    ends = load_ends(store, config.ends)
    symmetry = None if config.aligning.align == NONE else find_symmetry(ends[0])
    splits = load_splits(store, ends, config.ends.data_root, device)
    check_splits(config.path.splits, splits)
    name = path_name(ends, config)
    first_file = ("ends.txt", f"A {ends[0].run.info.run_id}\nB {ends[1].run.info.run_id}\n")
    start = RunStart(name, _tags(ends, config), to_params(config), first_file)
    with new_run(store, Kind.PATH, start, parent) as run:
        log_data(run, ends[0].config.data, {name: splits[name] for name in config.path.splits})
        walk_to = partial(_walk, config.path, splits, device)
        if symmetry is None:
            return _log_paths(run, config, ends, Paths(walk_to(ends)))
        alignment = find_alignment(ends, symmetry, config.aligning.align, config.matching, splits["train_a"], device)
        aligned = walk_to((ends[0], alignment.network))
        return _log_paths(run, config, ends, Paths(aligned, alignment, walk_to(ends)))


def _walk(config: PathConfig, splits: dict[str, LabelledImages], device: torch.device, ends: Ends) -> Path:
    a, b = ({name: value.to(device) for name, value in end.state.items()} for end in ends)
    return measure_path(
        ends[0].network().to(device),
        Segment(a, b),
        alpha_grid(config.num_alphas),
        {name: (splits[name].images, splits[name].labels) for name in config.splits},
        config.bn,
        both_training_sides(splits) if BN_POLICIES[config.bn].needs_images else None,
        config.path_engine,
    )


def _log_paths(run: TrackedRun, config: InterpolateConfig, ends: Ends, paths: Paths) -> PathOutcome:
    path, name = paths.path, path_name(ends, config)
    verdict = _verdict(config.path, path)
    ends_of_path = ends if paths.alignment is None else (ends[0], paths.alignment.network)
    metrics = path_metrics(ends_of_path, path) | {"angle_reference_deg": reference_angle(ends[0])}
    curves, table = path_curves(path), path_table(path)
    figure, note = path_figure(table, name), ""
    if paths.alignment is not None and paths.unaligned is not None:
        metrics |= {f"{UNALIGNED}{key}": value for key, value in path_metrics(ends, paths.unaligned).items()}
        curves |= {f"{UNALIGNED}{key}": curve for key, curve in path_curves(paths.unaligned).items()}
        other = path_table(paths.unaligned)
        run.log_json(other.to_dict(orient="split", index=False), Artifact.PATH_UNALIGNED)
        run.set_tags({Tag.CONNECTED_UNALIGNED: _verdict(config.path, paths.unaligned)})
        log_matching(run, paths.alignment, "alignment/")
        figure, note = (
            aligned_path_figure(table, other, name, config.aligning.align),
            _note(config.path, paths.alignment, paths.unaligned),
        )
    run.log_metrics(metrics)
    run.log_curves(curves)
    run.log_json(table.to_dict(orient="split", index=False), Artifact.PATH)
    by_tensor = similarity_by_tensor(*ends_of_path)
    run.log_json(by_tensor.to_dict(orient="split", index=False), "similarity.json")
    run.log_figure(figure, "figures/path.png")
    run.log_figure(polar_figure(table, name), "figures/polar.png")
    by_error = _by_error(config.path, path)
    run.set_tags({Tag.CONNECTED: verdict, Tag.CONNECTED_BY_ERROR: by_error, Tag.ENGINE: path.engine})
    run.describe(describe_path(ends, config.path, path, (verdict, by_error), metrics, note))
    return PathOutcome(run.run_id, name, "measured", metrics, run.experiment_id, verdict, by_error)


def _verdict(config: PathConfig, path: Path) -> str:
    return connected(path.summaries, config.barrier_threshold, config.accuracy_delta_threshold)


def _by_error(config: PathConfig, path: Path) -> str:
    barriers = {split: summary.error_barrier for split, summary in path.summaries.items()}
    return connected_by_error(barriers, config.error_barrier_threshold)


def _note(config: PathConfig, alignment: Alignment, unaligned: Path) -> str:
    split, first = next(iter(unaligned.summaries.items()))
    return (
        f" B's units were permuted towards A, {matching_sentence(alignment)} Without: connected "
        f"{_verdict(config, unaligned)}, on {split} barrier {first.barrier:.4f}, in the basin "
        f"{first.barrier_in_basin:.4f}, {unaligned.score.replace('_', ' ')} delta {first.accuracy_delta:+.2%}."
    )


def path_name(ends: Ends, config: InterpolateConfig) -> str:
    """Name a path as a person would."""
    a, b = ends
    model = a.config.model.model
    left, right = (_end_name(end, ends) for end in ends)
    bn, align = config.path.bn, config.aligning.align
    how = ", ".join([*([bn] if bn != "interpolate" else []), *([f"aligned by {align}"] if align != NONE else [])])
    shift = (
        a.config.data.shift
        if a.config.data.shift == b.config.data.shift
        else f"{a.config.data.shift} to {b.config.data.shift}"
    )
    return f"path {a.config.data.dataset} {model} {shift} {left} to {right}" + (f" ({how})" if how else "")


def _end_name(end: LoggedNetwork, ends: Ends) -> str:
    seeds = {e.config.model.seed for e in ends}
    return f"seed {end.config.model.seed} {end.side}" if len(seeds) > 1 or end is ends[0] else end.side


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
    return fingerprint(config, without=("pair", "run_a", "run_b"))
