"""Measures the paths between two logged networks on which some layers move, and logs them as one run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.data.other_tests import check_other_tests
from lmc_mlflow.paths.layers.find import Layer, find_layers
from lmc_mlflow.paths.layers.walk import layers_to_move
from lmc_mlflow.query.run_tables import read_table
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.connection.store import beside, open_store
from lmc_mlflow.tracking.descriptions import list_on
from lmc_mlflow.tracking.launcher_run import point_launcher_at
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workers.spread import Workers, in_order
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.alignment.find_alignment import find_symmetry, log_matching
from lmc_mlflow.workflows.lifecycle.devices import share_work
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE, Outcome
from lmc_mlflow.workflows.lifecycle.progress import Progress, save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, run_session
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
from lmc_mlflow.workflows.path.by_layer.arrays import LayerNumbers, numbers_of, pack, pack_whole, unpack, unpack_whole
from lmc_mlflow.workflows.path.by_layer.measurer import LayersMeasurer, LayersTask, MeasuredLayers
from lmc_mlflow.workflows.path.by_layer.results import LayersMeasurement, log_layers, top_sentence
from lmc_mlflow.workflows.path.images import needed_splits, needs_images
from lmc_mlflow.workflows.path.interpolate import path_fingerprint
from lmc_mlflow.workflows.path.names import path_run_name

RESAMPLING = ("path.num_resamples", "path.confidence", "path.resamples_seed")
"""Params that do not tell what is measured, but how sure it is: a finished run with others is not taken."""


@dataclass(frozen=True)
class LayersOutcome(Outcome):
    """The logged paths layer by layer.

    Attributes:
        split: that `rows` are of, the first that was measured.
        rows: the whole path, then a row a mode and layer, as in the table `barrier_by_layer.json`.
    """

    split: str
    rows: tuple[dict[str, Any], ...]


def interpolate_layers(config: InterpolateConfig, parent: TrackedRun | None = None) -> LayersOutcome:
    """Measure the paths between two logged networks on which some layers move, and log all as one run.

    Finished runs are not made again, an interrupted one is resumed.

    Args:
        config: with `layers`.
        parent: run that the run is nested under.

    Raises:
        ValueError: a pattern that matches no layer, or what `interpolate` refuses.
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
    others = other_tests(config.other_data, ends[0], splits["test"], config.ends.data_root, work.device)
    splits |= images_of(others)
    if needs_images(config):
        require_training(ends)
    layers = _layers_of(config, ends, splits[config.path.splits[0]])
    name = path_run_name(ends, config, "by layer")
    identity = {Tag.RUN_A: ends[0].run.info.run_id, Tag.RUN_B: ends[1].run.info.run_id}
    identity[Tag.FINGERPRINT] = path_fingerprint(config)
    if others:  # a folder may hold other images than before
        digests = ",".join(used.images.digest for used in others.values())
        identity[Tag.DATA_DIGEST] = hashlib.sha256(digests.encode()).hexdigest()[:32]
    with run_session(store) as session:
        wanted = session.find(Kind.PATH_BY_LAYER, identity)
        if wanted.finished is not None and _has_resampling(wanted.finished, config):
            point_launcher_at(store, wanted.finished.info.run_id, f"these paths by layer were {FINISHED_BEFORE}")
            return _outcome(wanted.finished, FINISHED_BEFORE)
        start = RunStart(name, _tags(ends, config), to_params(config), ("layers.txt", _listed(layers)))
        run = wanted.open(start, parent)
        log_data(run, split_inputs(ends, {split: splits[split] for split in config.path.splits}) | others)
        measured = MeasuredLayers(config, ends, layers, needed_splits(config, splits))
        with work.workers(measured) as workers:
            found = _measure(run, config, workers, layers, symmetry)
        top, _ = log_layers(run, config, found, name)
        said = f"paths by layer `{run.run_id}`: {top_sentence(top)}"
        for pair in dict.fromkeys(end.split_run for end in ends):
            list_on(run.client, pair, said)
        how = "measured" if wanted.interrupted is None else "resumed"
    return _outcome(store.client.get_run(run.run_id), how)


def _layers_of(config: InterpolateConfig, ends: Ends, images: LabelledImages) -> tuple[Layer, ...]:
    few = torch.arange(min(2, images.images.shape[0]))
    sample = next(images.images.batches(few, 2))
    return find_layers(ends[0].network().to(sample.device), sample, config.by_layer.layer_groups)


def _listed(layers: tuple[Layer, ...]) -> str:
    return "".join(f"{i} {layer.name}: {', '.join(layer.tensors)}\n" for i, layer in enumerate(layers, start=1))


def _has_resampling(run: Run, config: InterpolateConfig) -> bool:
    wanted = to_params(config)
    return all(run.data.params.get(name) == wanted[name] for name in RESAMPLING)


def _measure(
    run: TrackedRun,
    config: InterpolateConfig,
    workers: Workers[LayersMeasurer],
    layers: tuple[Layer, ...],
    symmetry: Symmetry | None,
) -> LayersMeasurement:
    """Measure the paths but those that an interrupted process has; the whole path first, against which others are."""
    progress, aligned = Progress(run), None
    known = progress.known()
    if symmetry is not None:
        (alignment,) = in_order(workers.map(LayersMeasurer.alignment, [symmetry]))
        log_matching(run, alignment, "alignment/")
        aligned = alignment.network
    whole = unpack_whole(known, config.path)
    found: dict[tuple[int, ...], LayerNumbers] = {} if whole is None else unpack(known)
    everything, *others = layers_to_move(config.by_layer.layers, len(layers))
    left = [LayersTask(moved, aligned) for moved in others if moved not in found]
    with save_when_stopped(progress), _bar(1 + len(others), len(others) - len(left)) as bar:
        if whole is None:
            (first,) = in_order(workers.map(LayersMeasurer.path, [LayersTask(everything, aligned)]))
            whole = dict(first.curves)
            found[everything] = numbers_of(first, whole, config.path.confidence)
            progress.add(pack_whole(whole, config.path) | pack(everything, len(layers), found[everything]))
        bar.update()
        for _, measured in workers.map(LayersMeasurer.path, left):
            moved = measured.own.moved
            found[moved] = numbers_of(measured, whole, config.path.confidence)
            progress.add(pack(moved, len(layers), found[moved]))
            bar.update()
        (features,) = in_order(workers.map(LayersMeasurer.features, [LayersTask((), aligned)]))
    return LayersMeasurement(layers, found, features)


def _bar(total: int, done: int) -> "tqdm[Any]":
    return tqdm(total=total, initial=done, desc="layers", unit="path", leave=False, disable=None)


def _outcome(run: Run, how: str) -> LayersOutcome:
    table: pd.DataFrame = read_table(run.info.run_id, Artifact.BARRIER_BY_LAYER)
    split = str(table["split"].iloc[0])
    rows = tuple(
        {str(key): value for key, value in row.items()} for row in table[table["split"] == split].to_dict("records")
    )
    return LayersOutcome.of(run, how, split=split, rows=rows)


def _tags(ends: Ends, config: InterpolateConfig) -> Mapping[str, str]:
    tags = {Tag.BN: config.path.bn, **joined_tags(ends)}
    if config.aligning.align != NONE:
        tags[Tag.ALIGN] = config.aligning.align
    if ends[0].split_run == ends[1].split_run:
        tags[Tag.PAIR] = ends[0].split_run
    return tags
