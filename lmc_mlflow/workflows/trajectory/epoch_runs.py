"""How does a trajectory get into its runs epoch by epoch, so that the same command goes on where it was stopped?"""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.contract import Kind, Tag, where
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.predictions.scores import Scores, score_name
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.query.runs import latest_metrics, metric_curve, search
from lmc_mlflow.tracking.lifecycle import Keep, open_run, reopen_run
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import Store
from lmc_mlflow.training.loop import EpochReport
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.state_keeper import StateKeeper
from lmc_mlflow.workflows.networks.checkpoints import log_network
from lmc_mlflow.workflows.networks.derived import (
    TRAIN_SECONDS,
    derived,
    display_name,
    inherited_tags,
    train_seconds,
)

SWA = "swa"


def travelled_tags(start: LoggedNetwork, optimization: OptimizationConfig) -> dict[str, str]:
    """The tags of a trajectory and of all its networks."""
    trained = replace(start.config, optimization=optimization)
    return inherited_tags(start) | {
        Tag.START: start.run.info.run_id,
        Tag.FINGERPRINT: fingerprint(trained),
        Tag.LR: f"{optimization.lr:g}",
        Tag.BATCH_SIZE: str(optimization.batch_size),
    }


class Stations:
    """The runs of a trajectory: its own, and an endpoint run for each epoch and for the average."""

    def __init__(
        self,
        store: Store,
        keep: Keep,
        run: TrackedRun,
        start: LoggedNetwork,
        optimization: OptimizationConfig,
        trainee: Trainee,
    ) -> None:
        self.score = score_name(trainee.labels)
        self._store = store
        self._keep = keep
        self._run = run
        self._start = start
        self._trainee = trainee
        self._optimization = optimization
        self._keeper = StateKeeper(run, [trainee], 1, optimization.epochs)
        self._first = start.config.optimization.epochs
        runs = search(store.client, where(trajectory=run.run_id), [run.experiment_id])
        places = {run.data.tags.get(Tag.EPOCH, SWA): run for run in runs}
        self._stopped = {place: run for place, run in places.items() if run.info.status != "FINISHED"}
        self._finished: dict[str, str] = {
            place: run.info.run_id for place, run in places.items() if place not in self._stopped
        }
        self._logged = set(metric_curve(run.client, run.run_id, "test/loss"))

    def restore(self) -> int:
        """Put the trainee where the newest whole state was kept; the epoch to train next."""
        state = self._keeper.restore()
        return (self._first if state is None else state.epoch) + 1

    def log_start(self, scores: Scores) -> None:
        """The network where it starts, as the first point of the curves."""
        if self._first not in self._logged:
            self._run.log_metrics(self._named("test", scores), step=self._first)

    def on_epoch(self, epoch: int, reports: list[EpochReport]) -> None:
        """Log the epoch's network and its scores, then keep the state that the next epoch starts from."""
        (report,) = reports
        seen = replace(self._start.config, optimization=replace(self._optimization, epochs=epoch))
        network = derived(self._start, self._trainee.network.state_dict(), seen)
        self.log_network(str(epoch), network, {"train": report.train, "test": report.test})
        if epoch not in self._logged:
            self._run.log_metrics(self._named("train", report.train) | self._named("test", report.test), step=epoch)
        self._keeper.remember(epoch, 0.0)

    def log_network(self, place: str, network: LoggedNetwork, scores: Mapping[str, Scores]) -> None:
        """Log a network as an endpoint run of its own, unless that was done before the command was repeated.

        Args:
            place: its epoch, or `SWA`.
            network: as it is to be loaded.
            scores: on `train` and `test`.
        """
        if place in self._finished:
            return
        name = f"{display_name(self._start)} {'average (SWA)' if place == SWA else f'epoch {place}'}"
        own = {Tag.SWA: "yes"} if place == SWA else {Tag.EPOCH: place}
        tags = travelled_tags(self._start, self._optimization) | {Tag.TRAJECTORY: self._run.run_id} | own
        if place in self._stopped:
            run = self._keep(reopen_run, self._store, self._stopped[place])
        else:
            run = self._keep(open_run, self._store, Kind.ENDPOINT, name, tags, self._run)
        log_network(run, network)
        run.log_params(to_params(network.config))
        metrics = {key: value for split, of in scores.items() for key, value in self._named(split, of).items()}
        run.log_metrics(metrics, step=network.config.optimization.epochs)
        cost = train_seconds(self._start) + self._trainee.train_seconds
        run.log_metrics({TRAIN_SECONDS: cost, "num_parameters": num_parameters(self._trainee.network)})
        test = scores["test"]
        run.describe(
            f"**Test {self.score.replace('_', ' ')} {test.score:.2%}**, test loss {test.loss:.4f}.\n\n"
            f"Of trajectory `{self._run.run_id}`, which starts at `{self._start.run.info.run_id}`."
        )
        run.seal()
        run.finish()
        self._finished[place] = run.run_id

    def networks(self) -> list[str]:
        """Run ids of the epochs' networks, in order."""
        return [self._finished[place] for place in sorted(set(self._finished) - {SWA}, key=int)]

    def average(self) -> str:
        """Run id of the average."""
        return self._finished[SWA]

    def curves(self) -> pd.DataFrame:
        """Columns epoch, split, loss, and accuracy or average_precision; the start is a row of the test split."""
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
        """Test loss and score of the start, the last epoch and the average."""
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
