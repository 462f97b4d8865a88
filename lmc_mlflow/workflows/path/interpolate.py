"""How are two logged networks joined by a straight line, and what is logged of it?"""

from dataclasses import dataclass
from functools import partial

import torch

from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.contract import UNALIGNED, Artifact, Kind, Tag, tag
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.paths.barriers import alpha_grid, connected, connected_by_error
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.walk import Path, measure_path
from lmc_mlflow.plots.per_run.alignment import aligned_path_figure
from lmc_mlflow.plots.per_run.paths import path_figure, polar_figure
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.tracking.lifecycle import ending, open_run, probe_artifacts
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
from lmc_mlflow.workflows.networks.pair_of_networks import (
    Ends,
    both_training_sides,
    check_splits,
    load_ends,
    load_splits,
    log_data,
)
from lmc_mlflow.workflows.networks.similarity import reference_angle, similarity_by_tensor
from lmc_mlflow.workflows.path.results import describe_path, path_curves, path_metrics, path_table


@dataclass(frozen=True)
class PathOutcome:
    """A logged path: its run, its verdicts, and the numbers of each split."""

    path: str
    name: str
    connected: str
    connected_by_error: str
    metrics: dict[str, float]
    experiment_id: str


@dataclass(frozen=True)
class Walked:
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
    """Walk between two logged networks and log the path as a run.

    Args:
        config: which networks, which grid, which splits, whether the units of B are permuted first.
        parent: run to hang the path under.

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
    with ending() as keep:
        run = keep(open_run, store, Kind.PATH, path_name(ends, config), _tags(ends, config), parent)
        probe_artifacts(run, f"A {ends[0].run.info.run_id}\nB {ends[1].run.info.run_id}\n", "ends.txt")
        run.log_params(to_params(config))
        log_data(run, ends[0].config.data, {name: splits[name] for name in config.path.splits})
        walk_to = partial(_walk, config.path, splits, device)
        if symmetry is None:
            return _log_path(run, config, ends, Walked(walk_to(ends)))
        alignment = find_alignment(ends, symmetry, config.aligning.align, config.matching, splits["train_a"], device)
        aligned = walk_to((ends[0], alignment.network))
        return _log_path(run, config, ends, Walked(aligned, alignment, walk_to(ends)))


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


def _log_path(run: TrackedRun, config: InterpolateConfig, ends: Ends, walked: Walked) -> PathOutcome:
    path, name = walked.path, path_name(ends, config)
    verdict = _verdict(config.path, path)
    walked_to = ends if walked.alignment is None else (ends[0], walked.alignment.network)
    metrics = path_metrics(walked_to, path) | {"angle_reference_deg": reference_angle(ends[0])}
    curves, table = path_curves(path), path_table(path)
    figure, note = path_figure(table, name), ""
    if walked.alignment is not None and walked.unaligned is not None:
        metrics |= {f"{UNALIGNED}{key}": value for key, value in path_metrics(ends, walked.unaligned).items()}
        curves |= {f"{UNALIGNED}{key}": curve for key, curve in path_curves(walked.unaligned).items()}
        other = path_table(walked.unaligned)
        run.log_json(other.to_dict(orient="split", index=False), Artifact.PATH_UNALIGNED)
        run.set_tags({Tag.CONNECTED_UNALIGNED: _verdict(config.path, walked.unaligned)})
        log_matching(run, walked.alignment, "alignment/")
        figure, note = (
            aligned_path_figure(table, other, name, config.aligning.align),
            _note(config.path, walked.alignment, walked.unaligned),
        )
    run.log_metrics(metrics)
    run.log_curves(curves)
    run.log_json(table.to_dict(orient="split", index=False), Artifact.PATH)
    by_tensor = similarity_by_tensor(*walked_to)
    run.log_json(by_tensor.to_dict(orient="split", index=False), "similarity.json")
    run.log_figure(figure, "figures/path.png")
    run.log_figure(polar_figure(table, name), "figures/polar.png")
    by_error = _by_error(config.path, path)
    run.set_tags({Tag.CONNECTED: verdict, Tag.CONNECTED_BY_ERROR: by_error, Tag.ENGINE: path.engine})
    run.describe(describe_path(ends, config.path, path, (verdict, by_error), metrics, note))
    run.seal()
    run.finish()
    return PathOutcome(run.run_id, name, verdict, by_error, metrics, run.experiment_id)


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
    """What a person would call the path."""
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
    for key in ("dataset", "model", "shift", "seed", "noise", "lr", "batch_size"):
        left, right = (end.run.data.tags.get(tag(key), "") for end in ends)
        tags[tag(key)] = left if left == right else f"{left}, {right}"
    if a.split_run == b.split_run:
        tags[Tag.PAIR] = a.split_run
    return tags


def path_fingerprint(config: InterpolateConfig) -> str:
    """Digest of how the path is walked, whatever its ends: with them it tells whether a path was walked before."""
    return fingerprint(config, without=("pair", "run_a", "run_b"))
