"""A training ends after its steps, or at its training loss or accuracy, and logs how far its networks have moved."""

import signal
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from test_gpu_training import config_of, difference, ignore, pair
from test_kill_resume import killed_after, second_store, three_runs, train_undisturbed
from torch import nn

from entry_points.main import main as story
from entry_points.star import main as star
from entry_points.train_pair import main as train_pair
from entry_points.trajectory import main as trajectory
from lmc_mlflow import query
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.findings.next_command import another_value
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.training.budget import limit_steps, num_epochs, num_images
from lmc_mlflow.training.displacement import Displacement
from lmc_mlflow.training.loop import train
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import learning_rate
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.pair.recorder import Recorder

__all__ = ["second_store"]
CPU = torch.device("cpu")
HERE = ["--device=cpu", "--threads=1"]
UNEQUAL = [*QUICK[:1], *HERE, "--c2st_samples=0", "--shift=subset_0.3", "--batch_size=64"]
"""427 and 1,015 training images: 7 and 16 steps an epoch."""


def ends(client: MlflowClient) -> dict[str, str]:
    return {run.data.tags["lmc.side"]: run.info.run_id for run in runs_of_kind(client, "endpoint")}


def stop_after(epoch: int, patch: pytest.MonkeyPatch) -> None:
    original = Recorder.on_epoch

    def on_epoch(self: Recorder, number: int, reports: list) -> None:
        original(self, number, reports)
        if number == epoch:
            raise KeyboardInterrupt

    patch.setattr(Recorder, "on_epoch", on_epoch)


# steps


def test_epochs_follow_from_steps() -> None:
    config = OptimizationConfig(steps=20, batch_size=4)
    assert [num_epochs(config, n) for n in (10, 80, 81, 7, 1000)] == [7, 1, 1, 10, 1]
    assert num_epochs(OptimizationConfig(epochs=3), 10) == 3


def test_the_last_epoch_has_the_batches_that_are_left() -> None:
    plain = noise_stream(NoiseConfig(), 1, "A", CPU, translate=2)
    limited = limit_steps(plain, OptimizationConfig(steps=4, batch_size=4))
    for epoch, images in ((1, 10), (2, 4), (3, 0)):
        with plain.epoch(epoch, 10, 4, True) as all_draws, limited.epoch(epoch, 10, 4, True) as draws:
            assert torch.equal(draws.order, all_draws.order[:images])
            assert torch.equal(draws.moves, all_draws.moves[:images])
            for (_, flipped), (_, others) in zip(draws.batches(), all_draws.batches(), strict=False):
                assert torch.equal(flipped, others)
    assert limit_steps(plain, OptimizationConfig()) is plain


def test_images_are_counted_batch_by_batch() -> None:
    # batches of 10 images in an epoch: 4, 4 and 2
    assert [num_images(OptimizationConfig(steps=n, batch_size=4), 10, 9) for n in (2, 3, 5, 6)] == [8, 10, 18, 20]
    assert num_images(OptimizationConfig(batch_size=4), 10, 9) == 90


def test_a_cosine_ends_with_the_steps() -> None:
    config = OptimizationConfig(lr=1.0, schedule="cosine", steps=10)
    assert learning_rate(config, 5, 4) == pytest.approx(0.5)
    assert learning_rate(config, 10, 4) == pytest.approx(0.0)


def limited(trainees: list[Trainee], config: OptimizationConfig) -> list[Trainee]:
    for trainee in trainees:
        trainee.noise = limit_steps(trainee.noise, config)
    return trainees


def trained_for(steps: int, model: str, engine: str, device: str, **options: object) -> list[Trainee]:
    """Train 36 images in batches of 16: three steps an epoch."""
    config = config_of(steps=steps, **options)
    trainees = limited(pair(model, torch.device(device), translate=1, **options), config)
    config = replace(config, epochs=num_epochs(config, len(trainees[0].labels)))
    test = ResidentImages(next(iter(trainees[0].images.batches(None, 8)))), trainees[0].labels[:8]
    assert train(trainees, test, config, True, 1, ignore, engine) == engine
    return trainees


def steps_made(trainee: Trainee) -> set[float]:
    return {float(kept["step"]) for kept in trainee.optimizer.state.values()}


