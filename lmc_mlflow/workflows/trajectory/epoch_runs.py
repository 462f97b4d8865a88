"""Logs the networks of a trajectory, each in an endpoint run of its own, and its curves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import pandas as pd

from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import Kind, Tag, where
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.predictions.scores import Scores, score_name
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.query.runs import latest_metrics, metric_curve, search
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.displacement import Displacement
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.progress import LearningCurves, TrainingProgress
from lmc_mlflow.workflows.lifecycle.run_once import RunSession, RunStart
from lmc_mlflow.workflows.networks.derived import (
    TRAIN_SECONDS,
    derive_network,
    log_network,
    train_seconds,
)
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.tags import inherited_tags
from lmc_mlflow.workflows.pair.starting.kept_epochs import KeptEpochs

SWA = "swa"
LENGTH = "way/length"
"""Tensor of the kept progress: how long the way is up to its epoch."""


def trajectory_identity(start: LoggedNetwork, trained: TrainPairConfig) -> dict[str, str]:
    """Give the tags that tell a trajectory from all others: where it starts, and how it is trained."""
    return {Tag.START: start.run.info.run_id, Tag.FINGERPRINT: fingerprint(trained)}


def trajectory_tags(start: LoggedNetwork, trained: TrainPairConfig) -> dict[str, str]:
    """Give the tags of a trajectory and of all its networks."""
    own = {Tag.LR: f"{trained.optimization.lr:g}", Tag.BATCH_SIZE: str(trained.optimization.batch_size)}
    return inherited_tags(start) | trajectory_identity(start, trained) | own


@dataclass(frozen=True)
class EpochSpan:
    """The epochs of a trajectory.

    Attributes:
        first: the epoch after which it starts.
        kept: epochs whose states are kept with the trajectory.
    """

    first: int
    kept: tuple[int, ...] = ()


class EpochRuns:
    """The runs of a trajectory: its own, and an endpoint run for each epoch and for the average.

    Attributes:
        score: `accuracy` or `average_precision`.
        progress: of the training.
        kept: the epochs whose states are kept.
    """

    def __init__(
        self,
        session: RunSession,
        run: TrackedRun,
        start: LoggedNetwork,
        trained: TrainPairConfig,
        trainee: Trainee,
        span: EpochSpan,
    ) -> None:
        """Look up which networks and which points of the curves an interrupted process has logged.

        Args:
            session: opens the endpoint runs.
            run: of the trajectory.
            start: the network whose training goes on, or whose data and settings it has.
            trained: how it is trained.
            trainee: the network in training, where it starts.
            span: its epochs.
        """
        self.score = score_name(trainee.labels)
        self._session = session
        self._run = run
        self._start = start
        self._trainee = trainee
        self._trained = trained
        self._first = span.first
        self._way = Displacement(trainee.network)
        runs = search(run.client, where(trajectory=run.run_id), [run.experiment_id])
        by_epoch = {found.data.tags.get(Tag.EPOCH, SWA): found for found in runs}
        self._interrupted = {epoch: found for epoch, found in by_epoch.items() if found.info.status != "FINISHED"}
        self._finished: dict[str, str] = {
            epoch: found.info.run_id for epoch, found in by_epoch.items() if epoch not in self._interrupted
        }
        self._curves = LearningCurves(run, resumed=True)
        self.progress = TrainingProgress(run, [trainee], 1, trained.optimization.epochs, self._first)
        self.kept = KeptEpochs({trainee.side: run}, span.kept, trained.optimization)

    def restore(self) -> None:
        """Go on from where an interrupted process was, if it has kept all that it should have."""
        tensors = self.progress.restore(accept=self.kept.has_all_up_to)
        if tensors:
            self._way.restore(tensors.get(LENGTH))

    def log_start(self, scores: Scores) -> None:
        """Log the network where it starts, as the first point of the curves."""
        self._curves.log(self._first, self._named("test", scores))

    def on_epoch(self, epoch: int, reports: list[EpochReport]) -> None:
        """Log the epoch's network and its scores, then write the state that the next epoch starts from."""
        (report,) = reports
        trained = replace(self._trained, optimization=replace(self._trained.optimization, epochs=epoch))
        moved = self._way.advance()
        network = derive_network(self._start, self._trainee.network.state_dict(), trained)
        self.log_network(str(epoch), network, {"train": report.train, "test": report.test}, moved)
        self._curves.log(epoch, self._named("train", report.train) | self._named("test", report.test) | moved)
        self.kept.on_epoch(epoch, [self._trainee])
        self.progress.add(epoch, {} if self._way.length is None else {LENGTH: self._way.length.clone()})

    def log_network(
        self,
        epoch: str,
        network: LoggedNetwork,
        scores: Mapping[str, Scores],
        moved: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Log a network as an endpoint run of its own, unless an interrupted process has.

        Args:
            epoch: its number, or `SWA` for the average.
            network: as it is to be loaded.
            scores: on `train` and `test`.
            moved: how far it is from the start of the trajectory.
        """
        if epoch in self._finished:
            return
        name = group_run_name("average" if epoch == SWA else f"epoch {epoch}", (self._start,))
        own = {Tag.SWA: "yes"} if epoch == SWA else {Tag.EPOCH: epoch}
        tags = trajectory_tags(self._start, self._trained) | {Tag.TRAJECTORY: self._run.run_id} | own
        start = RunStart(name, tags, to_params(network.config))
        run = self._session.open(Kind.ENDPOINT, start, self._interrupted.get(epoch), self._run)
        log_network(run, network)
        metrics = {key: value for split, of in scores.items() for key, value in self._named(split, of).items()}
        run.log_metrics({**metrics, **moved}, step=network.config.optimization.epochs)
        before = train_seconds(self._start) if self._first else 0.0  # from epoch 0 on the weights are others
        cost = before + self._trainee.train_seconds
        run.log_metrics({TRAIN_SECONDS: cost, "num_parameters": num_parameters(self._trainee.network)})
        test = scores["test"]
        run.describe(
            f"**Test {self.score.replace('_', ' ')} {test.score:.2%}**, test loss {test.loss:.4f}.\n\n"
            f"Of trajectory `{self._run.run_id}`, which starts at `{self._start.run.info.run_id}`."
        )
        self._session.close(run)
        self._finished[epoch] = run.run_id

    def networks(self) -> list[str]:
        """Give the run ids of the epochs' networks, in order.

        Raises:
            ValueError: some were deleted.
        """
        wanted = {str(epoch) for epoch in range(self._first + 1, self._trained.optimization.epochs + 1)}
        if lost := sorted(wanted - set(self._finished), key=int):
            raise ValueError(
                f"trajectory {self._run.run_id}: the networks of epochs {', '.join(lost)} were deleted; restore their "
                "runs in the UI, or delete the trajectory, then give the same command again"
            )
        return [self._finished[epoch] for epoch in sorted(set(self._finished) - {SWA}, key=int)]

    def average(self) -> str:
        """Give the run id of the average."""
        return self._finished[SWA]

    def curves(self) -> pd.DataFrame:
        """Read the columns epoch, split, loss, and accuracy or average_precision; the start is a row of `test`."""
        tables = []
        for split in ("train", "test"):
            columns = {
                name: metric_curve(self._run.client, self._run.run_id, f"{split}/{name}")
                for name in ("loss", self.score)
            }
            table = pd.DataFrame(columns).rename_axis("epoch").reset_index().sort_values("epoch")
            tables.append(table.assign(split=split))
        return pd.concat(tables, ignore_index=True)

    def summary(self) -> dict[str, float]:
        """Give the test loss and score of the start, the last epoch and the average."""
        curves = self.curves()
        test = curves[curves["split"] == "test"].set_index("epoch")
        swa = latest_metrics(self._run.client, self.average())
        found = {}
        for name in ("loss", self.score):
            found[f"test/{name}_start"] = float(test[name].loc[self._first])
            found[f"test/{name}_last"] = float(test[name].iloc[-1])
            found[f"test/{name}_swa"] = swa[f"test/{name}"]
        return found

    def _named(self, split: str, scores: Scores) -> dict[str, float]:
        return {f"{split}/loss": scores.loss, f"{split}/{self.score}": scores.score}
