"""How is a trained network trained on, each epoch's network logged, and all of them averaged (SWA)?"""

from dataclasses import dataclass, replace

import torch

from lmc_mlflow.config.canonical import fingerprint, to_nested, to_params
from lmc_mlflow.config.commands import TrainPairConfig, TrajectoryCommandConfig
from lmc_mlflow.config.ensemble_and_prune import TrajectoryConfig
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.contract import where as has_tags
from lmc_mlflow.data.loading import ShiftedData
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.normalization import recalibrate
from lmc_mlflow.plots.per_run.trajectories import trajectory_figure
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.query.runs import Run, latest_metrics, search
from lmc_mlflow.seeds import stream
from lmc_mlflow.tracking.lifecycle import (
    ending,
    open_run,
    point_launcher_at,
    probe_artifacts,
    reopen_run,
)
from lmc_mlflow.tracking.locks import claiming
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import Store, open_store
from lmc_mlflow.training.loop import Trainee, train
from lmc_mlflow.weights import average
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.networks.derived import derived, display_name
from lmc_mlflow.workflows.networks.pair_of_networks import log_data, rebuild
from lmc_mlflow.workflows.pair.setup import make_trainees
from lmc_mlflow.workflows.trajectory.epoch_runs import SWA, Stations, travelled_tags

RECALIBRATION_BATCH = 1000


@dataclass(frozen=True)
class TrajectoryOutcome:
    """A trajectory's run, that of the average, and how they came about: `trained`, `resumed`, `finished before`."""

    trajectory: str
    average: str
    name: str
    how: str
    metrics: dict[str, float]
    experiment_id: str

    @property
    def query(self) -> str:
        """An MLflow filter that finds its networks."""
        return f"tags.\"{Tag.TRAJECTORY}\" = '{self.trajectory}'"


@dataclass(frozen=True)
class _Plan:
    """What is trained on, how, and on what data."""

    config: TrajectoryCommandConfig
    start: LoggedNetwork
    trained: TrainPairConfig
    data: ShiftedData

    @property
    def name(self) -> str:
        return f"trajectory {display_name(self.start)} ({self.config.trajectory.epochs} epochs)"


