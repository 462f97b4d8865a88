"""Opens, tests and closes the runs of a pair that a training loop of a user's own trains."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from lmc_mlflow.batches import Images
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.train_pair import OUR_LOOP, OWN_LOOP
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.run_once import run_session
from lmc_mlflow.workflows.pair.own_loop.loggable import loggable_state
from lmc_mlflow.workflows.pair.own_loop.side import Side
from lmc_mlflow.workflows.pair.results import log_endpoint, log_noise_check
from lmc_mlflow.workflows.pair.runs import PairRuns, make_trainees, network_spec, open_pair, pair_identity
from lmc_mlflow.workflows.pair.shift_test import log_shift
from lmc_mlflow.workflows.pair.starting.start import find_start, put_at_start, with_digest
from lmc_mlflow.workflows.publish.at_end import check_publishable, publish_all


@dataclass
class OwnPair:
    """A pair in the hands of a user's own loop.

    Attributes:
        run_id: of the pair's run.
        sides: A and B.
        test: images and labels that each network is tested on.
    """

    run_id: str
    sides: tuple[Side, Side]
    test: tuple[Images, Tensor] = field(repr=False)
    _config: TrainPairConfig = field(repr=False)
    _data: ShiftedData = field(repr=False)
    _runs: PairRuns = field(repr=False)
    _logged: dict[str, dict[str, float]] = field(default_factory=dict, repr=False)

    def log(self, side: Side, network: nn.Module, metrics: Mapping[str, float] | None = None) -> dict[str, float]:
        """Test a trained network, log it as the endpoint of a side, and return its scores.

        Args:
            side: that it was trained on.
            network: with the weights of `side.network()`; it is moved to the side's device.
            metrics: further numbers that your training has; the scores are measured here.

        Raises:
            ValueError: the side was logged before, or the weights are those of another architecture.
            FloatingPointError: a weight is not finite.
        """
        if not any(side is one for one in self.sides):
            raise ValueError(f"{str(side)[:50]!r} is no side of this pair; give one of pair.sides")
        if side.name in self._logged:
            raise ValueError(f"side {side.name} was logged before; log each side once")
        trainee = side.trainee
        others = [one.trainee.network for one in self.sides if one is not side]
        state = loggable_state(f"side {side.name}", network, others, network_spec(self._config, self._data))
        moved = side.moved.by_epoch(state, self._config.optimization.epochs)
        trainee.network.load_state_dict(state)
        trainee.network.to(side.device).eval()
        scores = {
            f"{split}/{name}": value
            for split, images, labels in (("test", *self.test), ("train", trainee.images, trainee.labels))
            for name, value in _named(trainee, images, labels).items()
        }
        run = self._runs.endpoints[side.name]
        known = {*scores, "num_parameters"}
        run.log_metrics({key: value for key, value in (metrics or {}).items() if key not in known})
        for epoch, found in moved.items():
            run.log_metrics({key: value for key, value in found.items() if key not in (metrics or {})}, epoch)
        run.log_metrics(scores | {"num_parameters": num_parameters(trainee.network)}, self._config.optimization.epochs)
        log_endpoint(self._runs, self._config, self._data, trainee)
        self._logged[side.name] = scores
        return scores

    def close(self, seconds: float) -> None:
        """Log what is known of both sides together.

        Raises:
            ValueError: a side was not logged.
        """
        missing = [side.name for side in self.sides if side.name not in self._logged]
        if missing:
            raise ValueError(f"side {missing[0]} was not logged; call pair.log(side, network) for both sides")
        pair = self._runs.pair
        traces = {side.name: side.trainee.traces for side in self.sides}
        if traces["A"] and len(traces["A"]) == len(traces["B"]):  # both sides went through their loaders
            log_noise_check(pair, traces)
        means = {key: (self._logged["A"][key] + self._logged["B"][key]) / 2 for key in self._logged["A"]}
        pair.log_metrics(means, self._config.optimization.epochs)
        pair.log_metrics({"cost/wall_seconds": seconds})
        score = score_name(self.test[1])
        rows = "\n".join(
            f"| {side.name} | {self._logged[side.name][f'test/{score}']:.2%} | "
            f"{self._logged[side.name]['test/loss']:.4f} | `{self._runs.endpoints[side.name].run_id}` |"
            for side in self.sides
        )
        pair.describe(
            f"Trained by a loop of its author's own on the two sides of `{self._config.data.shift}` of "
            f"{self._config.data.dataset}; split, initialization and tests are by lmc_mlflow.\n\n"
            f"| side | test {score.replace('_', ' ')} | test loss | run |\n|---|---|---|---|\n{rows}"
        )


@contextmanager
def own_pair(config: TrainPairConfig) -> Iterator[OwnPair]:
    """Open the runs of a pair, and close them when both sides are logged; an error in the block ends them as FAILED.

    Args:
        config: what is split, and how the networks start; what it says of optimizer and epochs is recorded alone.

    Raises:
        ValueError: something a user can put right; says how.
        StoreError: the tracking store cannot be used.
    """
    if config.optimization.loop == OUR_LOOP:
        config = replace(config, optimization=replace(config.optimization, loop=OWN_LOOP))
    device = prepare_machine(config.runtime)
    store = open_store()
    data = load_shifted(config.data, device)
    start = find_start(store, config, lambda: data)
    config = with_digest(config, start)
    trainees = make_trainees(config, data, device)
    if config.publishing.publish:
        check_publishable(network_spec(config, data))
    if start is not None:
        put_at_start(trainees, config, start)
    started = time.perf_counter()
    with run_session(store) as session:
        wanted = session.find(Kind.PAIR, pair_identity(config, data), force=True)  # the loop is no part of the identity
        runs = open_pair(store, wanted, config, data, None)
        log_shift([runs.pair], config, data)
        for run in (runs.pair, *runs.endpoints.values()):
            run.set_tags({Tag.ENGINE: OWN_LOOP} | ({Tag.START: start.run_id} if start is not None else {}))
        size, epochs = config.optimization.batch_size, config.optimization.epochs
        a, b = (Side(t.side, device, size, epochs, t, data.flips, runs.endpoints[t.side]) for t in trainees)
        pair = OwnPair(runs.pair.run_id, (a, b), (data.test.images, data.test.labels), config, data, runs)
        yield pair
        pair.close(time.perf_counter() - started)
        session.close(*runs.endpoints.values(), runs.pair)
    if config.publishing.publish:
        publish_all([run.run_id for run in runs.endpoints.values()], config.runtime, config.data.data_root)


def _named(trainee: Trainee, images: Images, labels: Tensor) -> dict[str, float]:
    scores = evaluate(trainee.network, images, labels)
    return {"loss": scores.loss, score_name(labels): scores.score}
