"""Stars and trajectories start from a given network, and trajectories and own loops log how far they have moved."""

import copy
from pathlib import Path

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run
from torch import Tensor, nn

import lmc_mlflow as lmc
from entry_points.star import main as star
from entry_points.train_pair import main as train_pair
from entry_points.trajectory import main as trajectory
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import StarConfig, TrajectoryCommandConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.star.recorder import StarRecorder
from lmc_mlflow.workflows.trajectory.epoch_runs import EpochRuns

HERE = ["--device=cpu", "--threads=1"]
STAR = [*HERE, "--epochs=2", "--batch_size=256", "--num_alphas=3", "--match_every=0"]


def weights(store: MlflowClient, run_id: str) -> dict[str, Tensor]:
    return load_network(store, run_id).state


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def side_of(store: MlflowClient, pair: Run, side: str) -> str:
    runs = runs_of_kind(store, "endpoint")
    found = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == pair.info.run_id]
    return next(r.info.run_id for r in found if r.data.tags["lmc.side"] == side)


def pair_of(store: MlflowClient, *flags: str) -> tuple[str, str]:
    """Train a pair, and give the run ids of its sides."""
    assert train_pair([*QUICK, *flags]) == 0
    pair = runs_of_kind(store, "pair")[-1]
    return side_of(store, pair, "A"), side_of(store, pair, "B")


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return sum(float((a[name].double() - b[name].double()).square().sum()) for name in a) ** 0.5


def test_without_a_start_fingerprints_are_those_of_earlier_versions() -> None:
    """The digests were computed by the version before, for the same flags."""
    flags = ["--sources=a,b", "--star_seed=3", "--epochs=4"]
    assert fingerprint(parse_flags("star", StarConfig, flags)) == "97ff4f94800e5173"
    assert fingerprint(parse_flags("star", StarConfig, [*flags, "--start="])) == "97ff4f94800e5173"
    assert fingerprint(parse_flags("trajectory", TrajectoryCommandConfig, ["--run=a"])) == "006dc7bbd88a3e1a"


