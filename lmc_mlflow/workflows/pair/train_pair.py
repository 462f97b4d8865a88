"""How are pairs trained from beginning to end, one or several seeds of one configuration at a time?"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.train_pair import TogetherConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.query.networks import endpoints_of_pair
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.lifecycle import ending, point_launcher_at
from lmc_mlflow.tracking.locks import claiming
from lmc_mlflow.tracking.process import Terminated
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import Store, open_store
from lmc_mlflow.training.loop import EpochReport, train
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.machine import peak_memory, prepare_machine
from lmc_mlflow.workflows.lifecycle.previous_runs import AtWorkError
from lmc_mlflow.workflows.pair.recorder import Recorder
from lmc_mlflow.workflows.pair.results import log_endpoints, log_pair
from lmc_mlflow.workflows.pair.runs import (
    PairRuns,
    claim_pair,
    look_before,
    open_pair,
)
from lmc_mlflow.workflows.pair.setup import make_trainees
from lmc_mlflow.workflows.pair.shift_test import log_shift


@dataclass(frozen=True)
class PairOutcome:
    """The runs of a pair, and how they came about: `trained`, `resumed` or `finished before`."""

    pair: str
    endpoints: dict[str, str]
    how: str
    experiment_id: str


def train_seeds(config: TrainPairConfig, parent: TrackedRun | None = None) -> list[PairOutcome]:
    """One pair for each of `seeds` (or for `seed` alone), trained together; otherwise as `train_pair`."""
    seeds = config.together.seeds or (config.model.seed,)
    alone = TogetherConfig()
    return train_pairs(
        [replace(config, model=replace(config.model, seed=seed), together=alone) for seed in seeds], parent
    )


def train_pair(config: TrainPairConfig, parent: TrackedRun | None = None) -> PairOutcome:
    """Train both sides of a shift and log everything; or resume, or point at the finished pair.

    Everything that can be wrong with the machine, the tracking store, the data and the network is
    found before a run is opened.

    Args:
        config: what to train.
        parent: run to hang the pair under (the chain, a sweep).

    Raises:
        ValueError: something a user can put right; says how.
        StoreError: the tracking store cannot be used.
        FloatingPointError: a loss is no number any more.
    """
    return train_pairs([config], parent)[0]


@dataclass(frozen=True)
class _Wanted:
    """A pair that has to be trained, claimed for this process; nothing is logged of it yet."""

    config: TrainPairConfig
    trainees: list[Trainee]
    interrupted: Run | None


@dataclass(frozen=True)
class _Job:
    """A pair in training, with its open runs."""

    config: TrainPairConfig
    trainees: list[Trainee]
    runs: PairRuns
    recorder: Recorder
    how: str


def train_pairs(configs: Sequence[TrainPairConfig], parent: TrackedRun | None = None) -> list[PairOutcome]:
    """Train pairs that differ in their seeds alone, all networks in step; each is its own set of runs, as ever.

    Raises:
        AtWorkError: another process that lives is training one of them.
    """
    outcomes = _train_pairs(configs, parent, pass_over_busy=False)
    return [outcome for outcome in outcomes if outcome is not None]


def train_free_pairs(configs: Sequence[TrainPairConfig], parent: TrackedRun | None = None) -> list[PairOutcome | None]:
    """As `train_pairs`, but a pair that another process is training is None."""
    return _train_pairs(configs, parent, pass_over_busy=True)


def _train_pairs(
    configs: Sequence[TrainPairConfig], parent: TrackedRun | None, pass_over_busy: bool
) -> list[PairOutcome | None]:
    first = configs[0]
    device = prepare_machine(first.runtime)
    store = open_store()
    data = load_shifted(first.data, device)
    found: list[PairOutcome | _Wanted | None] = []
    with claiming(store) as claim:
        for config in configs:
            trainees = make_trainees(config, data, device)
            try:
                found.append(_look(store, config, data, trainees, claim))
            except AtWorkError:
                if not pass_over_busy:
                    raise
                found.append(None)
        wanted = [item for item in found if isinstance(item, _Wanted)]
        trained = iter(_train_wanted(store, wanted, data, parent, device) if wanted else ())
    outcomes = [next(trained) if isinstance(item, _Wanted) else item for item in found]
    if not wanted and outcomes[0] is not None:
        point_launcher_at(store, outcomes[0].pair, "this configuration was finished before")
    return outcomes


def _look(
    store: Store, config: TrainPairConfig, data: ShiftedData, trainees: list[Trainee], claim: Callable[[str], None]
) -> PairOutcome | _Wanted:
    """The pair as it was finished before, or what is to be trained, claimed for this process."""
    before = look_before(store, config, data)
    if before.finished is None or config.resume.force:
        before = claim_pair(claim, store, config, data)
    if before.finished is not None and not config.resume.force:
        return _outcome_of(store, before.finished)
    return _Wanted(config, trainees, None if config.resume.force else before.interrupted)


def _outcome_of(store: Store, run: Run) -> PairOutcome:
    a, b = endpoints_of_pair(store.client, run.info.run_id)
    return PairOutcome(run.info.run_id, {"A": a, "B": b}, "finished before", store.experiment_id)


def _train_wanted(
    store: Store, wanted: list[_Wanted], data: ShiftedData, parent: TrackedRun | None, device: torch.device
) -> list[PairOutcome]:
    with ending() as keep:
        opened = [(item, open_pair(store, item.config, data, item.interrupted, parent, keep)) for item in wanted]
        log_shift([runs.pair for _, runs in opened], wanted[0].config, data)
        jobs = [_open(item, runs) for item, runs in opened]
        for _, group in itertools.groupby(sorted(jobs, key=_epoch_of), key=_epoch_of):  # resumed ones keep apart
            _train_together(list(group), data)
        for job in jobs:
            job.runs.pair.log_metrics({**job.recorder.shares(), **peak_memory(device)})
            log_endpoints(job.runs, job.config, data, job.trainees)
            log_pair(job.runs, job.config, data, job.trainees, job.recorder.wall_seconds())
    return [
        PairOutcome(
            job.runs.pair.run_id,
            {side: run.run_id for side, run in job.runs.endpoints.items()},
            job.how,
            store.experiment_id,
        )
        for job in jobs
    ]


def _open(wanted: _Wanted, runs: PairRuns) -> _Job:
    config, trainees = wanted.config, wanted.trainees
    recorder = Recorder(runs, trainees, config.resume.checkpoint_every, config.optimization.epochs)
    if wanted.interrupted is not None:
        recorder.restore()
    return _Job(config, trainees, runs, recorder, "trained" if wanted.interrupted is None else "resumed")


def _epoch_of(job: _Job) -> int:
    return job.recorder.epoch


def _train_together(jobs: list[_Job], data: ShiftedData) -> None:
    recorders = [job.recorder for job in jobs]
    trainees = [trainee for job in jobs for trainee in job.trainees]
    config = jobs[0].config

    def on_epoch(epoch: int, reports: list[EpochReport]) -> None:
        for i, recorder in enumerate(recorders):
            recorder.on_epoch(epoch, reports[2 * i : 2 * i + 2])

    try:
        test = (data.test.images, data.test.labels)
        engine = train(
            trainees,
            test,
            config.optimization,
            data.flips,
            recorders[0].epoch + 1,
            on_epoch,
            config.optimization.engine,
        )
    except (KeyboardInterrupt, Terminated):
        for recorder in recorders:
            recorder.save()
        raise
    for job in jobs:
        for run in (job.runs.pair, *job.runs.endpoints.values()):
            run.set_tags({Tag.ENGINE: engine})


def check_pair(config: TrainPairConfig) -> None:
    """Find out, without opening a run, whether the machine, the data and the network of a configuration are there.

    Raises:
        ValueError: something a user can put right; says how.
    """
    device = prepare_machine(config.runtime)
    make_trainees(config, load_shifted(config.data, device), device)
