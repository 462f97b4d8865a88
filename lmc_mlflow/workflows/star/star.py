"""How is a star trained and verified, from run ids to a run?"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.alignment import LabelledSample
from lmc_mlflow.config.commands import StarConfig
from lmc_mlflow.config.star import matching_of
from lmc_mlflow.config.train_pair import NoiseConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.models.registry import build_network
from lmc_mlflow.query.runs import Run
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.star.alignment import (
    Aligner,
    Sources,
    make_aligner,
    no_aligner,
)
from lmc_mlflow.star.measures import Bench
from lmc_mlflow.star.segments import SegmentNetwork
from lmc_mlflow.star.training import train_star
from lmc_mlflow.tracking.lifecycle import ending, point_launcher_at
from lmc_mlflow.tracking.locks import claiming
from lmc_mlflow.tracking.process import Terminated
from lmc_mlflow.tracking.store import Store, open_store
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee, check_last_batch
from lmc_mlflow.workflows.lifecycle.machine import peak_memory, prepare_machine
from lmc_mlflow.workflows.lifecycle.previous_runs import Before, take
from lmc_mlflow.workflows.star.recorder import StarRecorder
from lmc_mlflow.workflows.star.results import Made, log_star
from lmc_mlflow.workflows.star.runs import claim_key, look_before, open_star
from lmc_mlflow.workflows.star.sources import (
    Joined,
    find_joined,
    optimization_of,
    with_full_ids,
)


@dataclass(frozen=True)
class StarOutcome:
    """The run of a star, its verdict and numbers, and how it came about: `trained`, `resumed` or `finished before`."""

    star: str
    name: str
    how: str
    verdict: str
    metrics: dict[str, float]
    experiment_id: str


def star(config: StarConfig) -> StarOutcome:
    """Train a star for logged networks and verify it; or resume, or point at the finished one.

    Everything that can be wrong with the machine, the store, the networks and their data is found before a run
    is opened.

    Raises:
        ValueError: something a user can put right; says how.
        StoreError: the tracking store cannot be used.
        FloatingPointError: the loss is no number any more.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    joined = find_joined(store, config, device)
    config = with_full_ids(config, joined)
    made = make_star(config, joined, device)
    with claiming(store) as claim:
        before = _look(store, config, joined, claim)
        if before.finished is not None and not config.resume.force:
            point_launcher_at(store, before.finished.info.run_id, "this star was finished before")
            return _outcome(before.finished, "finished before")
        interrupted = None if config.resume.force else before.interrupted
        with ending() as keep:
            run = open_star(store, config, joined, made.optimization, interrupted, keep)
            recorder = StarRecorder(run, made.trainee, made.sources, made.bench, config, made.optimization.epochs)
            if interrupted is not None:
                recorder.restore()
            _train(config, joined, made, recorder)
            run.log_metrics(peak_memory(device))
            log_star(run, config, joined, made, recorder.wall_seconds())
    return _outcome(store.client.get_run(run.run_id), "trained" if interrupted is None else "resumed")


def _look(store: Store, config: StarConfig, joined: Joined, claim: Callable[[str], None]) -> Before:
    before = look_before(store, config, joined)
    if before.finished is None or config.resume.force:
        take(claim, claim_key(store, config, joined))
        before = look_before(store, config, joined)
    return before


def _outcome(run: Run, how: str) -> StarOutcome:
    tags = run.data.tags
    return StarOutcome(
        run.info.run_id, run.info.run_name or "", how, tags[Tag.STAR], dict(run.data.metrics), run.info.experiment_id
    )


def _train(config: StarConfig, joined: Joined, made: Made, recorder: StarRecorder) -> None:
    try:
        train_star(
            made.trainee,
            made.sources,
            config.segments,
            made.optimization,
            joined.data.flips,
            recorder.epoch + 1,
            recorder.on_epoch,
        )
    except (KeyboardInterrupt, Terminated):
        recorder.save()
        raise


def make_star(config: StarConfig, joined: Joined, device: torch.device) -> Made:
    """The star before its first step, with its sources, and what it is measured with.

    Raises:
        ValueError: the units of the network cannot be exchanged, or the settings contradict one another.
    """
    first = joined.sources[0]
    segments = config.segments
    optimization = optimization_of(config.training, first.config.optimization)
    network = build_network(first.spec, derive_seed(segments.star_seed, "star/init")).to(device)
    aligner = _aligner(config, joined, network)
    states = [{name: value.to(device) for name, value in source.state.items()} for source in joined.sources]
    sources = Sources(aligner, states)
    bench = Bench(
        copy.deepcopy(network),
        joined.data.test.images,
        joined.data.test.labels,
        joined.train.images,
        config.judging.num_alphas,
        config.judging.bn,
    )
    network.load_state_dict(STARTS[segments.star_init](network, sources))
    check_last_batch(network, joined.train.images, optimization.batch_size, "star")
    wrapped = SegmentNetwork(network, segments.own_loss_weight)
    trainee = Trainee(
        side="star",
        network=wrapped,
        optimizer=make_optimizer(wrapped.parameters(), optimization),
        noise=noise_stream(NoiseConfig(), derive_seed(segments.star_seed, "star/noise"), "A", device),
        images=joined.train.images,
        labels=joined.train.labels,
    )
    return Made(trainee, sources, aligner, bench, optimization)


STARTS: dict[str, Callable[[nn.Module, Sources], dict[str, Tensor]]] = {
    "random": lambda network, _: network.state_dict(),
    "first": lambda _, sources: dict(sources.logged[0]),
    "mean": lambda _, sources: sources.mean(),
}


def _aligner(config: StarConfig, joined: Joined, network: nn.Module) -> Aligner:
    segments = config.segments
    if segments.match_every == 0:
        return no_aligner()
    _, channels, height, width = joined.data.test.images.shape
    images = torch.zeros(2, channels, height, width, device=next(network.parameters()).device)
    sample = LabelledSample(joined.train.images, joined.train.labels)
    try:
        return make_aligner(network, images, segments.match_method, matching_of(segments, config.matching), sample)
    except ValueError as error:
        raise ValueError(
            f"{joined.sources[0].spec.model}: {error}; match_every=0 leaves the sources unaligned"
        ) from None