def test_a_star_starts_from_a_given_network_whose_digest_is_part_of_it(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = pair_of(store, "--epochs=1")
    given, _ = pair_of(store, "--epochs=1", "--seed=5")
    seen: list[dict[str, Tensor]] = []
    original = StarRecorder.__init__

    def look(self: StarRecorder, run, training, config, resumed) -> None:
        seen.append({name: value.clone() for name, value in training.trainee.network.star.state_dict().items()})
        original(self, run, training, config, resumed)

    monkeypatch.setattr(StarRecorder, "__init__", look)
    flags = [f"--sources={a},{b}", *STAR]
    assert star([*flags, f"--start={given[:12]}"]) == 0
    (run,) = runs_of_kind(store, "star")
    assert equal(seen[0], weights(store, given))
    assert run.data.tags["lmc.start"] == run.data.params["starting.start"] == given
    assert run.data.params["starting.start_digest"] != ""
    assert load_network(store, run.info.run_id).config.starting.start == given
    torch.save(lmc.network(given).state_dict(), tmp_path / "own.pth")
    capsys.readouterr()
    assert star([*flags, f"--start={tmp_path / 'own.pth'}"]) == 0  # the same weights
    assert f"star {run.info.run_id} (finished before)" in capsys.readouterr().out
    assert star([*flags, f"--start={given}", "--start_head=new"]) == 0
    assert torch.equal(seen[-1]["linear1.weight"], seen[0]["linear1.weight"])
    assert not torch.equal(seen[-1]["linear2.weight"], seen[0]["linear2.weight"])
    assert star(flags) == 0
    assert len(runs_of_kind(store, "star")) == 3


def test_starts_that_do_not_fit_a_star_or_a_trajectory_are_refused_by_name(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = pair_of(store, "--epochs=1")
    wide, _ = pair_of(store, "--epochs=1", "--model=mlp_l1_w8")
    on_star, on_trajectory = [f"--sources={a},{b}", *STAR], [f"--run={a}", "--epochs=1", *HERE]
    cases = {
        f"--start={wide}": "is a mlp_l1_w8, this {what} trains mlp_l1_w16; give the same model",
        f"--start={b} --start_digest=abc": "it is another network",
        "--start_head=new": "start_head belongs to start",
        "--start=nothing": "no run's id begins with 'nothing'",
    }
    for flags, message in cases.items():
        for command, own, what in ((star, on_star, "star"), (trajectory, on_trajectory, "trajectory")):
            assert command([*own, *flags.split()]) == 1
            said = capsys.readouterr().err
            assert message.format(what=what) in said
            assert said.count("\n") == 1
    assert star([*on_star, f"--start={a}", "--star_init=mean"]) == 1
    assert "start and star_init=mean both say where the star starts" in capsys.readouterr().err
    assert runs_of_kind(store, "star") == runs_of_kind(store, "trajectory") == []


def test_a_trajectory_from_a_given_start_is_the_side_of_a_pair_from_there(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    given, _ = pair_of(store, "--epochs=1", "--seed=5")
    a, _ = pair_of(store, "--epochs=1")
    expected, _ = pair_of(store, "--epochs=2", f"--start={given}")
    flags = [f"--run={a}", "--epochs=2", *HERE]
    assert trajectory([*flags, f"--start={given}", "--keep_epochs=1"]) == 0
    (run,) = runs_of_kind(store, "trajectory")
    found = {
        r.data.tags.get("lmc.epoch"): r for r in runs_of_kind(store, "endpoint") if "lmc.trajectory" in r.data.tags
    }
    assert sorted(found, key=str) == ["1", "2", None]
    assert equal(weights(store, found["2"].info.run_id), weights(store, expected))
    assert sorted(metric_curve(store, run.info.run_id, "test/loss")) == [0, 1, 2]
    assert found["2"].data.params["starting.start"] == run.data.params["starting.start"] == given
    capsys.readouterr()
    assert trajectory([*flags, f"--start={given}"]) == 0
    assert "(finished before)" in capsys.readouterr().out
    assert trajectory(flags) == 0  # of the run itself: another one
    assert len(runs_of_kind(store, "trajectory")) == 2
    by_python = lmc.trajectory(a, start=given, epochs=2, device="cpu")
    assert by_python.run_id == run.info.run_id


def test_a_trajectory_logs_how_far_it_has_moved_also_when_it_was_stopped(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = pair_of(store, "--epochs=1")
    original = EpochRuns.on_epoch

    def stop_in_epoch_three(self: EpochRuns, epoch: int, reports: list) -> None:
        if epoch == 3:
            raise KeyboardInterrupt
        original(self, epoch, reports)

    flags = [f"--run={a}", "--epochs=3", *HERE]
    with monkeypatch.context() as patch:
        patch.setattr(EpochRuns, "on_epoch", stop_in_epoch_three)
        assert trajectory(flags) == 130
    assert trajectory(flags) == 0
    (run,) = runs_of_kind(store, "trajectory")
    networks = {int(r.data.tags["lmc.epoch"]): r for r in runs_of_kind(store, "endpoint") if "lmc.epoch" in r.data.tags}
    states = {1: weights(store, a)} | {e: weights(store, r.info.run_id) for e, r in networks.items()}
    steps = [distance(states[epoch - 1], states[epoch]) for epoch in (2, 3, 4)]
    lengths = metric_curve(store, run.info.run_id, "path_length")
    distances = metric_curve(store, run.info.run_id, "distance_from_start")
    assert lengths == pytest.approx({2: steps[0], 3: steps[0] + steps[1], 4: sum(steps)}, rel=1e-6)
    assert distances == pytest.approx({e: distance(states[1], states[e]) for e in (2, 3, 4)}, rel=1e-6)
    assert networks[4].data.metrics["path_length"] == lengths[4]


SMALL = {"model": "mlp_l1_w16", "epochs": 2, "device": "cpu", "threads": 1, "c2st_samples": 0}


def train(network: nn.Module, loader, epochs: int) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.nll_loss(network(images), labels).backward()
            optimizer.step()


def test_an_own_loop_logs_how_far_the_network_has_moved_that_it_trains_in_place(store: MlflowClient) -> None:
    with lmc.pair(**SMALL) as pair:
        a, b = pair.sides
        train(a.network(), a.loader(), 2)
        pair.log(a, a.network())
        other = copy.deepcopy(b.network())  # another network, trained on its own
        train(other, b.loader(), 2)
        start = {name: value.clone() for name, value in b.network().state_dict().items()}
        pair.log(b, other, metrics={"path_length": 7.0})
    ours = lmc.train_pair(**SMALL)
    for name in ("distance_from_start", "path_length"):
        mine, theirs = (metric_curve(store, run_id, name) for run_id in (a.run_id, ours.a.run_id))
        assert mine == pytest.approx(theirs)
        assert sorted(mine) == [1, 2]
    metrics = store.get_run(b.run_id).data.metrics
    assert metrics["distance_from_start"] == pytest.approx(distance(start, weights(store, b.run_id)))
    assert metrics["path_length"] == 7.0  # what a loop says itself stays
