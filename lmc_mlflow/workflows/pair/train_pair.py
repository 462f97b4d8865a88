"""Trains pairs from beginning to end: one, or several seeds of one configuration together."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.train_pair import OUR_LOOP, TogetherConfig
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.models.timm_networks import refuse_pretrained
from lmc_mlflow.query.networks import endpoints_of_pair
from lmc_mlflow.query.runs import latest_metrics
from lmc_mlflow.tracking.connection.store import Store, open_store
from lmc_mlflow.tracking.launcher_run import point_launcher_at
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.engines.data_parallel.engine import why_not_data_parallel
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.devices import prepare_devices
from lmc_mlflow.workflows.lifecycle.machine import peak_memory
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE, Outcome
from lmc_mlflow.workflows.lifecycle.previous_runs import AtWorkError
from lmc_mlflow.workflows.lifecycle.progress import save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import RunSession, WantedRun, run_session
from lmc_mlflow.workflows.pair.budget import with_epochs
from lmc_mlflow.workflows.pair.earlier_reading import earlier_reading, has_interrupted
from lmc_mlflow.workflows.pair.recorder import Recorder
from lmc_mlflow.workflows.pair.results import log_endpoint, log_pair
from lmc_mlflow.workflows.pair.runs import PairRuns, make_trainees, network_spec, open_pair, pair_identity
from lmc_mlflow.workflows.pair.shift_test import log_shift
from lmc_mlflow.workflows.pair.train_in_step import train_in_step
from lmc_mlflow.workflows.publish.at_end import check_publishable, publish_all


@dataclass(frozen=True)
class PairOutcome(Outcome):
    """A trained pair: `run_id` is the pair's, `how` is `trained`, `resumed` or `finished before`.

    Attributes:
        endpoints: side -> run id.
        sides: side -> last metrics of its endpoint.
        models: side -> address of its published model; empty where none was wanted.
    """

    endpoints: dict[str, str]
    sides: dict[str, dict[str, float]]
    models: dict[str, str] = field(default_factory=dict)


def train_seeds(config: TrainPairConfig, parent: TrackedRun | None = None) -> list[PairOutcome]:
    """Train one pair for each of `seeds` (or for `seed` alone), together; otherwise as `train_pair`."""
    seeds = config.together.seeds or (config.model.seed,)
    alone = TogetherConfig()
    return train_pairs(
        [replace(config, model=replace(config.model, seed=seed), together=alone) for seed in seeds], parent
    )


def train_pair(config: TrainPairConfig, parent: TrackedRun | None = None) -> PairOutcome:
    """Train both sides of a shift and log everything; or resume, or give the finished pair.

    Everything that can be wrong with the machine, the tracking store, the data and the network is
    found before a run is opened.

    Args:
        config: what to train.
        parent: run that the pair is nested under (an experiment, a sweep).

    Raises:
        ValueError: something a user can put right; says how.
        StoreError: the tracking store cannot be used.
        FloatingPointError: a loss is not a number any more.
    """
    return train_pairs([config], parent)[0]


@dataclass(frozen=True)
class _Untrained:
    """A pair that this process is going to train; nothing is logged of it yet."""

    config: TrainPairConfig
    trainees: list[Trainee]
    wanted: WantedRun


@dataclass(frozen=True)
class _Training:
    """A pair in training, with its open runs."""

    config: TrainPairConfig
    trainees: list[Trainee]
    wanted: WantedRun
    runs: PairRuns
    recorder: Recorder


def train_pairs(configs: Sequence[TrainPairConfig], parent: TrackedRun | None = None) -> list[PairOutcome]:
    """Train pairs that differ in their seeds alone, all networks in step; each has runs of its own.

    Raises:
        AtWorkError: another process that lives is training one of them.
    """
    outcomes = _train_pairs(configs, parent, pass_over_busy=False)
    return [outcome for outcome in outcomes if outcome is not None]


def train_free_pairs(configs: Sequence[TrainPairConfig], parent: TrackedRun | None = None) -> list[PairOutcome | None]:
    """Train pairs as `train_pairs` does, but give None for a pair that another process is training."""
    return _train_pairs(configs, parent, pass_over_busy=True)


def _train_pairs(
    configs: Sequence[TrainPairConfig], parent: TrackedRun | None, pass_over_busy: bool
) -> list[PairOutcome | None]:
    first = configs[0]
    if first.optimization.loop != OUR_LOOP:
        raise ValueError(f"loop={first.optimization.loop}: train_pair trains by our loop; leave it out")
    devices = prepare_devices(first.runtime, first.data_parallel.devices)
    store = open_store()
    data = load_shifted(first.data, devices[0])
    configs = [with_epochs(config, data) for config in configs]
    found: list[PairOutcome | _Untrained | None] = []
    with run_session(store) as session:
        for config in configs:
            try:
                item = _find(store, session, config, data, devices)
            except AtWorkError:
                if not pass_over_busy:
                    raise
                found.append(None)
                continue
            finished = item.wanted.finished
            found.append(item if finished is None else _outcome(store, finished.info.run_id, FINISHED_BEFORE))
        untrained = [item for item in found if isinstance(item, _Untrained)]
        if untrained and first.publishing.publish:
            check_publishable(network_spec(first, data))
        trained = iter(_train_untrained(store, untrained, data, parent, devices) if untrained else ())
    outcomes = [next(trained) if isinstance(item, _Untrained) else item for item in found]
    if first.publishing.publish:
        outcomes = [one and _published(one, first) for one in outcomes]
    if not untrained and outcomes[0] is not None:
        point_launcher_at(store, outcomes[0].run_id, f"this configuration was {FINISHED_BEFORE}")
    return outcomes


def _published(outcome: PairOutcome, config: TrainPairConfig) -> PairOutcome:
    models = publish_all(outcome.endpoints.values(), config.runtime, config.data.data_root)
    return replace(outcome, models={side: models[run_id] for side, run_id in outcome.endpoints.items()})


def _find(
    store: Store, session: RunSession, config: TrainPairConfig, data: ShiftedData, devices: Sequence[torch.device]
) -> _Untrained:
    """Look a pair up, or one that an earlier version has begun by the same command: it goes on as it began."""
    trainees = _make_trainees(config, data, devices)
    wanted = session.find(Kind.PAIR, pair_identity(config, data), config.resume.force)
    earlier = earlier_reading(config)
    is_known = wanted.finished is not None or wanted.interrupted is not None
    if not is_known:
        refuse_pretrained(config.model.model)
    if earlier is None or is_known or config.resume.force or not has_interrupted(store, pair_identity(earlier, data)):
        return _Untrained(config, trainees, wanted)
    wanted = session.find(Kind.PAIR, pair_identity(earlier, data))
    return _Untrained(earlier, make_trainees(earlier, data, devices[0]), wanted)


def _make_trainees(config: TrainPairConfig, data: ShiftedData, devices: Sequence[torch.device]) -> list[Trainee]:
    """Make the trainees of a pair on the first device, and refuse those that several devices cannot train."""
    trainees = make_trainees(config, data, devices[0])
    reason = why_not_data_parallel(trainees, config.optimization, devices) if len(devices) > 1 else None
    if reason is not None:
        raise ValueError(f"devices={','.join(config.data_parallel.devices)}: {reason}")
    return trainees


def _outcome(store: Store, run_id: str, how: str) -> PairOutcome:
    a, b = endpoints_of_pair(store.client, run_id)
    endpoints = {"A": a, "B": b}
    sides = {side: latest_metrics(store.client, endpoint) for side, endpoint in endpoints.items()}
    return PairOutcome.of(store.client.get_run(run_id), how, endpoints=endpoints, sides=sides)


def _train_untrained(
    store: Store,
    untrained: list[_Untrained],
    data: ShiftedData,
    parent: TrackedRun | None,
    devices: Sequence[torch.device],
) -> list[PairOutcome]:
    opened = [(item, open_pair(store, item.wanted, item.config, data, parent)) for item in untrained]
    log_shift([runs.pair for _, runs in opened], untrained[0].config, data)
    trainings = [_start(item, runs) for item, runs in opened]
    for _, group in itertools.groupby(sorted(trainings, key=_epoch_of), key=_epoch_of):  # resumed ones keep apart
        _train_together(list(group), data, devices)
    for training in trainings:
        session, runs = training.wanted.session, training.runs
        runs.pair.log_once({**training.recorder.shares(), **peak_memory(devices[0])})
        for trainee in training.trainees:
            log_endpoint(runs, training.config, data, trainee, training.recorder.epochs_of(trainee.side))
        training.recorder.close()
        log_pair(runs, training.config, data, training.trainees, training.recorder.progress.wall_seconds())
        session.close(*runs.endpoints.values(), runs.pair)
    return [_outcome(store, one.runs.pair.run_id, one.wanted.how("trained")) for one in trainings]


def _start(item: _Untrained, runs: PairRuns) -> _Training:
    config, trainees = item.config, item.trainees
    recorder = Recorder(runs, trainees, config, resumed=item.wanted.interrupted is not None)
    return _Training(config, trainees, item.wanted, runs, recorder)


def _epoch_of(training: _Training) -> int:
    return training.recorder.progress.epoch


def _train_together(trainings: list[_Training], data: ShiftedData, devices: Sequence[torch.device]) -> None:
    recorders = [training.recorder for training in trainings]
    with save_when_stopped(*(recorder.progress for recorder in recorders)):
        test, config = (data.test.images, data.test.labels), trainings[0].config.optimization
        engine = train_in_step(recorders, test, config, data.flips, devices)
    for training in trainings:
        for run in (training.runs.pair, *training.runs.endpoints.values()):
            run.set_tags({Tag.ENGINE: engine, Tag.NUM_DEVICES: str(len(devices))})


def check_pair(config: TrainPairConfig) -> None:
    """Find out, without opening a run, whether the machine, the data and the network of a configuration are there.

    Raises:
        ValueError: something a user can put right; says how.
    """
    refuse_pretrained(config.model.model)
    devices = prepare_devices(config.runtime, config.data_parallel.devices)
    data = load_shifted(config.data, devices[0])
    _make_trainees(with_epochs(config, data), data, devices)
