"""Trains pairs from beginning to end: one, or several seeds of one configuration together."""

import itertools
import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace

import torch

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.train_pair import OUR_LOOP, TogetherConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.tracking.connection.store import Store, open_store
from lmc_mlflow.tracking.launcher_run import point_launcher_at
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.devices import prepare_devices
from lmc_mlflow.workflows.lifecycle.machine import peak_memory
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE
from lmc_mlflow.workflows.lifecycle.previous_runs import AtWorkError
from lmc_mlflow.workflows.lifecycle.progress import save_when_stopped
from lmc_mlflow.workflows.lifecycle.run_once import WantedRun, run_session
from lmc_mlflow.workflows.pair.budgets.budget import with_epochs
from lmc_mlflow.workflows.pair.budgets.train_in_step import train_in_step
from lmc_mlflow.workflows.pair.find_pair import FoundPair, find_pair
from lmc_mlflow.workflows.pair.pair_outcome import PairOutcome, outcome_of_pair
from lmc_mlflow.workflows.pair.recorder import Recorder
from lmc_mlflow.workflows.pair.results import log_endpoint, log_pair
from lmc_mlflow.workflows.pair.runs import PairRuns, network_spec, open_pair
from lmc_mlflow.workflows.pair.shift_test import log_shift
from lmc_mlflow.workflows.pair.starting.kept_epochs import check_room, needed_bytes
from lmc_mlflow.workflows.pair.starting.perturbation import perturb
from lmc_mlflow.workflows.pair.starting.start import StartingPoint, put_at_start
from lmc_mlflow.workflows.pair.starting.trunk import Trunk, trunk_start
from lmc_mlflow.workflows.pair.stopping import STOPPED, StopRule, end_stopped
from lmc_mlflow.workflows.publish.at_end import check_publishable, publish_all

logger = logging.getLogger(__name__)


def train_seeds(
    config: TrainPairConfig, parent: TrackedRun | None = None, tell: Callable[[str], None] = logger.info
) -> list[PairOutcome]:
    """Train one pair for each of `seeds` (or for `seed` alone), together; otherwise as `train_pair`.

    Args:
        config: what to train.
        parent: as in `train_pair`.
        tell: takes a line about how much room kept epochs need, before the training.
    """
    seeds = config.together.seeds or (config.model.seed,)
    alone = TogetherConfig()
    configs = [replace(config, model=replace(config.model, seed=seed), together=alone) for seed in seeds]
    return [outcome for outcome in _train_pairs(configs, parent, False, tell) if outcome is not None]


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
    return [outcome for outcome in _train_pairs(configs, parent, False) if outcome is not None]


def train_free_pairs(
    configs: Sequence[TrainPairConfig],
    parent: TrackedRun | None = None,
    stop: StopRule | None = None,
    apart_from: Container[str] = (),
) -> list[PairOutcome | None]:
    """Train pairs as `train_pairs` does, but give None for a pair that another process is training.

    `stop` stops hopeless pairs, whose outcomes are `STOPPED`. Pairs with the run ids `apart_from` do not count.
    """
    return _train_pairs(configs, parent, True, stop=stop, apart_from=apart_from)


def _train_pairs(
    configs: Sequence[TrainPairConfig],
    parent: TrackedRun | None,
    pass_over_busy: bool,
    tell: Callable[[str], None] = logger.info,
    stop: StopRule | None = None,
    apart_from: Container[str] = (),
) -> list[PairOutcome | None]:
    first = configs[0]
    if first.optimization.loop != OUR_LOOP:
        raise ValueError(f"loop={first.optimization.loop}: train_pair trains by our loop; leave it out")
    devices = prepare_devices(first.runtime, first.data_parallel.devices)
    store = open_store()
    data = load_shifted(first.data, devices[0])
    configs = [with_epochs(config, data) for config in configs]
    found: list[PairOutcome | FoundPair | None] = []
    with run_session(store) as session:
        for config in configs:
            try:
                item = find_pair(store, session, config, data, devices, apart_from)
            except AtWorkError:
                if not pass_over_busy:
                    raise
                found.append(None)
                continue
            finished = item.wanted.finished
            found.append(item if finished is None else outcome_of_pair(store, finished.info.run_id, FINISHED_BEFORE))
        untrained = [item for item in found if isinstance(item, FoundPair)]
        if said := check_room(store, needed_bytes([(item.config, item.trainees) for item in untrained])):
            tell(said)
        if untrained and first.publishing.publish:
            check_publishable(network_spec(first, data))
        trained = iter(_train_untrained(store, untrained, data, parent, devices, stop) if untrained else ())
    outcomes = [next(trained) if isinstance(item, FoundPair) else item for item in found]
    if first.publishing.publish:
        outcomes = [_published(one, first) if one and one.how != STOPPED else one for one in outcomes]
    if not untrained and outcomes[0] is not None:
        point_launcher_at(store, outcomes[0].run_id, f"this configuration was {FINISHED_BEFORE}")
    return outcomes