def trajectory(config: TrajectoryCommandConfig) -> TrajectoryOutcome:
    """Train a logged network on for some epochs, or resume that, or point at what was finished before.

    Raises:
        ValueError: a run or a setting cannot be used, or another process that lives is at it.
        StoreError: the tracking store cannot be used.
        FloatingPointError: a loss is no number any more.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    start = load_network(store.client, config.trajectory.run)
    optimization = continued(start.config.optimization, config.trajectory)
    trained = replace(start.config, optimization=optimization)
    plan = _Plan(config, start, trained, rebuild(store, start, config.trajectory.data_root, device))
    with claiming(store) as claim:
        claim(f"trajectory-{store.experiment_id}-{start.run.info.run_id}-{fingerprint(trained)}")
        before = _before(store, plan)
        if before is not None and before.info.status == "FINISHED":
            point_launcher_at(store, before.info.run_id, "this trajectory was finished before")
            return _outcome(store, before.info.run_id, "finished before")
        run_id = _travel(store, plan, before)
    return _outcome(store, run_id, "trained" if before is None else "resumed")


def continued(own: OptimizationConfig, more: TrajectoryConfig) -> OptimizationConfig:
    """How a network is trained on: as it was, but for what is given, at a constant rate; epochs count on.

    Raises:
        ValueError: settings that contradict each other.
    """
    optimizer = own.optimizer if more.optimizer is None else more.optimizer
    inherited = own.momentum if optimizer == own.optimizer else 0.0
    momentum = inherited if more.momentum is None else more.momentum
    given = {name: getattr(more, name) for name in ("lr", "batch_size", "weight_decay", "engine")}
    return replace(
        own,
        epochs=own.epochs + more.epochs,
        optimizer=optimizer,
        momentum=momentum,
        nesterov=own.nesterov and momentum > 0,
        schedule="constant",
        warmup_epochs=0.0,
        **{name: value for name, value in given.items() if value is not None},
    )


def _before(store: Store, plan: _Plan) -> Run | None:
    """The run of the same trajectory: a finished one if there is one, else the latest."""
    tags = travelled_tags(plan.start, plan.trained.optimization)
    wanted = {Tag.KIND: Kind.TRAJECTORY} | {key: tags[key] for key in (Tag.START, Tag.FINGERPRINT)}
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items())
    runs = search(store.client, where, [store.experiment_id])
    finished = [run for run in runs if run.info.status == "FINISHED"]
    found = finished or runs
    return found[-1] if found else None


def _travel(store: Store, plan: _Plan, before: Run | None) -> str:
    trainee = _trainee(plan)
    with ending() as keep:
        if before is None:
            tags = travelled_tags(plan.start, plan.trained.optimization)
            run = keep(open_run, store, Kind.TRAJECTORY, plan.name, tags)
        else:
            run = keep(reopen_run, store, before)
            point_launcher_at(store, run.run_id, "resumed an interrupted trajectory")
        probe_artifacts(run, f"{plan.start.run.info.run_id}\n", "start.txt")
        run.log_params(to_params(plan.config))
        run.log_json(to_nested(plan.trained), "config.json")
        _log_inputs(run, plan)
        config = plan.trained.optimization
        stations = Stations(store, keep, run, plan.start, config, trainee)
        test = (plan.data.test.images, plan.data.test.labels)
        stations.log_start(evaluate(trainee.network, *test))
        first = stations.restore()
        engine = train([trainee], test, config, plan.data.flips, first, stations.on_epoch, config.engine)
        run.set_tags({Tag.ENGINE: engine})
        _log_average(store, plan, stations)
        _close(plan, stations, run)
    return run.run_id


def _trainee(plan: _Plan) -> Trainee:
    """The network where its training left it; its optimizer starts anew, as checkpoints do not hold its state."""
    device = plan.data.test.labels.device
    trainees = make_trainees(plan.trained, plan.data, device)
    trainee = next(trainee for trainee in trainees if trainee.side == plan.start.side)
    trainee.network.load_state_dict(plan.start.state)
    return trainee


def _log_average(store: Store, plan: _Plan, stations: Stations) -> None:
    """The uniform average of all epochs' networks, batch norm recalibrated on the training images."""
    networks = (load_network(store.client, run_id).state for run_id in stations.networks())
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
    stations.log_network(SWA, derived(plan.start, network.state_dict(), config), scores)


def _close(plan: _Plan, stations: Stations, run: TrackedRun) -> None:
    score = stations.score
    metrics = stations.summary()
    run.log_metrics(metrics)
    run.log_figure(trajectory_figure(stations.curves(), metrics, plan.name), "figures/trajectory.png")
    names = {"start": "start", "last": "last epoch", "swa": "average (SWA)"}
    ids = {"start": plan.start.run.info.run_id, "last": stations.networks()[-1], "swa": stations.average()}
    rows = "\n".join(
        f"| {label} | {metrics[f'test/{score}_{key}']:.2%} | {metrics[f'test/loss_{key}']:.4f} | `{ids[key]}` |"
        for key, label in names.items()
    )
    config = plan.trained.optimization
    run.describe(
        f"| network | test {score.replace('_', ' ')} | test loss | run |\n|---|---|---|---|\n{rows}\n\n"
        f"{plan.config.trajectory.epochs} further epochs by {config.optimizer}, constant rate {config.lr:g}, "
        f"{config.batch_size} images a step. All networks: `tags.\"{Tag.TRAJECTORY}\" = '{run.run_id}'`."
    )
    run.seal()
    run.delete_artifacts(Artifact.RESUME_FOLDER)
    run.finish()


def _log_inputs(run: TrackedRun, plan: _Plan) -> None:
    side = plan.start.side
    parts = {f"train_{side.lower()}": plan.data.side(side), "test": plan.data.test}
    log_data(run, plan.trained.data, parts)


def _outcome(store: Store, run_id: str, how: str) -> TrajectoryOutcome:
    run = store.client.get_run(run_id)
    where = has_tags(trajectory=run_id, swa="yes")
    (swa,) = search(store.client, where, [run.info.experiment_id])
    metrics = latest_metrics(store.client, run_id)
    shown = {key: value for key, value in metrics.items() if key.rsplit("_", 1)[-1] in ("start", "last", "swa")}
    return TrajectoryOutcome(run_id, swa.info.run_id, run.info.run_name or "", how, shown, run.info.experiment_id)
