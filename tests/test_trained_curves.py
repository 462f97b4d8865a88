"""A curve has exact ends and trained bends, resumes bit by bit, and never counts as a straight path."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient
from safetensors.torch import load_file
from torch import Tensor, nn

import lmc_mlflow as lmc
from entry_points.interpolate import main
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.config.curve import FORMS
from lmc_mlflow.findings.conditions import plain_rows
from lmc_mlflow.findings.overview import path_conditions
from lmc_mlflow.findings.sentences import measured_last
from lmc_mlflow.paths.arc_length import arc_lengths
from lmc_mlflow.paths.curves import CURVES, Segment, straight_bends
from lmc_mlflow.predictions.scores import mean_loss
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.training.curve_bends import CurveNetwork, draw_positions
from lmc_mlflow.workflows.lifecycle.progress import TrainingProgress
from lmc_mlflow.workflows.path.curve import curve_run

HERE = ["--device=cpu", "--threads=1", "--num_resamples=0", "--num_alphas=5"]
BENT = ["--path=bezier", "--curve_epochs=6", "--curve_batch_size=256"]


def vector(*values: float) -> dict[str, Tensor]:
    return {"w": torch.tensor(values, dtype=torch.float32)}


@pytest.fixture
def networks(store: MlflowClient) -> tuple[str, str]:
    """Side A of two seeds."""
    assert train_pair([*QUICK, "--model=mlp_l1_w16_bn", "--seeds=1,2"]) == 0
    return ends_of(store)


def ends_of(store: MlflowClient) -> tuple[str, str]:
    found = {run.data.tags["lmc.seed"]: run.info.run_id for run in sides_a(store)}
    return found["1"], found["2"]


def sides_a(store: MlflowClient) -> list:
    return [run for run in runs_of_kind(store, "endpoint") if run.data.tags["lmc.side"] == "A"]


def flags_of(networks: tuple[str, str], *further: str) -> list[str]:
    return [f"--run_a={networks[0]}", f"--run_b={networks[1]}", "--bn=recalibrate", *HERE, *further]


def bend_of(store: MlflowClient, run_id: str, number: int = 1) -> dict[str, Tensor]:
    return load_file(store.download_artifacts(run_id, f"bends/bend_{number}.safetensors"))


def table_of(store: MlflowClient, run_id: str, path: str = "path.json") -> np.ndarray:
    content = json.loads(Path(store.download_artifacts(run_id, path)).read_text())
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    return np.array([row["loss"] for row in rows if row["split"] == "test"])


def test_every_form_of_the_configuration_is_a_curve() -> None:
    assert set(FORMS) == set(CURVES)


@pytest.mark.parametrize("form", FORMS)
def test_the_ends_are_the_networks_to_the_last_bit_and_even_bends_are_the_segment(form: str) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, bend = ({"w": torch.randn(50, generator=generator), "n": torch.tensor(7)} for _ in range(3))
    curve = CURVES[form]((a, bend, b))
    assert torch.equal(curve.point(0.0)["w"], a["w"])
    assert torch.equal(curve.point(1.0)["w"], b["w"])
    assert curve.point(0.3)["n"] == 7
    straight = CURVES[form]((a, *straight_bends(a, b, 3), b))
    for t in (0.0, 0.1, 0.25, 0.5, 0.9, 1.0):
        torch.testing.assert_close(straight.point(t)["w"], Segment(a, b).point(t)["w"], rtol=0, atol=1e-6)


def test_points_are_the_printed_formulas() -> None:
    a, bend, b = vector(0, 0), vector(1, 3), vector(4, 0)
    # (1 - t)^2 A + 2 t (1 - t) P + t^2 B at t = 1/4: 6/16 P + 1/16 B
    torch.testing.assert_close(CURVES["bezier"]((a, bend, b)).point(0.25)["w"], torch.tensor([10 / 16, 18 / 16]))
    polygon = CURVES["polygon"]((a, bend, b))
    torch.testing.assert_close(polygon.point(0.25)["w"], torch.tensor([0.5, 1.5]))
    torch.testing.assert_close(polygon.point(0.5)["w"], bend["w"])
    torch.testing.assert_close(polygon.point(0.75)["w"], torch.tensor([2.5, 1.5]))


def test_arc_lengths_are_those_of_fine_polylines() -> None:
    alphas = np.array([0.0, 0.3, 0.5, 1.0])
    a, b = vector(0, 0), vector(8, 0)
    np.testing.assert_allclose(arc_lengths(Segment(a, b), ["w"], alphas), 8 * alphas)
    polygon = CURVES["polygon"]((a, vector(4, 3), b))
    np.testing.assert_allclose(arc_lengths(polygon, ["w"], alphas), 10 * alphas)
    for controls in ((a, vector(4, 3), b), (a, vector(1, 3), vector(9, -2), b)):
        curve = CURVES["bezier"](controls)
        points = np.array([curve.point(t)["w"].double().numpy() for t in np.linspace(0, 1, 4001)])
        walked = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        expected = np.interp(alphas, np.linspace(0, 1, 4001), walked)
        np.testing.assert_allclose(arc_lengths(curve, ["w"], alphas), expected, rtol=1e-5)


def test_the_gradient_at_t_reaches_a_bend_times_2_t_1_minus_t() -> None:
    # two classes, one input; at t = 1/4 the point is 6/16 P = (1.5, 0) for P = (4, 0) and ends of zeros
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False), nn.LogSoftmax(dim=1))
    zeros = {"1.weight": torch.zeros(2, 1)}
    curve = CurveNetwork(network, "bezier", (zeros, zeros), 1).train()
    curve.bends[0][1].weight.data = torch.tensor([[4.0], [0.0]])
    curve.set_points([0.25])
    mean_loss(curve(torch.ones(1, 1, 1, 1)), torch.tensor([0])).backward()
    rest = 1 / (np.exp(1.5) + 1)  # p_1: d loss / d w_0 = -p_1 at the point itself
    torch.testing.assert_close(curve.bends[0][1].weight.grad, torch.tensor([[-rest], [rest]]).float() * 6 / 16)
    assert all(value.grad is None for value in zeros.values())


def test_positions_are_uniform_and_each_epoch_has_its_own() -> None:
    first = draw_positions(1, 1, 4000)
    assert first == draw_positions(1, 1, 4000)
    assert first[:9] != draw_positions(1, 2, 9)
    assert np.mean(first) == pytest.approx(0.5, abs=0.02)


def test_a_curve_is_logged_beside_the_segment_and_measured_again_without_training(
    store: MlflowClient, networks: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags_of(networks)) == 0
    assert main(flags_of(networks, *BENT, "--curve_bends=2")) == 0
    said = capsys.readouterr().out
    assert "test, straight" in said
    assert "straight/test" not in said  # as a split of its own
    assert "the curve is" in said
    plain, bent = runs_of_kind(store, "path")
    assert f"entry_points.ensemble --curve {bent.info.run_id}" in said
    tags, metrics = bent.data.tags, bent.data.metrics
    assert tags["lmc.path"] == bent.data.params["curve.path"] == "bezier"
    assert "lmc.path" not in plain.data.tags
    assert bent.data.params["optimization.batch_size"] == "256"
    assert sorted(metric_curve(store, bent.info.run_id, "curve/train_loss")) == [1, 2, 3, 4, 5, 6]
    for key in ("barrier", "barrier_over_chord", "accuracy_delta"):
        assert metrics[f"straight/test/{key}"] == plain.data.metrics[f"test/{key}"]
    assert tags["lmc.connected_straight"] == plain.data.tags["lmc.connected"]
    losses, straight = table_of(store, bent.info.run_id), table_of(store, bent.info.run_id, "path_straight.json")
    assert np.array_equal(straight, table_of(store, plain.info.run_id))
    assert np.array_equal(losses[[0, -1]], straight[[0, -1]])
    assert not np.array_equal(losses, straight)
    lengths = metric_curve(store, bent.info.run_id, "path_arc_length")
    assert lengths[0] == 0
    assert lengths[1000] == metrics["arc_length"] >= metrics["euclidean_squared"] ** 0.5

    assert main(flags_of(networks, *BENT, "--curve_bends=2", "--num_alphas=3")) == 0
    again = runs_of_kind(store, "path")[-1]
    assert not metric_curve(store, again.info.run_id, "curve/train_loss")
    assert again.data.metrics["cost/train_seconds"] == metrics["cost/train_seconds"]
    assert bent.info.run_id in again.data.tags["mlflow.note.content"]
    for number in (1, 2):
        assert same(bend_of(store, again.info.run_id, number), bend_of(store, bent.info.run_id, number))
    assert table_of(store, again.info.run_id)[1] == losses[2]

    other = lmc.interpolate(*networks, path="polygon", curve_epochs=1, bn="recalibrate", device="cpu", threads=1)
    assert other.path == "polygon"
    assert set(other.frame(straight=True).columns) < set(other.frame().columns)
    assert len(other.figure().axes) == 3


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_polygon_without_training_is_the_segment(store: MlflowClient, networks: tuple[str, str]) -> None:
    assert main(flags_of(networks, "--path=polygon", "--curve_epochs=0")) == 0
    (run,) = runs_of_kind(store, "path")
    losses, straight = (table_of(store, run.info.run_id, name) for name in ("path.json", "path_straight.json"))
    np.testing.assert_allclose(losses, straight, rtol=2e-5)
    assert run.data.metrics["arc_length"] == pytest.approx(run.data.metrics["euclidean_squared"] ** 0.5, rel=1e-5)


def test_a_curve_never_counts_as_a_straight_path(store: MlflowClient, networks: tuple[str, str]) -> None:
    assert main(flags_of(networks)) == 0
    assert main(flags_of(networks, *BENT)) == 0
    paths = query.paths()
    assert sorted(paths["path"]) == ["bezier", "segment"]
    assert list(plain_rows(paths)["path"]) == ["segment"]
    assert sorted(measured_last(paths)["path"]) == ["bezier", "segment"]
    between = sorted(one.between for one in path_conditions(paths))
    assert between[1] == f"{between[0]}, along a bezier curve"
    points = query.path_curves(paths, straight=True)
    assert set(points["path"]) == {"segment"}
    assert set(query.path_curves(paths)["path"]) == {"bezier", "segment"}


def test_a_stopped_training_of_bends_resumes_under_its_id_bit_equal(
    store: MlflowClient, networks: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = flags_of(networks, *BENT)
    original = TrainingProgress.add

    def stop_in_epoch_four(self: TrainingProgress, epoch: int) -> None:
        if epoch == 4:
            raise KeyboardInterrupt
        original(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "add", stop_in_epoch_four)
        assert main(flags) == 130
    (stopped,) = runs_of_kind(store, "path")
    assert stopped.info.status == "KILLED"
    assert main(flags_of(networks, *BENT, "--num_alphas=3")) == 0  # another command: a run of its own
    store.delete_run(runs_of_kind(store, "path")[-1].info.run_id)
    assert main(flags) == 0
    (resumed,) = runs_of_kind(store, "path")
    assert resumed.info.run_id == stopped.info.run_id
    assert sorted(metric_curve(store, resumed.info.run_id, "curve/train_loss")) == [1, 2, 3, 4, 5, 6]
    bend = bend_of(store, resumed.info.run_id)
    assert not [file.path for file in store.list_artifacts(resumed.info.run_id) if file.path == "resume"]
    store.delete_run(resumed.info.run_id)
    assert main(flags) == 0
    (whole,) = runs_of_kind(store, "path")
    assert same(bend, bend_of(store, whole.info.run_id))
    assert whole.data.metrics["test/barrier"] == resumed.data.metrics["test/barrier"]


def test_a_killed_training_of_bends_is_taken_up_by_the_same_command(
    store: MlflowClient, networks: tuple[str, str]
) -> None:
    flags = flags_of(networks, "--path=bezier", "--curve_epochs=30", "--curve_batch_size=256")
    process = subprocess.Popen(
        [sys.executable, "-m", "entry_points.interpolate", *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline
        found = runs_of_kind(store, "path")
        if (
            found
            and max(metric_curve(store, found[0].info.run_id, "curve/train_loss"), default=0) > curve_run.SAVE_EVERY
        ):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(flags) == 0
    (run,) = runs_of_kind(store, "path")
    assert (run.info.run_id, run.info.status) == (found[0].info.run_id, "FINISHED")
    assert sorted(metric_curve(store, run.info.run_id, "curve/train_loss")) == list(range(1, 31))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--curve_bends=2"], "curve_bends belongs to path=bezier|polygon"),
        (["--path=bezier", "--align=weights"], "align the pair first"),
        (["--path=spline"], "choose from bezier, polygon, segment"),
        (["--path=bezier", "--curve_bends=0"], "must be at least 1"),
        (["--path=bezier", "--bn=interpolate"], "give bn=recalibrate"),
    ],
)
def test_what_a_curve_cannot_be_is_said_and_leaves_no_run(
    store: MlflowClient, networks: tuple[str, str], capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    assert main(flags_of(networks, *flags)) != 0
    assert words in capsys.readouterr().err
    assert not runs_of_kind(store, "path")


@pytest.mark.slow
def test_a_bezier_curve_is_at_most_a_fifth_of_the_straight_barrier_in_five_of_five_seeds(store: MlflowClient) -> None:
    seeds = range(1, 7)
    assert train_pair([*QUICK, "--model=mlp_l1_w64", "--epochs=30", f"--seeds={','.join(map(str, seeds))}"]) == 0
    a = {int(run.data.tags["lmc.seed"]): run.info.run_id for run in sides_a(store)}
    for seed in range(1, 6):
        path = lmc.interpolate(a[seed], a[seed + 1], path="bezier", num_resamples=0, device="cpu", threads=1)
        rise = path.metrics["test/barrier_over_chord"]
        assert rise <= path.metrics["straight/test/barrier_over_chord"] / 5, seed


def test_points_of_a_curve_are_an_ensemble_and_can_be_published(store: MlflowClient, networks: tuple[str, str]) -> None:
    path = lmc.interpolate(
        *networks, path="polygon", curve_epochs=3, curve_lr=0.01, bn="recalibrate", num_resamples=0, device="cpu"
    )
    how = {"bn": "recalibrate", "num_alphas": 5, "num_resamples": 0, "num_orders": 2, "device": "cpu"}
    scored = lmc.ensemble(path, **how)
    (run,) = runs_of_kind(store, "ensemble")
    assert (run.data.tags["lmc.sampling"], run.data.tags["lmc.curve"]) == ("curve", path.run_id)
    assert run.data.tags["lmc.members"].split(",")[1] == f"{path.run_id}@0.25"
    trained = sum(store.get_run(run_id).data.metrics["cost/train_seconds"] for run_id in (*networks, path.run_id))
    assert run.data.metrics["cost/train_seconds"] == pytest.approx(trained)
    predicted = np.load(store.download_artifacts(scored.run_id, "predictions.npz"))
    accuracy = (predicted["probabilities"].argmax(-1) == predicted["labels"]).mean(axis=1)
    table = path.frame().query("split == 'test'").set_index("alpha")["accuracy"]
    assert list(accuracy) == pytest.approx([table[alpha] for alpha in (0.0, 0.25, 0.5, 0.75, 1.0)])
    assert lmc.ensemble(path, **how).metrics["num_cached_members"] == 5
    (first, _) = query.ensembles().to_dict("records")
    assert (first["sampling"], first["model"], first["epochs"]) == ("curve", "mlp_l1_w16_bn", 3)

    point, averaged = lmc.publish(path, alpha=0.5, input="scaled"), lmc.publish(scored)
    assert point.model_uri != averaged.model_uri
    network, images = lmc.network(networks[0]), torch.rand(7, 1, 28, 28)
    network.load_state_dict(bend_of(store, path.run_id))  # a corner of the polygon, its statistics averaged there
    published = mlflow.pytorch.load_model(point.model_uri)
    torch.testing.assert_close(published(images), network(images), rtol=1e-4, atol=1e-4)
    straight = lmc.interpolate(*networks, bn="recalibrate", num_resamples=0, device="cpu")
    with pytest.raises(ValueError, match="no path along a curve"):
        lmc.ensemble(curve=straight.run_id)
