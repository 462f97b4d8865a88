"""Builds the two networks of a pair, and opens its three runs."""

import copy
import json
from dataclasses import dataclass, replace

import torch
from torch import nn

from lmc_mlflow.config.canonical import fingerprint, to_nested, to_params
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.data.labelled import edge_of
from lmc_mlflow.data.loading import SIDES, ShiftedData
from lmc_mlflow.models.freezing import freeze
from lmc_mlflow.models.registry import NetworkSpec, build_network, check_repeats
from lmc_mlflow.own_code import is_own, source_digest
from lmc_mlflow.query.networks import sides_of_pair
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.tracking.lifecycle import probe_artifacts
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.budget import limit_steps, without_budget
from lmc_mlflow.training.noise import initialization_seeds, noise_stream
from lmc_mlflow.training.optimizers import make_optimizer, noise_scale
from lmc_mlflow.training.trainee import Trainee, check_last_batch
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, WantedRun
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, log_data
from lmc_mlflow.workflows.networks.run_names import pair_run_name, start_words
from lmc_mlflow.workflows.pair.earlier_reading import FIRST_EPOCH, begun_earlier


@dataclass(frozen=True)
class PairRuns:
    """A pair run and its two endpoint runs, being written.

    Attributes:
        pair: the pair's.
        endpoints: side -> its run.
        can_resume: whether all three were there before; where a side was deleted, all its epochs are trained again.
    """

    pair: TrackedRun
    endpoints: dict[str, TrackedRun]
    can_resume: bool


def network_spec(config: TrainPairConfig, data: ShiftedData) -> NetworkSpec:
    """Specify the network that a configuration names, for the images it loads."""
    _, channels, height, width = data.test.images.shape
    output = "log_probabilities" if data.test.labels.ndim == 1 else "logits"
    model = config.model
    return NetworkSpec(
        model.model,
        channels,
        height,
        width,
        len(data.classes),
        model.dropout_rate,
        output,
        model.weights_init,
        model.model_options,
        source_digest("model", model.model) if is_own("model", model.model) else "",
    )


def make_trainees(config: TrainPairConfig, data: ShiftedData, device: torch.device) -> list[Trainee]:
    """Initialize side A and side B, with their optimizers and their noise.

    Raises:
        ValueError: the network is unknown or cannot take these images, or batches of this size of them.
    """
    spec = network_spec(config, data)
    seeds = initialization_seeds(config.model.init, config.noise.noise_scope, config.model.seed)
    first = build_network(spec, seeds[0])
    check_repeats(spec, seeds[0], first)
    second = copy.deepcopy(first) if seeds[0] == seeds[1] else build_network(spec, seeds[1])
    return [_trainee(config, data, side, network, device) for side, network in zip(SIDES, (first, second), strict=True)]


def make_trunk(config: TrainPairConfig, data: ShiftedData, device: torch.device) -> Trainee:
    """Initialize the network that both sides are until they part, on `shared_data`; its noise is side A's.

    Raises:
        ValueError: as in `make_trainees`.
    """
    spec = network_spec(config, data)
    seed, _ = initialization_seeds(config.model.init, config.noise.noise_scope, config.model.seed)
    config = replace(config, optimization=without_budget(config.optimization))
    return _trainee(config, data, config.starting.shared_data, build_network(spec, seed), device, "A")


def _trainee(
    config: TrainPairConfig,
    data: ShiftedData,
    side: str,
    network: nn.Module,
    device: torch.device,
    noise_side: str = "",
) -> Trainee:
    freeze(network, config.starting.freeze)
    network.to(device)
    own = data.side(side)
    trainee = Trainee(
        side=side,
        network=network,
        optimizer=make_optimizer(network.parameters(), config.optimization),
        noise=limit_steps(
            noise_stream(config.noise, config.model.seed, noise_side or side, device, data.translate, data.boxed),
            config.optimization,
            config.starting.parting,
        ),
        images=own.images,
        labels=own.labels,
        edge=edge_of(config.data, own),
    )
    check_last_batch(network, own.images, config.optimization.batch_size, side)
    return trainee


def pair_name(config: TrainPairConfig) -> str:
    """Name a pair as a person would."""
    extras = [f"lr {config.optimization.lr:g}", f"B {config.optimization.batch_size}"]
    if config.noise.noise != "same":
        extras.append("different noise")
    if config.model.init != "same":
        extras.append("different init")
    if start_words(config):
        extras.append(start_words(config))
    return (
        f"{config.data.dataset} {config.model.model} {config.data.shift} seed {config.model.seed} ({', '.join(extras)})"
    )


def pair_identity(config: TrainPairConfig, data: ShiftedData) -> dict[str, str]:
    """Give the tags that tell a pair from all others: its configuration and the content of its data."""
    return {Tag.FINGERPRINT: fingerprint(config), Tag.DATA_DIGEST: data.digest}


def open_pair(
    store: Store, wanted: WantedRun, config: TrainPairConfig, data: ShiftedData, parent: TrackedRun | None
) -> PairRuns:
    """Open the three runs, or reopen those of an interrupted pair, and log all that is known before training."""
    tags, params = pair_tags(config), to_params(config)
    if wanted.interrupted is not None and begun_earlier(wanted.interrupted):
        params.pop(FIRST_EPOCH)  # the same command finds it again after the next interruption
    pair = wanted.open(RunStart(pair_run_name(config), tags, params), parent)
    known: dict[str, Run] = {}
    if wanted.interrupted is not None:
        known = sides_of_pair(store.client, wanted.interrupted)
    endpoints = {}
    for side in SIDES:
        scale = noise_scale(config.optimization.lr, len(data.side(side)), config.optimization.batch_size)
        own = {**tags, **wanted.identity, Tag.SIDE: side, Tag.NOISE_SCALE: f"{scale:.6g}"}
        start = RunStart(pair_run_name(config, side), own, params)
        endpoints[side] = wanted.session.open(Kind.ENDPOINT, start, known.get(side), pair)
    # Not before all three are open: they fail together.
    probe_artifacts(pair, json.dumps(to_nested(config), indent=1), "config.json")
    pair.log_arrays({"A": data.sides.a, "B": data.sides.b}, Artifact.SPLIT)
    inputs = {side: InputImages(data.side(side), config.data, side) for side in SIDES}
    test, num_classes = InputImages(data.test, config.data), len(data.classes)
    log_data(pair, {f"train_{side.lower()}": inputs[side] for side in SIDES} | {"test": test}, num_classes)
    for side, run in endpoints.items():
        log_data(run, {f"train_{side.lower()}": inputs[side], "test": test}, num_classes)
    return PairRuns(pair, endpoints, set(SIDES) <= set(known))


def pair_tags(config: TrainPairConfig) -> dict[str, str]:
    """Give the settings of a training that are tags too."""
    return {
        Tag.DATASET: config.data.dataset,
        Tag.MODEL: config.model.model,
        Tag.SHIFT: config.data.shift,
        Tag.SEED: str(config.model.seed),
        Tag.NOISE: config.noise.noise,
        Tag.LR: f"{config.optimization.lr:g}",
        Tag.BATCH_SIZE: str(config.optimization.batch_size),
    }