def _published(outcome: PairOutcome, config: TrainPairConfig) -> PairOutcome:
    models = publish_all(outcome.endpoints.values(), config.runtime, config.data.data_root)
    return replace(outcome, models={side: models[run_id] for side, run_id in outcome.endpoints.items()})


def _train_untrained(
    store: Store,
    untrained: list[FoundPair],
    data: ShiftedData,
    parent: TrackedRun | None,
    devices: Sequence[torch.device],
    stop: StopRule | None = None,
) -> list[PairOutcome]:
    starts = [_part(store, item, data, devices) for item in untrained]
    opened = [(item, open_pair(store, item.wanted, item.config, data, parent)) for item in untrained]
    for (_, runs), start in zip(opened, starts, strict=True):
        if start is not None:
            for run in (runs.pair, *runs.endpoints.values()):
                run.set_tags({Tag.START: start.run_id})
    log_shift([runs.pair for _, runs in opened], untrained[0].config, data)
    trainings = [_start(item, runs, data) for item, runs in opened]
    for _, group in itertools.groupby(sorted(trainings, key=_epoch_of), key=_epoch_of):  # resumed ones keep apart
        _train_together(list(group), data, devices, stop)
    for training in trainings:
        session, runs = training.wanted.session, training.runs
        if training.recorder.stopped:
            end_stopped(session, runs, training.recorder)
            continue
        training.recorder.close_kept(runs.pair)
        runs.pair.log_once({**training.recorder.shares(), **peak_memory(devices[0])})
        for trainee in training.trainees:
            log_endpoint(runs, training.config, data, trainee, training.recorder.epochs_of(trainee.side))
        training.recorder.close()
        log_pair(runs, training.config, data, training.trainees, training.recorder.progress.wall_seconds())
        session.close(*runs.endpoints.values(), runs.pair)
    return [
        outcome_of_pair(store, one.runs.pair.run_id, STOPPED if one.recorder.stopped else one.wanted.how("trained"))
        for one in trainings
    ]


def _part(store: Store, item: FoundPair, data: ShiftedData, devices: Sequence[torch.device]) -> StartingPoint | None:
    """Put both sides where they part, by the shared epochs if there are any, and perturb side B."""
    start = item.start
    if item.config.starting.shared_epochs:
        start = trunk_start(store, item.wanted.session, Trunk(item.config, data, devices, item.start))
        put_at_start(item.trainees, item.config, start)
    perturb(item.trainees[1], item.config)
    return start


def _start(item: FoundPair, runs: PairRuns, data: ShiftedData) -> _Training:
    config, trainees = item.config, item.trainees
    recorder = Recorder(runs, trainees, config, resumed=item.wanted.interrupted is not None)
    if config.starting.is_common and recorder.is_at_start:
        recorder.log_scores([_report_of(trainee, data, config.starting.parting) for trainee in trainees], trained=False)
    return _Training(config, trainees, item.wanted, runs, recorder)


def _report_of(trainee: Trainee, data: ShiftedData, epoch: int) -> EpochReport:
    """Score a network before its first epoch, in evaluation mode on both splits."""
    train = evaluate(trainee.network, trainee.images, trainee.labels)
    return EpochReport(trainee.side, epoch, train, evaluate(trainee.network, data.test.images, data.test.labels))


def _epoch_of(training: _Training) -> int:
    return training.recorder.progress.epoch


def _train_together(
    trainings: list[_Training], data: ShiftedData, devices: Sequence[torch.device], stop: StopRule | None
) -> None:
    recorders = [training.recorder for training in trainings]
    with save_when_stopped(*(recorder.progress for recorder in recorders)):
        test, config = (data.test.images, data.test.labels), trainings[0].config.optimization
        engine = train_in_step(recorders, test, config, data.flips, devices, stop)
    for training in trainings:
        for run in (training.runs.pair, *training.runs.endpoints.values()):
            run.set_tags({Tag.ENGINE: engine, Tag.NUM_DEVICES: str(len(devices))})
