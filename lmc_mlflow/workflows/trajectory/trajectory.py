"""Trains a logged network further, logs the network of each epoch and their average (SWA)."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from lmc_mlflow.config.canonical import to_nested, to_params
from lmc_mlflow.config.commands import TrainPairConfig, TrajectoryCommandConfig
from lmc_mlflow.config.starting import GivenStartConfig, StartConfig, own_epochs
from lmc_mlflow.config.train_pair import BUDGETS, ELSEWHERE, OptimizationConfig
from lmc_mlflow.config.trajectory import TrajectoryConfig
from lmc_mlflow.contract import HEADLINE, Kind, Tag, where
from lmc_mlflow.data.loading import SIDES, ShiftedData
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.normalization import recalibrate
from lmc_mlflow.plots.per_run.trajectories import trajectory_figure
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.query.runs import search
from lmc_mlflow.seeds import stream
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.loop import train
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.weights import average
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, WantedRun, run_once
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, log_data, training_images
from lmc_mlflow.workflows.networks.derived import derive_network, display_name
from lmc_mlflow.workflows.networks.pair_of_networks import rebuild
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.pair.runs import make_trainees
from lmc_mlflow.workflows.pair.starting.kept_epochs import refuse_unkept
from lmc_mlflow.workflows.pair.starting.start import StartingPoint, find_given_start, fitted_state, with_digest
from lmc_mlflow.workflows.trajectory.epoch_runs import SWA, EpochRuns, EpochSpan, trajectory_identity, trajectory_tags

RECALIBRATION_BATCH = 1000


@dataclass(frozen=True)
class TrajectoryOutcome(Outcome):
    """A trajectory: `how` is `trained`, `resumed` or `finished before`.

    Attributes:
        average: run id of the networks' average.
    """

    average: str

    @property
    def query(self) -> str:
        """Give an MLflow filter that finds its networks."""
        return f'tags."{Tag.TRAJECTORY}" = "{self.run_id}"'


@dataclass(frozen=True)
class _Plan:
    """What is trained on, how, and on what data."""

    config: TrajectoryCommandConfig
    start: LoggedNetwork
    trained: TrainPairConfig
    data: ShiftedData
    kept: tuple[int, ...]
    given: StartingPoint | None

    @property
    def name(self) -> str:
        given = f" from {self.given.run_id[:8]}" if self.given is not None else ""
        return f"trajectory {display_name(self.start)}{given} ({self.config.trajectory.epochs} epochs)"

    @property
    def first(self) -> int:
        """The epoch after which it starts."""
        return self.trained.optimization.epochs - self.config.trajectory.epochs


def trajectory(config: TrajectoryCommandConfig) -> TrajectoryOutcome:
    """Train a logged network for some more epochs, or resume that, or give what was finished before.

    Raises:
        ValueError: a run or a setting cannot be used, or another process that lives is at it.
        StoreError: the tracking store cannot be used.
        FloatingPointError: a loss is not a number any more.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    start = load_network(store.client, config.trajectory.run)
    if start.side not in SIDES:
        raise ValueError(
            f"run {start.run.info.run_id} was not trained on one side (but {start.side!r}, as a star); a trajectory "
            "continues the training of an endpoint, or of a pruned or aligned one"
        )
    store = beside(store, start.run.info.experiment_id)
    data = rebuild(store, start, config.trajectory.data_root, device)
    plan = _plan(store, config, start, data)
    with run_once(store, Kind.TRAJECTORY, trajectory_identity(start, plan.trained)) as wanted:
        if wanted.finished is not None:
            refuse_unkept(wanted.finished, plan.kept, "delete it, and give the same command again")
        run_id = _train(store, plan, wanted) if wanted.finished is None else wanted.finished.info.run_id
    return _outcome(store, run_id, wanted.how("trained"))


def _plan(store: Store, config: TrajectoryCommandConfig, start: LoggedNetwork, data: ShiftedData) -> _Plan:
    optimization = continue_optimization(start.config.optimization, config.trajectory)
    trained, given = replace(start.config, optimization=optimization), None
    if config.starting.start:  # the data and settings of the run, other weights: epochs count from 1
        starting = StartConfig(**vars(config.starting), freeze=start.config.starting.freeze)
        optimization = replace(optimization, epochs=config.trajectory.epochs)
        model = replace(start.config.model, init="same")
        trained = replace(start.config, model=model, optimization=optimization, starting=starting)
        given = find_given_start(store, starting, trained.model, lambda: start.spec)
        trained = with_digest(trained, given)
    plan = _Plan(config, start, trained, data, (), given)
    return replace(plan, kept=own_epochs(config.trajectory.keep_epochs, optimization.epochs, plan.first))


def continue_optimization(own: OptimizationConfig, more: TrajectoryConfig) -> OptimizationConfig:
    """Set how a network is trained further: as it was but for what is given, at a constant rate; epochs count on.

    Raises:
        ValueError: settings that contradict each other.
    """
    if own.loop == ELSEWHERE:
        raise ValueError("the network was trained elsewhere, and nobody has said how; its training cannot go on")
    optimizer = own.optimizer if more.optimizer is None else more.optimizer
    inherited = own.momentum if optimizer == own.optimizer else 0.0
    momentum = inherited if more.momentum is None else more.momentum
    given = {name: getattr(more, name) for name in ("lr", "batch_size", "weight_decay", "engine")}
    without_budget: dict[str, Any] = dict.fromkeys(BUDGETS)
    return replace(
        own,
        epochs=own.epochs + more.epochs,
        optimizer=optimizer,
        momentum=momentum,
        nesterov=own.nesterov and momentum > 0,
        schedule="constant",
        warmup_epochs=0.0,
        **without_budget,
        **{name: value for name, value in given.items() if value is not None},
    )