ENGINES = [("mlp_l2_w6_7_bn", "exact"), ("mlp_l2_w6_7_bn", "fast"), ("resnet10", "exact"), ("resnet10", "fast")]


@pytest.mark.parametrize(("model", "engine"), ENGINES)
def test_an_engine_makes_the_steps_and_no_more(model: str, engine: str) -> None:
    found = trained_for(5, model, engine, "cpu", optimizer="adam")
    assert [steps_made(trainee) for trainee in found] == [{5.0}, {5.0}]
    assert [len(trainee.traces) for trainee in found] == [2, 2]
    norm = next(module for module in found[0].network.modules() if hasattr(module, "num_batches_tracked"))
    assert norm.num_batches_tracked == 5
    five, six = (trained_for(steps, model, "exact", "cpu") for steps in (5, 6))
    assert difference(trained_for(5, model, engine, "cpu"), five) < 1e-5
    assert difference(six, five) > 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize(("model", "engine"), ENGINES)
def test_a_gpu_makes_the_steps_and_no_more(model: str, engine: str) -> None:
    found = trained_for(5, model, engine, "cuda", optimizer="adam")
    assert [steps_made(trainee) for trainee in found] == [{5.0}, {5.0}]
    assert difference(trained_for(5, model, engine, "cuda"), trained_for(5, model, "exact", "cpu")) < 1e-5


@pytest.mark.parametrize(("model", "engine"), ENGINES)
def test_steps_of_whole_epochs_are_these_epochs(model: str, engine: str) -> None:
    by_steps = trained_for(6, model, engine, "cpu", schedule="cosine")
    trainees = pair(model, CPU, translate=1)
    test = ResidentImages(next(iter(trainees[0].images.batches(None, 8)))), trainees[0].labels[:8]
    train(trainees, test, config_of(schedule="cosine"), True, 1, ignore, engine)
    assert difference(by_steps, trainees) == 0


