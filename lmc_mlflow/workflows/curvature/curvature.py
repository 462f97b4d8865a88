"""Measures the curvature of the loss around and between two logged networks, and logs it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from lmc_mlflow.batches import Images
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.curvature import ENDS, BendingConfig, CurvatureConfig
from lmc_mlflow.config.path import EndsConfig
from lmc_mlflow.contract import Kind, Tag, tag
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.query.networks import resolve_finished
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.curvature.points import Piece, columns_of, measure_pieces, pieces_of
from lmc_mlflow.workflows.curvature.results import log_curvature
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE, Outcome
from lmc_mlflow.workflows.lifecycle.progress import Progress, save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, run_once
from lmc_mlflow.workflows.networks.dataset_inputs import log_data
from lmc_mlflow.workflows.networks.network_group import identity_of
from lmc_mlflow.workflows.networks.pair_of_networks import (
    Ends,
    both_training_sides,
    check_splits,
    load_ends,
    load_splits,
    require_training,
    split_inputs,
)
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.tags import joined_tags

NAMED = ("run_a", "run_b", "pair", "path")


@dataclass(frozen=True)
class _Measured:
    """What is measured, on the device."""

    network: nn.Module
    segment: Segment
    splits: Mapping[str, LabelledImages]
    pieces: list[Piece]


def curvature(config: CurvatureConfig) -> Outcome:
    """Measure eigenvalues, traces and sharpness at points of a path, and log them as a run.

    What is finished in the store is not measured again, what was interrupted is resumed.

    Raises:
        ValueError: a run, checkpoint, network or data set that cannot be used.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    config = with_runs(config, "curved", ("run_a", "run_b"))
    store = open_store()
    config = _with_ends_of_path(store, config)
    curved, bending = config.curved, config.bending
    ends = load_ends(store, EndsConfig(curved.run_a, curved.run_b, curved.pair))
    for end in ends:
        end.refuse_if_diverged()
    store = beside(store, ends[0].run.info.experiment_id)
    with run_once(store, Kind.CURVATURE, identity_of(config, ends, NAMED), curved.force) as wanted:
        if wanted.finished is not None:
            return Outcome.of(wanted.finished, FINISHED_BEFORE)
        measured, calibration = _load(store, ends, config, device)
        name = group_run_name("curvature", ends, "" if bending.bn == "interpolate" else bending.bn)
        first_file = ("ends.txt", "\n".join(end.run.info.run_id for end in ends))
        run = wanted.open(RunStart(name, _tags(ends, bending), to_params(config), first_file))
        log_data(run, split_inputs(ends, measured.splits))
        rows = _measure(bending, measured, calibration, Progress(run))
        metrics = log_curvature(run, name, bending, ends, rows)
    return Outcome(run.run_id, name, wanted.how("measured"), metrics, run.experiment_id)


def _with_ends_of_path(store: Store, config: CurvatureConfig) -> CurvatureConfig:
    """Put the networks and the batch-norm policy of a path in its place."""
    if not config.curved.path:
        return config
    run = resolve_finished(store.client, config.curved.path)
    tags, run_id = run.data.tags, run.info.run_id
    if tags.get(Tag.KIND) != Kind.PATH:
        raise ValueError(f"path={config.curved.path}: run {run_id} is a {tags.get(Tag.KIND, 'run of others')}, no path")
    if Tag.ALIGN in tags:
        raise ValueError(
            f"path={config.curved.path}: the units of its network B were permuted; log that network by "
            f"align run_a={tags[Tag.RUN_A]} run_b={tags[Tag.RUN_B]} method={tags[Tag.ALIGN]}, and give it as run_b"
        )
    if Tag.PATH in tags and config.bending.points != ENDS:
        raise ValueError(
            f"path={config.curved.path}: run {run_id} is a {tags[Tag.PATH]} curve, and curvature is measured on the "
            f"segment; give points=ends, or run_a={tags[Tag.RUN_A]} run_b={tags[Tag.RUN_B]}"
        )
    bn = tags[Tag.BN]
    if bn not in BN_POLICIES or bn in ("repair", "batch"):
        raise ValueError(f"path={config.curved.path}: bn={bn} changes more than parameters; give run_a, run_b and bn")
    curved = replace(config.curved, path="", run_a=tags[Tag.RUN_A], run_b=tags[Tag.RUN_B])
    return replace(config, curved=curved, bending=replace(config.bending, bn=bn))


def _load(store: Store, ends: Ends, config: CurvatureConfig, device: torch.device) -> tuple[_Measured, Images | None]:
    bending = config.bending
    loaded = load_splits(store, ends, config.curved.data_root, device)
    names = check_splits(bending.splits, loaded, ends)
    if {"train_a", "train_b"} <= set(names) and loaded["train_a"].digest == loaded["train_b"].digest:
        names = tuple(name for name in names if name != "train_b")  # one training subset, two names
    calibration = None
    if BN_POLICIES[bending.bn].needs_images:
        require_training(ends)
        calibration = both_training_sides(loaded)
    network = ends[0].network().to(device)
    segment = Segment(*({name: value.to(device) for name, value in end.state.items()} for end in ends))
    splits = {name: loaded[name] for name in names}
    return _Measured(network, segment, splits, pieces_of(bending, network, names)), calibration


def _measure(
    config: BendingConfig, measured: _Measured, calibration: Images | None, progress: Progress
) -> pd.DataFrame:
    """Measure all pieces of work but those that an interrupted process has; one row each."""
    columns = columns_of(config)
    rows = {int(key): values for key, values in progress.known().items()}
    left = [index for index in range(len(measured.pieces)) if index not in rows]
    pieces = [measured.pieces[index] for index in left]
    given = (config, measured.network, measured.segment, measured.splits, calibration, pieces)
    with save_when_stopped(progress):
        bar = tqdm(
            zip(left, measure_pieces(*given), strict=True),
            desc="curvature", unit="piece", leave=False, disable=None,
            initial=len(rows), total=len(measured.pieces),
        )  # fmt: skip
        for index, found in bar:
            rows[index] = np.array([found[column] for column in columns])
            progress.add({str(index): rows[index]})
    table = pd.DataFrame([vars(piece) for piece in measured.pieces])
    return table.join(pd.DataFrame([rows[index] for index in range(len(table))], columns=columns))


def _tags(ends: Ends, config: BendingConfig) -> dict[str, str]:
    ids = {tag(f"run_{name}"): end.run.info.run_id for name, end in zip("ab", ends, strict=True)}
    pair = {Tag.PAIR: ends[0].split_run} if ends[0].split_run == ends[1].split_run else {}
    return joined_tags(ends) | ids | pair | {Tag.BN: config.bn}
