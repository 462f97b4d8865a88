"""Trains and verifies a star: one network that is connected to all its sources."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lmc_mlflow.alignment import LabelledSample
from lmc_mlflow.config.commands import StarConfig
from lmc_mlflow.config.star import matching_of
from lmc_mlflow.config.starting import StartConfig
from lmc_mlflow.config.train_pair import NoiseConfig
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.data.labelled import edge_of
from lmc_mlflow.models.registry import build_network
from lmc_mlflow.query.runs import Run
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.star_domains.alignment import (
    Aligner,
    Sources,
    make_aligner,
    no_aligner,
)
from lmc_mlflow.star_domains.measures import Bench
from lmc_mlflow.star_domains.segments import SegmentNetwork
from lmc_mlflow.star_domains.training import train_star
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee, check_last_batch
from lmc_mlflow.workflows.adopt.given import with_runs
from lmc_mlflow.workflows.lifecycle.machine import peak_memory, prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.lifecycle.progress import save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import run_once
from lmc_mlflow.workflows.pair.starting.start import StartingPoint, find_given_start, fitted_state
from lmc_mlflow.workflows.publish.at_end import check_publishable, publish_all
from lmc_mlflow.workflows.star.recorder import StarRecorder
from lmc_mlflow.workflows.star.results import StarTraining, log_star
from lmc_mlflow.workflows.star.runs import open_star, star_identity
from lmc_mlflow.workflows.star.sources import (
    StarInputs,
    load_inputs,
    optimization_of,
    with_full_ids,
)


@dataclass(frozen=True)
class StarOutcome(Outcome):
    """A trained star: `how` is `trained`, `resumed` or `finished before`.

    Attributes:
        verdict: whether it is a star.
        model: address of its published model; empty where none was wanted.
    """

    verdict: str
    model: str = ""


def star(config: StarConfig) -> StarOutcome:
    """Train a star for logged networks and verify it; or resume, or give the finished one.

    Everything that can be wrong with the machine, the store, the networks and their data is found before a run
    is opened.

    Raises:
        ValueError: something a user can put right; says how.
        StoreError: the tracking store cannot be used.
        FloatingPointError: the loss is not a number any more.
    """
    outcome = _find_or_train(config)
    if not config.publishing.publish:
        return outcome
    models = publish_all([outcome.run_id], config.runtime, config.joined.data_root)
    return replace(outcome, model=models[outcome.run_id])


def _find_or_train(config: StarConfig) -> StarOutcome:
    device = prepare_machine(config.runtime)
    config = with_runs(config, "joined", ("sources", "held_out"))
    store = open_store()
    inputs = load_inputs(store, config, device)
    store = beside(store, inputs.sources[0].run.info.experiment_id)
    config = with_full_ids(config, inputs)
    start = find_star_start(store, config, inputs)
    if start is not None:
        given = replace(config.starting, start=start.run_id, start_digest=start.digest())
        config = replace(config, starting=given)
    training = prepare_training(config, inputs, device, start)
    with run_once(store, Kind.STAR, star_identity(config, inputs), config.resume.force) as wanted:
        if wanted.finished is not None:
            return _outcome(wanted.finished, wanted.how("trained"))
        if config.publishing.publish:
            check_publishable(inputs.sources[0].spec)
        run = open_star(wanted, config, inputs, training.optimization)
        recorder = StarRecorder(run, training, config, resumed=wanted.interrupted is not None)
        _train(config, inputs, training, recorder)
        run.log_once(peak_memory(device))
        log_star(run, config, inputs, training, recorder.progress.wall_seconds())
    return _outcome(store.client.get_run(run.run_id), wanted.how("trained"))


def _outcome(run: Run, how: str) -> StarOutcome:
    return StarOutcome.of(run, how, verdict=run.data.tags[Tag.STAR])


def _train(config: StarConfig, inputs: StarInputs, training: StarTraining, recorder: StarRecorder) -> None:
    with save_when_stopped(recorder.progress):
        train_star(
            training.trainee,
            training.sources,
            config.segments,
            training.optimization,
            inputs.data.flips,
            recorder.progress.epoch + 1,
            recorder.on_epoch,
        )


def find_star_start(store: Store, config: StarConfig, inputs: StarInputs) -> StartingPoint | None:
    """Load the network that a star starts from; None where `star_init` says it.

    Raises:
        ValueError: no such network, or weights of another digest than the one given.
    """
    first = inputs.sources[0]
    return find_given_start(store, StartConfig(**vars(config.starting)), first.config.model, lambda: first.spec)


def prepare_training(
    config: StarConfig, inputs: StarInputs, device: torch.device, start: StartingPoint | None = None
) -> StarTraining:
    """Build the star before its first step, load its sources, and build what measures its segments.

    Raises:
        ValueError: the units of the network cannot be exchanged, or the settings contradict one another.
    """
    first = inputs.sources[0]
    segments = config.segments
    optimization = optimization_of(config.training, first.config.optimization)
    network = build_network(first.spec, derive_seed(segments.star_seed, "star/init")).to(device)
    aligner = _aligner(config, inputs, network)
    states = [{name: value.to(device) for name, value in source.state.items()} for source in inputs.sources]
    sources = Sources(aligner, states)
    bench = Bench(
        copy.deepcopy(network),
        inputs.data.test.images,
        inputs.data.test.labels,
        inputs.train.images,
        config.judging.num_alphas,
        config.judging.bn,
    )
    if start is None:
        network.load_state_dict(STARTS[segments.star_init](network, sources))
    else:
        network.load_state_dict(fitted_state(network, first.spec.model, config.starting.start_head, start, "star"))
    check_last_batch(network, inputs.train.images, optimization.batch_size, "star")
    wrapped = SegmentNetwork(network, segments.own_loss_weight)
    crops = inputs.data.translate if first.config.data.crops else 0
    trainee = Trainee(
        side="star",
        network=wrapped,
        optimizer=make_optimizer(wrapped.parameters(), optimization),
        noise=noise_stream(
            NoiseConfig(), derive_seed(segments.star_seed, "star/noise"), "A", device, crops, inputs.data.boxed
        ),
        images=inputs.train.images,
        labels=inputs.train.labels,
        edge=edge_of(first.config.data, inputs.train),
    )
    return StarTraining(trainee, sources, aligner, bench, optimization)


STARTS: dict[str, Callable[[nn.Module, Sources], dict[str, Tensor]]] = {
    "random": lambda network, _: network.state_dict(),
    "first": lambda _, sources: dict(sources.logged[0]),
    "mean": lambda _, sources: sources.mean(),
}


def _aligner(config: StarConfig, inputs: StarInputs, network: nn.Module) -> Aligner:
    segments = config.segments
    if segments.match_every == 0:
        return no_aligner()
    _, channels, height, width = inputs.data.test.images.shape
    images = torch.zeros(2, channels, height, width, device=next(network.parameters()).device)
    sample = LabelledSample(inputs.train.images, inputs.train.labels)
    try:
        return make_aligner(network, images, segments.match_method, matching_of(segments, config.matching), sample)
    except ValueError as error:
        raise ValueError(
            f"{inputs.sources[0].spec.model}: {error}; match_every=0 leaves the sources unaligned"
        ) from None