def test_both_sides_make_equally_many_steps_in_epochs_of_their_own(store: MlflowClient) -> None:
    assert train_pair([*UNEQUAL, "--steps=20"]) == 0
    runs = ends(store)
    # 20 steps are 2 epochs of 7 and 6 steps more, and 1 epoch of 16 and 4 steps more
    for side, epochs in (("A", 3), ("B", 2)):
        run = store.get_run(runs[side])
        assert run.data.metrics["epoch_reached"] == epochs
        assert run.data.params["optimization.steps"] == "20"
        assert run.data.params["optimization.epochs"] == "3"
        assert sorted(metric_curve(store, runs[side], "train/loss")) == list(range(1, epochs + 1))
    whole = runs_of_kind(store, "pair")[0]
    curves = {name: metric_curve(store, run, "test/loss") for name, run in {**runs, "pair": whole.info.run_id}.items()}
    assert curves["pair"] == {
        1: (curves["A"][1] + curves["B"][1]) / 2,
        2: (curves["A"][2] + curves["B"][2]) / 2,
        3: (curves["A"][3] + curves["B"][2]) / 2,
    }
    assert query.pairs()["epochs"].tolist() == [3]
    words = another_value(query.pairs(), "batch_size", 128).split(" -P ")
    assert {"steps=20", "batch_size=128"} < set(words)
    assert not any(word.startswith("epochs=") for word in words)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_training_of_steps_resumes_to_the_last_bit(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    flags = [*UNEQUAL, "--steps=20", "--noise_scope=paper", "--noise=different"]
    with monkeypatch.context() as patch:
        stop_after(epoch, patch)
        assert train_pair(flags) != 0
    assert train_pair(flags) == 0
    resumed = ends(store)
    assert len(runs_of_kind(store, "pair")) == 1
    assert train_pair([*flags, "--force=true"]) == 0
    compare(store, resumed, ends(store))


def compare(
    client: MlflowClient, first: dict[str, str], second: dict[str, str], other: MlflowClient | None = None
) -> None:
    for side in ("A", "B"):
        left, right = load_network(client, first[side]), load_network(other or client, second[side])
        assert left.run.info.run_id != right.run.info.run_id
        assert all(torch.equal(left.state[name], right.state[name]) for name in left.state)
        names = {name for name in left.run.data.metrics if not name.startswith("cost/")}
        assert {"path_length", "distance_from_start"} < names
        assert names == {name for name in right.run.data.metrics if not name.startswith("cost/")}
        for name in names:
            found = metric_curve(client, first[side], name), metric_curve(other or client, second[side], name)
            assert found[0] == found[1], name


def test_steps_decide_and_epochs_follow() -> None:
    def digest(**options: object) -> str:
        return fingerprint(TrainPairConfig(optimization=OptimizationConfig(**options)))

    assert digest(steps=20) == digest(steps=20, epochs=3) != digest(steps=21)
    assert len({digest(), digest(epochs=3), digest(steps=20), digest(until_train_loss=0.5)}) == 4


def test_other_commands_train_on_from_a_network_of_steps(store: MlflowClient) -> None:
    flags = [*HERE, "--c2st_samples=0", "--model=mlp_l1_w16", "--steps=30", "--shift=none"]
    assert train_pair([*flags, "--seeds=1,2"]) == 0
    networks = [run.info.run_id for run in runs_of_kind(store, "endpoint")]
    assert trajectory([f"--run={networks[0]}", "--epochs=1", "--data_root=x", *HERE]) == 0
    assert star([f"--sources={networks[0]},{networks[2]}", "--epochs=1", "--match_every=0", *HERE]) == 0
    for run in (*runs_of_kind(store, "trajectory"), *runs_of_kind(store, "star")):
        assert run.info.status == "FINISHED"


def test_the_whole_chain_takes_steps_instead_of_its_own_epochs(store: MlflowClient) -> None:
    assert story([*HERE, "--model=mlp_l1_w8", "--c2st_samples=0", "--steps=10", "--num_alphas=3"]) == 0
    assert {run.data.params["optimization.epochs"] for run in runs_of_kind(store, "pair")} == {"1"}


@pytest.mark.slow
def test_several_devices_make_the_steps_of_one(store: MlflowClient) -> None:
    assert train_pair([*UNEQUAL, "--steps=10"]) == 0
    alone = ends(store)
    assert (
        train_pair(
            [*[flag for flag in UNEQUAL if flag != "--device=cpu"], "--steps=10", "--devices=cpu,cpu", "--force=true"]
        )
        == 0
    )
    for side, run in ends(store).items():
        assert run != alone[side]
        mine, theirs = (load_network(store, one).state for one in (run, alone[side]))
        assert all(torch.allclose(mine[name], theirs[name], atol=1e-5) for name in mine)


# loss and accuracy


def reached(client: MlflowClient) -> dict[tuple[str, str], tuple[float, int, str]]:
    """(seed, side) -> epoch reached, last epoch, and whether it was reached."""
    found = {}
    for run in runs_of_kind(client, "endpoint"):
        last = max(metric_curve(client, run.info.run_id, "test/loss"))
        key = (run.data.tags["lmc.seed"], run.data.tags["lmc.side"])
        found[key] = (run.data.metrics.get("epoch_reached", -1), last, run.data.tags["lmc.budget_reached"])
    return found


@pytest.mark.parametrize(
    ("budget", "name"), [("until_train_loss=0.5", "loss"), ("until_train_accuracy=0.9", "accuracy")]
)
def test_both_sides_end_when_both_are_there(store: MlflowClient, budget: str, name: str) -> None:
    assert train_pair([*UNEQUAL, "--epochs=40", f"--{budget}"]) == 0
    limit = float(budget.partition("=")[2])
    firsts = {}
    for side, run in ends(store).items():
        curve = metric_curve(store, run, f"train_evaluated/{name}")
        firsts[side] = min(
            epoch for epoch, value in curve.items() if (value <= limit if name == "loss" else value >= limit)
        )
    assert firsts["A"] != firsts["B"]
    last = max(firsts.values())
    assert last < 40
    assert reached(store) == {("1", side): (firsts[side], last, "yes") for side in ("A", "B")}
    assert max(metric_curve(store, runs_of_kind(store, "pair")[0].info.run_id, "test/loss")) == last


def test_what_is_not_reached_is_said(store: MlflowClient, caplog: pytest.LogCaptureFixture) -> None:
    assert train_pair([*QUICK, "--until_train_loss=0.001"]) == 0
    assert reached(store) == {("1", "A"): (-1, 3, "no"), ("1", "B"): (-1, 3, "no")}
    told = [record.getMessage() for record in caplog.records if "not reached" in record.getMessage()]
    assert told[0] == "side A has not reached until_train_loss=0.001 in 3 epochs; give more epochs, or ask for less"


@pytest.mark.parametrize("engine", ["exact", "fast"])
def test_seeds_that_end_in_different_epochs_end_as_each_alone(store: MlflowClient, engine: str) -> None:
    flags = [*UNEQUAL, "--epochs=40", "--until_train_accuracy=0.93", f"--engine={engine}"]
    assert train_pair([*flags, "--seeds=1,2,3"]) == 0
    together = runs_of_kind(store, "endpoint")
    lasts = reached(store)
    assert len({last for _, last, _ in lasts.values()}) > 1
    assert train_pair([*flags, "--seed=2", "--force=true"]) == 0
    assert reached(store)["2", "A"] == lasts["2", "A"]
    mine = {run.data.tags["lmc.side"]: run.info.run_id for run in together if run.data.tags["lmc.seed"] == "2"}
    known = {run.info.run_id for run in together}
    new = [run for run in runs_of_kind(store, "endpoint") if run.info.run_id not in known]
    compare(store, mine, {run.data.tags["lmc.side"]: run.info.run_id for run in new})


@pytest.mark.parametrize("both_are_there", [False, True])
def test_a_training_until_a_loss_resumes_after_one_side_is_there(
    store: MlflowClient, second_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, both_are_there: bool
) -> None:
    flags = [*UNEQUAL, "--epochs=40", "--until_train_loss=0.5"]
    whole = train_undisturbed(second_store, flags, monkeypatch)
    first, last, _ = reached(second_store)["1", "B"]
    assert first < last
    with monkeypatch.context() as patch:
        stop_after(last if both_are_there else int(first), patch)
        assert train_pair(flags) != 0
    assert train_pair(flags) == 0
    compare(store, three_runs(store), whole, second_store)
    assert reached(store) == reached(second_store)


def test_the_warm_up_is_always_finished(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--warmup_epochs=1.5", "--until_train_loss=100"]) == 0
    assert reached(store) == {("1", "A"): (2, 2, "yes"), ("1", "B"): (2, 2, "yes")}


# distances


def test_a_way_is_longer_than_its_distance() -> None:
    network = nn.Linear(1, 2, bias=False)
    network.register_buffer("count", torch.zeros(1))
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0], [1.0]]))
        way = Displacement(network)
        network.weight.add_(torch.tensor([[3.0], [4.0]]))
        network.count.add_(100)
        assert way.advance() == {"distance_from_start": 5.0, "path_length": 5.0}
        network.weight.sub_(torch.tensor([[3.0], [0.0]]))
        assert way.advance() == {"distance_from_start": 4.0, "path_length": 8.0}
        network.weight.sub_(torch.tensor([[0.0], [4.0]]))
        assert way.advance() == {"distance_from_start": 0.0, "path_length": 12.0}
        way.restore(None)
        assert way.advance() == {"distance_from_start": 0.0}


