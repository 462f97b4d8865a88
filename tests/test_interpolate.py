"""`interpolate` logs a path as the contract says, between any two runs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.interpolate import main
from entry_points.main import main as story
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import connected_by_error
from lmc_mlflow.query.runs import largest_curve_difference, metric_curve
from lmc_mlflow.workflows.networks.similarity import similarity_by_tensor

SPLIT_KEYS = {
    "barrier",
    "barrier_over_chord",
    "barrier_in_basin",
    "error_barrier",
    "error_barrier_normalized",
    "accuracy_delta",
    "min_accuracy_delta",
    "alpha_at_barrier",
    "barrier_error_bound",
    "path_loss",
    "path_accuracy",
    "path_ece",
}
INTERVALS = {
    f"{name}_{end}"
    for name in SPLIT_KEYS - {"barrier_error_bound", "alpha_at_barrier", "path_loss", "path_accuracy", "path_ece"}
    for end in ("low", "high")
}
ONCE = {
    "num_points",
    "cosine",
    "angle_deg",
    "angle_weights_deg",
    "angle_reference_deg",
    "manhattan",
    "manhattan_per_parameter",
    "euclidean_squared",
    "euclidean_squared_per_parameter",
    "variance_ratio",
}
BN = [*QUICK, "--model=mlp_l1_w16_bn"]
HERE = ["--device=cpu", "--threads=1"]


def test_two_executions_of_one_configuration_are_compared_and_no_other_networks(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*QUICK, "--model=mlp_l1_w8_bn", "--epochs=2", "--c2st_samples=0"]
    for again in ([], ["--force=true"]):
        assert train_pair([*flags, *again]) == 0
    ends = sorted(runs_of_kind(store, "endpoint"), key=lambda run: run.info.start_time)
    first, second = (run.info.run_id for run in ends if run.data.tags["lmc.side"] == "A")
    other = next(run.info.run_id for run in ends if run.data.tags["lmc.side"] == "B")
    capsys.readouterr()
    for b in (second, other):
        assert main([f"--run_a={first}", f"--run_b={b}", "--num_alphas=3", "--num_resamples=0", *HERE]) == 0
    said = capsys.readouterr().out
    assert said.count("they differ by at most 0 in a weight and by 0 in their learning curves") == 1
    different, same = sorted(runs_of_kind(store, "path"), key=lambda run: -run.info.start_time)
    found = {key: value for key, value in same.data.metrics.items() if key.startswith("repeated/")}
    assert found.keys() == {f"repeated/{name}_difference" for name in ("weight", "curve", "path_loss")}
    assert found["repeated/weight_difference"] == found["repeated/curve_difference"] == 0
    assert found["repeated/path_loss_difference"] < 1e-5
    assert same.data.metrics["test/ends_agreement"] == 1
    assert not any(key.startswith("repeated/") for key in different.data.metrics)


def test_learning_curves_of_two_executions_differ_by_their_largest_gap_and_never_agree_with_a_shorter_one(
    store: MlflowClient,
) -> None:
    whole = {"train/loss": [3.0, 2.0]}
    curves: list[dict[str, list[float]]] = [whole, {"train/loss": [3.0, 1.5]}, {"train/loss": [3.0]}]
    ids = []
    for curve in curves:
        ids.append(store.create_run("0").info.run_id)
        for name, values in curve.items():
            for step, value in enumerate(values, 1):
                store.log_metric(ids[-1], name, value, step=step)
    assert largest_curve_difference(store, ids[0], ids[1], ["train/loss"]) == 0.5
    assert largest_curve_difference(store, ids[0], ids[2], ["train/loss"]) == float("inf")


@pytest.fixture
def pair(store: MlflowClient):
    assert train_pair([*BN, "--shift=label_2080"]) == 0
    return runs_of_kind(store, "pair")[0].info.run_id


def test_a_path_is_logged_as_the_contract_says(store: MlflowClient, pair: str, tmp_path: Path) -> None:
    assert main([f"--pair={pair}", "--num_alphas=6", *HERE]) == 0
    run = runs_of_kind(store, "path")[0]
    a, b = runs_of_kind(store, "endpoint")
    assert run.info.status == "FINISHED"
    assert run.data.params["path.num_alphas"] == "6"
    assert run.data.params["path.barrier_threshold"] == "0.1"
    assert (run.data.tags["lmc.run_a"], run.data.tags["lmc.run_b"]) == (a.info.run_id, b.info.run_id)
    assert run.data.tags["lmc.connected"] in ("yes", "no", "apparent")
    assert run.data.params["path.error_barrier_threshold"] == "0.02"
    heights = {split: run.data.metrics[f"{split}/error_barrier"] for split in ("test", "train_a", "train_b")}
    assert run.data.tags["lmc.connected_by_error"] == connected_by_error(heights, 0.02)
    assert query.paths()["connected_by_error"].tolist() == [run.data.tags["lmc.connected_by_error"]]
    expected = {f"{split}/{key}" for split in ("test", "train_a", "train_b") for key in SPLIT_KEYS | INTERVALS} | ONCE
    expected |= {f"against_alpha/test_{name}" for name in ("loss", "accuracy", "ece")}
    expected |= {f"{split}/paid_by_{who}_classes" for split in ("test", "train_a", "train_b") for who in ("a", "b")}
    names = ("agreement", "wrong_agreement", "wrong_disagreement", "agreement_minus_accuracy")
    expected |= {f"{split}/ends_{name}" for split in ("test", "train_a", "train_b") for name in names}
    paths_with_heights = {f"{split}/half_paid_by" for split in ("test", "train_a", "train_b")}
    assert set(run.data.metrics) - paths_with_heights == expected
    curve = metric_curve(store, run.info.run_id, "test/path_loss")
    assert metric_curve(store, run.info.run_id, "against_alpha/test_loss") == curve
    groups = {key.partition("/")[0] for key in run.data.metrics if "/" in key}
    assert min(groups) == "against_alpha"  # the UI's charts begin with it
    assert sorted(curve) == [0, 200, 400, 500, 600, 800, 1000]
    files = Path(store.download_artifacts(run.info.run_id, "", str(tmp_path / "path")))
    names = {str(f.relative_to(files)) for f in files.rglob("*") if f.is_file()}
    assert {"barrier_by_class.json", "barrier_by_sample.json", "figures/who_pays.png"} <= names
    assert {"path.json", "figures/path.png", "figures/polar.png", "manifest.json"} <= names
    content = json.loads((files / "path.json").read_text())
    table = pd.DataFrame(content["data"], columns=content["columns"])
    assert list(table.columns) == ["alpha", "split", "loss", "accuracy", "ece", "angle_deg", "manhattan"]
    assert len(table) == 3 * 7
    errors = metric_curve(store, run.info.run_id, "test/path_ece")
    assert errors == dict(zip(sorted(curve), table.loc[table["split"] == "test", "ece"], strict=True))
    layers = json.loads((files / "similarity.json").read_text())
    by_tensor = pd.DataFrame(layers["data"], columns=layers["columns"])
    assert by_tensor["tensor"].tolist()[:4] == ["linear1.weight", "linear1.bias", "norm1.weight", "norm1.bias"]
    metrics, count = run.data.metrics, by_tensor["parameters"].sum()
    for name in ("manhattan", "euclidean_squared"):
        assert by_tensor[name].sum() == pytest.approx(metrics[name])
        assert metrics[f"{name}_per_parameter"] == pytest.approx(metrics[name] / count)
    assert by_tensor["angle_deg"].between(0, 180).all()


def test_a_tensor_of_zeros_has_no_angle() -> None:
    spec = NetworkSpec("mlp_l1_w4_bn", 1, 2, 2, 2)
    a, b = ({n: t.clone() for n, t in build_network(spec, seed).state_dict().items()} for seed in (1, 2))
    ends = [SimpleNamespace(state=state, network=lambda: build_network(spec, 0)) for state in (a, b)]
    rows = similarity_by_tensor(*ends).set_index("tensor")
    assert rows.loc["norm1.bias", "angle_deg"] is None  # batch norm's shifts start at 0
    assert rows.loc["norm1.weight", "angle_deg"] == pytest.approx(0, abs=1e-6)
    assert rows.loc["linear1.weight", "angle_deg"] > 30


def test_the_ends_of_a_path_are_the_endpoints_own_test_metrics(store: MlflowClient, pair: str) -> None:
    assert main([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    path = runs_of_kind(store, "path")[0].info.run_id
    for step, run in zip((0, 1000), runs_of_kind(store, "endpoint"), strict=True):
        assert metric_curve(store, path, "test/path_loss")[step] == run.data.metrics["test/loss"]
        assert metric_curve(store, path, "test/path_accuracy")[step] == run.data.metrics["test/accuracy"]


def test_two_runs_of_different_seeds_are_joined_by_prefix(store: MlflowClient, pair: str) -> None:
    assert train_pair([*BN, "--shift=label_2080", "--seed=20"]) == 0
    endpoints = [run.info.run_id for run in runs_of_kind(store, "endpoint")]
    assert main([f"--run_a={endpoints[0][:12]}", f"--run_b={endpoints[2][:12]}", "--splits=test", *HERE]) == 0
    run = runs_of_kind(store, "path")[0]
    assert run.data.tags["lmc.run_b"] == endpoints[2]
    assert run.data.tags["lmc.seed"] == "1, 20"
    assert "lmc.pair" not in run.data.tags
    assert not any(key.startswith("train_") for key in run.data.metrics)


@pytest.mark.parametrize("bn", ["recalibrate", "nearest", "repair", "a", "b", "initial", "batch"])
def test_the_batch_norm_policy_changes_the_path_and_is_logged(store: MlflowClient, pair: str, bn: str) -> None:
    for policy in ("interpolate", bn):
        assert main([f"--pair={pair}", "--num_alphas=3", f"--bn={policy}", "--splits=test", *HERE]) == 0
    plain, other = runs_of_kind(store, "path")
    assert other.data.tags["lmc.bn"] == bn
    curves = [metric_curve(store, run.info.run_id, "test/path_loss") for run in (plain, other)]
    assert curves[0][500] != curves[1][500]
    changed_ends = {"recalibrate": {0, 1000}, "a": {1000}, "b": {0}, "initial": {0, 1000}, "batch": {0, 1000}}
    assert {alpha for alpha in (0, 1000) if curves[0][alpha] != curves[1][alpha]} == changed_ends.get(bn, set())


def test_both_ways_of_walking_find_the_same_path_and_say_which_it_was(store: MlflowClient, pair: str) -> None:
    for engine in ("fast", "exact"):
        assert main([f"--pair={pair}", "--num_alphas=4", f"--path_engine={engine}", *HERE]) == 0
    fast, exact = runs_of_kind(store, "path")
    assert (fast.data.tags["lmc.engine"], exact.data.tags["lmc.engine"]) == ("fast", "exact")
    assert fast.data.metrics == pytest.approx(exact.data.metrics, abs=1e-5)
    assert fast.data.metrics["test/barrier"] > 0


def test_a_network_joined_to_itself_has_no_barrier_and_no_distance(store: MlflowClient, pair: str) -> None:
    run = runs_of_kind(store, "endpoint")[0].info.run_id
    assert main([f"--run_a={run}", f"--run_b={run}", "--num_alphas=5", *HERE]) == 0
    metrics = runs_of_kind(store, "path")[0].data.metrics
    assert metrics["manhattan"] == metrics["euclidean_squared"] == metrics["angle_deg"] == 0
    assert metrics["test/barrier"] == pytest.approx(0, abs=1e-6)
    assert runs_of_kind(store, "path")[0].data.tags["lmc.connected"] == "yes"


def test_random_networks_with_batch_norm_are_far_from_orthogonal(store: MlflowClient) -> None:
    # Why angle_reference_deg is logged: batch norm's scales all start at 1 (NOTES: 41 to 43 degrees).
    assert train_pair([*QUICK, "--model=mlp_l1_w587_bn", "--epochs=1", "--init=different"]) == 0
    assert main([f"--pair={runs_of_kind(store, 'pair')[0].info.run_id}", "--num_alphas=2", "--splits=test", *HERE]) == 0
    metrics = runs_of_kind(store, "path")[0].data.metrics
    assert metrics["angle_reference_deg"] < 60
    assert metrics["angle_weights_deg"] == pytest.approx(90, abs=4)


def test_the_error_threshold_decides_its_own_verdict_alone(store: MlflowClient, pair: str, capsys) -> None:
    said = []
    for threshold in ("0.000001", "1.01"):
        assert main([f"--pair={pair}", "--num_alphas=3", f"--error_barrier_threshold={threshold}", *HERE]) == 0
        said.append("connected by error: yes" in capsys.readouterr().out)
    strict, lenient = runs_of_kind(store, "path")
    assert lenient.data.tags["lmc.connected_by_error"] == "yes"
    assert strict.data.tags["lmc.connected_by_error"] in ("no", "apparent")
    assert said == [False, True]
    assert strict.data.tags["lmc.connected"] == lenient.data.tags["lmc.connected"]


def test_thresholds_decide_the_verdict(store: MlflowClient, pair: str) -> None:
    assert (
        main([f"--pair={pair}", "--num_alphas=3", "--accuracy_delta_threshold=0", "--barrier_threshold=0", *HERE]) == 0
    )
    assert (
        main([f"--pair={pair}", "--num_alphas=3", "--accuracy_delta_threshold=-1", "--barrier_threshold=99", *HERE])
        == 0
    )
    assert runs_of_kind(store, "path")[1].data.tags["lmc.connected"] == "yes"
    first = runs_of_kind(store, "path")[0]
    broken = any(
        first.data.metrics[f"{split}/barrier_in_basin"] > 0 or first.data.metrics[f"{split}/accuracy_delta"] < 0
        for split in ("test", "train_a", "train_b")
    )
    assert (first.data.tags["lmc.connected"] == "yes") == (not broken)


def test_the_story_is_one_run_with_two_pairs_and_two_paths(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert story([*QUICK, "--num_alphas=3"]) == 0
    out = capsys.readouterr().out
    report = runs_of_kind(store, "report")[0]
    children = [run for kind in ("pair", "path") for run in runs_of_kind(store, kind)]
    assert [run.data.tags["lmc.kind"] for run in children] == ["pair", "pair", "path", "path"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {report.info.run_id}
    same, different = runs_of_kind(store, "path")
    assert same.data.tags["lmc.pair"] == children[0].info.run_id
    assert different.data.metrics["angle_deg"] > 60 > same.data.metrics["angle_deg"]
    assert "  same, sides A and B  " in out
    assert report.info.status == "FINISHED"


def test_the_story_needs_two_seeds(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert story([*QUICK, "--seed=20"]) == 1
    assert "other_seed=20 is the first pair's seed" in capsys.readouterr().err
    assert not runs_of_kind(store, "report")


def test_between_networks_of_one_side_the_other_side_is_unseen(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, "--shift=label_2080", "--seeds=1,20"]) == 0
    first, other, second, _ = (run.info.run_id for run in runs_of_kind(store, "endpoint"))
    flags = [f"--run_a={first}", f"--run_b={second}", "--num_alphas=3", "--splits=test,train_a,unseen", *HERE]
    assert main(flags) == 0
    path = runs_of_kind(store, "path")[0]
    files = Path(store.download_artifacts(path.info.run_id, "path.json", str(tmp_path)))
    content = json.loads(files.read_text())
    table = pd.DataFrame(content["data"], columns=content["columns"]).set_index(["split", "alpha"])
    # The other side's subset, as a path that starts at the other side's network measures its own.
    assert main([f"--run_a={other}", f"--run_b={first}", "--num_alphas=2", "--splits=train_a", *HERE]) == 0
    beside = runs_of_kind(store, "path")[1]
    assert table.loc[("unseen", 0.0), "loss"] == pytest.approx(
        metric_curve(store, beside.info.run_id, "train_a/path_loss")[1000], rel=1e-5
    )
    assert path.data.metrics["unseen/barrier"] != path.data.metrics["train_a/barrier"]
    before = len(runs_of_kind(store, "path"))
    assert main([f"--run_a={first}", f"--run_b={other}", "--splits=unseen", *HERE]) == 1
    assert "splits: unseen is the other side's training subset" in capsys.readouterr().err
    assert len(runs_of_kind(store, "path")) == before
