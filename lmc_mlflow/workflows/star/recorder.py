"""How does the training of a star get into its run as it goes, and out of it again?"""

import time

import torch
from torch import Tensor

from lmc_mlflow.config.commands import StarConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.predictions.scores import Scores, score_name
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.star.alignment import Permutations, Sources
from lmc_mlflow.star.measures import SPLIT, Bench
from lmc_mlflow.star.segments import SegmentNetwork
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.state_keeper import StateKeeper

PERMUTATION = "permutation"
BARRIER = "barrier_to_source"


class StarRecorder:
    """Writes a star's training to its run as it goes, and remembers the last whole epoch."""

    def __init__(
        self, run: TrackedRun, trainee: Trainee, sources: Sources, bench: Bench, config: StarConfig, epochs: int
    ) -> None:
        self.epoch = 0
        self._run = run
        self._trainee = trainee
        self._sources = sources
        self._bench = bench
        self._evaluate_every = config.segments.evaluate_every
        self._epochs = epochs
        self._keeper = StateKeeper(run, [trainee], config.resume.checkpoint_every, epochs)
        self._score = score_name(trainee.labels)
        self._wall_before = 0.0
        self._started = time.perf_counter()
        self._logged: dict[str, set[int]] = {}

    def restore(self) -> None:
        """Continue where the newest whole state was kept, and learn what has been logged beyond it."""
        state = self._keeper.restore()
        if state is not None:
            self.epoch = state.epoch
            self._wall_before = state.wall_seconds
            self._sources.put(_permutations(state.tensors, self._sources))
        for key in self._run.client.get_run(self._run.run_id).data.metrics:
            self._logged[key] = set(metric_curve(self._run.client, self._run.run_id, key))

    def on_epoch(self, epoch: int, scores: Scores) -> None:
        """Measure and log an epoch in one call, and keep the state when it is time."""
        star = self._star_state()
        network = self._bench.network_of(star)
        tested = evaluate(network, self._bench.images, self._bench.labels)
        metrics = {
            "train/loss": scores.loss,
            f"train/{self._score}": scores.score,
            f"star/{SPLIT}/loss": tested.loss,
            f"star/{SPLIT}/{self._score}": tested.score,
        }
        if epoch % self._evaluate_every == 0 or epoch == self._epochs:
            metrics |= self._barriers(star)
        missing = {key: value for key, value in metrics.items() if epoch not in self._logged.get(key, ())}
        if missing:
            self._run.log_metrics(missing, step=epoch)
        self.epoch = epoch
        further = {
            f"{PERMUTATION}/{i}/{group}": order.clone()
            for i, permutations in enumerate(self._sources.permutations)
            for group, order in permutations.items()
        }
        self._keeper.remember(epoch, self.wall_seconds(), further)

    def save(self) -> None:
        """Keep the last whole epoch's state, unless it is kept already."""
        self._keeper.save()

    def wall_seconds(self) -> float:
        """Time spent on this star by all processes that worked on it."""
        return self._wall_before + time.perf_counter() - self._started

    def _star_state(self) -> dict[str, Tensor]:
        network = self._trainee.network
        assert isinstance(network, SegmentNetwork)
        return {name: value.detach().clone() for name, value in network.star.state_dict().items()}

    def _barriers(self, star: dict[str, Tensor]) -> dict[str, float]:
        """Over the chord, to every source as it was aligned for this epoch; their mean and maximum."""
        paths = [self._bench.path(star, state) for state in self._sources.states]
        barriers = [path.summaries[SPLIT].barrier_over_chord for path in paths]
        found = {f"{BARRIER}/{i}": value for i, value in enumerate(barriers)}
        return found | {f"{BARRIER}/mean": sum(barriers) / len(barriers), f"{BARRIER}/max": max(barriers)}


def _permutations(tensors: dict[str, Tensor], sources: Sources) -> list[Permutations]:
    found: list[Permutations] = [{} for _ in sources.logged]
    for name, order in tensors.items():
        if name.startswith(f"{PERMUTATION}/"):
            _, i, group = name.split("/", 2)
            found[int(i)][group] = order.to(torch.int64)
    return found