def test_every_endpoint_logs_how_far_it_has_moved(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--lr=0.01"]) == 0
    for run in ends(store).values():
        distances, lengths = (metric_curve(store, run, name) for name in ("distance_from_start", "path_length"))
        assert sorted(distances) == sorted(lengths) == [1, 2, 3]
        assert distances[1] == lengths[1] > 0
        assert lengths[1] < lengths[2] < lengths[3]
        assert distances[3] < lengths[3]
    assert {"distance_from_start", "path_length", "noise_scale"} <= set(query.endpoints())


@pytest.mark.slow
@pytest.mark.parametrize(
    "budget", [["--steps=1200"], ["--epochs=60", "--until_train_loss=0.0001"]], ids=["steps", "until"]
)
def test_a_killed_training_ends_with_the_way_of_one_that_never_stopped(
    store: MlflowClient, second_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, budget: Sequence[str]
) -> None:
    flags = [*HERE, "--model=mlp_l1_w16", "--batch_size=16", "--checkpoint_every=2", "--shift=subset_0.4", *budget]
    killed_after(store, flags, 5, signal.SIGKILL)
    assert train_pair(flags) == 0
    mine, others = three_runs(store), train_undisturbed(second_store, flags, monkeypatch)
    compare(store, mine, others, second_store)