def _train(store: Store, plan: _Plan, wanted: WantedRun) -> str:
    trainee, config = _trainee(plan), plan.trained.optimization
    first_file = ("start.txt", f"{plan.start.run.info.run_id}\n")
    run_name = group_run_name(f"trajectory +{plan.config.trajectory.epochs}", (plan.start,))
    params = to_params(replace(plan.config, starting=_given_config(plan)))
    run = wanted.open(RunStart(run_name, trajectory_tags(plan.start, plan.trained), params, first_file))
    run.log_json(to_nested(plan.trained), "config.json")
    _log_inputs(run, plan)
    epochs = EpochRuns(wanted.session, run, plan.start, plan.trained, trainee, EpochSpan(plan.first, plan.kept))
    test = (plan.data.test.images, plan.data.test.labels)
    epochs.log_start(evaluate(trainee.network, *test))
    epochs.restore()
    first = epochs.progress.epoch + 1
    engine = train([trainee], test, config, plan.data.flips, first, epochs.on_epoch, config.engine)
    run.set_tags({Tag.ENGINE: engine})
    epochs.kept.close()
    _log_average(store, plan, epochs)
    _log_results(plan, epochs, run)
    return run.run_id


def _given_config(plan: _Plan) -> GivenStartConfig:
    own = plan.trained.starting
    return GivenStartConfig(own.start, own.start_digest, own.start_head) if plan.given else GivenStartConfig()


def _trainee(plan: _Plan) -> Trainee:
    """Build the network where its training left it; its optimizer starts anew, as checkpoints do not hold its state."""
    device = plan.data.test.labels.device
    trainees = make_trainees(plan.trained, plan.data, device)
    trainee = next(trainee for trainee in trainees if trainee.side == plan.start.side)
    if plan.given is None:
        trainee.network.load_state_dict(plan.start.state)
    else:
        own = plan.trained
        state = fitted_state(trainee.network, own.model.model, own.starting.start_head, plan.given, "trajectory")
        trainee.network.load_state_dict(state)
    return trainee


def _log_average(store: Store, plan: _Plan, epochs: EpochRuns) -> None:
    """Log the uniform average of all epochs' networks, batch norm recalibrated on the training images."""
    networks = (load_network(store.client, run_id).state for run_id in epochs.networks())
    side, test = plan.data.side(plan.start.side), plan.data.test
    network = plan.start.network().to(test.labels.device)
    network.load_state_dict(average(networks))
    order = torch.randperm(len(side), generator=stream(0, "recalibration"))
    recalibrate(network, side.images.batches(order, RECALIBRATION_BATCH))
    config = plan.trained
    scores = {
        "train": evaluate(network, side.images, side.labels),
        "test": evaluate(network, test.images, test.labels),
    }
    epochs.log_network(SWA, derive_network(plan.start, network.state_dict(), config), scores)


def _log_results(plan: _Plan, epochs: EpochRuns, run: TrackedRun) -> None:
    score = epochs.score
    metrics = epochs.summary()
    run.log_once(metrics | {HEADLINE: metrics[f"test/{score}_swa"]})
    run.log_figure(trajectory_figure(epochs.curves(), metrics, plan.name), "figures/trajectory.png")
    given = "" if plan.given is None else f" From the weights of `{plan.given.run_id}`, on the data of the run `start`."
    names = {"start": "start", "last": "last epoch", "swa": "average (SWA)"}
    ids = {"start": plan.start.run.info.run_id, "last": epochs.networks()[-1], "swa": epochs.average()}
    rows = "\n".join(
        f"| {label} | {metrics[f'test/{score}_{key}']:.2%} | {metrics[f'test/loss_{key}']:.4f} | `{ids[key]}` |"
        for key, label in names.items()
    )
    config = plan.trained.optimization
    run.describe(
        f"**Test {score.replace('_', ' ')} of the average {metrics[f'test/{score}_swa']:.2%}**, of the last epoch "
        f"{metrics[f'test/{score}_last']:.2%}, at the start {metrics[f'test/{score}_start']:.2%}.\n\n"
        f"| network | test {score.replace('_', ' ')} | test loss | run |\n|---|---|---|---|\n{rows}\n\n"
        f"{plan.config.trajectory.epochs} further epochs by {config.optimizer}, constant rate {config.lr:g}, "
        f"{config.batch_size} images a step. All networks: `tags.\"{Tag.TRAJECTORY}\" = '{run.run_id}'`.{given}"
    )


def _log_inputs(run: TrackedRun, plan: _Plan) -> None:
    side, config = plan.start.side, plan.trained.data
    train = training_images(plan.start, plan.data.side(side))
    log_data(run, {f"train_{side.lower()}": train, "test": InputImages(plan.data.test, config)})


def _outcome(store: Store, run_id: str, how: str) -> TrajectoryOutcome:
    run = store.client.get_run(run_id)
    (swa,) = search(store.client, where(trajectory=run_id, swa="yes"), [run.info.experiment_id])
    outcome = TrajectoryOutcome.of(run, how, average=swa.info.run_id)
    shown = {key: value for key, value in outcome.metrics.items() if key.rsplit("_", 1)[-1] in ("start", "last", "swa")}
    return replace(outcome, metrics=shown)
