"""`ensemble` scores any logged networks, and each network predicts only once."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.ensemble import main
from entry_points.train_pair import main as train_pair
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.ensemble import kinds

HERE = ["--device=cpu", "--threads=1", "--num_resamples=50", "--num_orders=5"]
SCORES = {
    "wrong_agreement",
    "wrong_disagreement",
    "wrong_disagreement_printed",
    "majority_vote_accuracy",
    "mean_prediction_accuracy",
    "mean_log_prediction_accuracy",
    "member_accuracy",
    "nll",
    "brier",
    "ece",
    "ace",
    "aurc",
    "mutual_information",
    *(f"{name}_{when}" for name in ("nll", "brier", "ece") for when in ("calibrated", "uncalibrated")),
    "auroc_max_probability",
    "auroc_entropy",
}


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts forward passes over the test set."""
    calls: list[int] = []
    original = kinds.predict

    def counted(network, images):
        calls.append(images.shape[0])
        return original(network, images)

    monkeypatch.setattr(kinds, "predict", counted)
    return calls


@pytest.fixture
def pair(store: MlflowClient) -> str:
    assert train_pair([*QUICK, "--model=mlp_l1_w16_bn", "--epochs=1"]) == 0
    return runs_of_kind(store, "pair")[0].info.run_id


def other_seeds(store: MlflowClient, *seeds: int, flags: tuple[str, ...] = ()) -> list[str]:
    """Endpoint ids of side A of pairs with these seeds."""
    for seed in seeds:
        assert train_pair([*QUICK, "--model=mlp_l1_w16_bn", "--epochs=1", f"--seed={seed}", *flags]) == 0
    return [run.info.run_id for run in runs_of_kind(store, "endpoint") if run.data.tags["lmc.side"] == "A"]


def test_points_of_a_path_are_an_lmc_ensemble(store: MlflowClient, pair: str, tmp_path: Path) -> None:
    assert main([f"--pair={pair}", "--num_alphas=5", *HERE]) == 0
    run = runs_of_kind(store, "ensemble")[0]
    assert run.info.status == "FINISHED"
    assert run.data.tags["lmc.sampling"] == "lmc"
    assert run.data.tags["lmc.members"] == ",".join(f"{pair}@{a}" for a in ("0", "0.25", "0.5", "0.75", "1"))
    wanted = {f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")}
    assert wanted <= set(run.data.metrics)
    assert run.data.metrics["num_members"] == 5
    assert run.data.metrics["temperature"] > 0
    endpoints = [r.data.metrics["cost/train_seconds"] for r in runs_of_kind(store, "endpoint")]
    assert run.data.metrics["cost/train_seconds"] == pytest.approx(sum(endpoints))
    files = Path(store.download_artifacts(run.info.run_id, "", str(tmp_path / "out")))
    with np.load(files / "predictions.npz", allow_pickle=False) as content:
        probabilities, labels = content["probabilities"], content["labels"]
    assert probabilities.shape == (5, len(labels), 10)
    places = json.loads((files / "member_places.json").read_text())
    rows = [dict(zip(places["columns"], row, strict=True)) for row in places["data"]]
    path = {row["alpha"]: row for row in rows}
    assert (path[0]["angle_deg"], path[0]["manhattan"]) == (0, 0)
    assert path[0.5]["manhattan"] == pytest.approx(path[1]["manhattan"] / 2, rel=1e-4)  # a straight line
    assert 0 < path[0.5]["angle_deg"] < path[1]["angle_deg"]
    for i, row in enumerate(rows):
        assert row["accuracy"] == (probabilities[i].argmax(axis=1) == labels).mean()
        assert row["loss"] == pytest.approx(-np.log(probabilities[i][np.arange(len(labels)), labels]).mean(), rel=1e-4)
    mean = probabilities.mean(axis=0).argmax(axis=1)
    assert run.data.metrics["mean_prediction_accuracy"] == pytest.approx((mean == labels).mean())
    names = {str(f.relative_to(files)) for f in files.rglob("*") if f.is_file()}
    expected = {"predictions.npz", "scores.json", "sizes.json", "members.json", "manifest.json"}
    assert expected <= names
    assert "figures/accuracy_against_size.png" in names
    curve = metric_curve(store, run.info.run_id, "size/mean_prediction_accuracy")
    assert sorted(curve) == [1, 2, 3, 4, 5]
    assert curve[5] == run.data.metrics["mean_prediction_accuracy"]


def test_the_ends_may_be_left_out(store: MlflowClient, pair: str) -> None:
    assert main([f"--pair={pair}", "--num_alphas=5", "--include_ends=false", *HERE]) == 0
    assert runs_of_kind(store, "ensemble")[0].data.metrics["num_members"] == 3


def test_the_ends_of_an_lmc_ensemble_are_as_accurate_as_the_endpoints(store: MlflowClient, pair: str) -> None:
    assert main([f"--pair={pair}", "--num_alphas=2", *HERE]) == 0
    run = runs_of_kind(store, "ensemble")[0]
    content = json.loads(Path(store.download_artifacts(run.info.run_id, "sizes.json")).read_text())
    assert content["columns"] == ["size", "method", "accuracy", "accuracy_low", "accuracy_high"]
    assert runs_of_kind(store, "ensemble")[0].data.metrics["num_members"] == 3
    with np.load(store.download_artifacts(run.info.run_id, "predictions.npz")) as arrays:
        accuracies = (arrays["probabilities"].argmax(axis=2) == arrays["labels"]).mean(axis=1)
    logged = [r.data.metrics["test/accuracy"] for r in runs_of_kind(store, "endpoint")]
    assert [accuracies[0], accuracies[2]] == pytest.approx(logged)


def test_networks_of_different_seeds_are_found_by_ids_or_by_a_query(store: MlflowClient, pair: str) -> None:
    ids = other_seeds(store, 20, 100)
    assert len(ids) == 3
    assert main([f"--runs={','.join(run_id[:10] for run_id in ids)}", *HERE]) == 0
    assert main(["--query=tags.`lmc.side` = 'A' and tags.`lmc.model` = 'mlp_l1_w16_bn'", *HERE]) == 0
    first, second = runs_of_kind(store, "ensemble")
    assert first.data.tags["lmc.sampling"] == "seeds"
    assert first.data.tags["lmc.side"] == "A"
    assert first.data.tags["lmc.members"] == second.data.tags["lmc.members"] == ",".join(ids)
    scores = {name: value for name, value in first.data.metrics.items() if name != "num_cached_members"}
    assert {name: second.data.metrics[name] for name in scores} == scores


def test_a_member_predicts_but_once(store: MlflowClient, pair: str, forward: list[int]) -> None:
    assert main([f"--pair={pair}", "--num_alphas=5", *HERE]) == 0
    assert len(forward) == 5
    assert main([f"--pair={pair}", "--num_alphas=9", *HERE]) == 0
    assert len(forward) == 5 + 4  # every second alpha was there
    assert main([f"--pair={pair}", "--num_alphas=3", "--scores_seed=1", *HERE]) == 0
    assert len(forward) == 9
    assert runs_of_kind(store, "ensemble")[2].data.metrics["num_cached_members"] == 3
    assert main([f"--pair={pair}", "--num_alphas=3", "--bn=nearest", *HERE]) == 0
    assert len(forward) == 12  # other batch-norm statistics, other predictions
    assert main([f"--pair={pair}", "--num_alphas=3", "--bn=recalibrate", *HERE]) == 0
    assert len(forward) == 15
    kinds = runs_of_kind(store, "ensemble")
    assert len({run.data.metrics["nll"] for run in kinds[2:]}) == 3


def test_a_damaged_kept_prediction_is_made_anew(
    store: MlflowClient, pair: str, forward: list[int], tmp_path: Path
) -> None:
    assert main([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    kept = sorted((tmp_path / "mlruns" / "0" / pair / "artifacts" / "predictions").iterdir())
    for path in kept:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert main([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    assert len(forward) == 6
    first, second = runs_of_kind(store, "ensemble")
    assert first.data.metrics["nll"] == second.data.metrics["nll"]


def test_networks_of_different_scaling_and_architecture_may_be_members(store: MlflowClient, pair: str) -> None:
    ids = other_seeds(store, 2, flags=("--normalization=unit", "--model=mlp_l1_w8"))
    assert main([f"--runs={','.join(ids)}", *HERE]) == 0
    with np.load(store.download_artifacts(runs_of_kind(store, "ensemble")[0].info.run_id, "predictions.npz")) as arrays:
        accuracies = (arrays["probabilities"].argmax(axis=2) == arrays["labels"]).mean(axis=1)
    logged = [store.get_run(run_id).data.metrics["test/accuracy"] for run_id in ids]
    assert accuracies == pytest.approx(logged)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give one of pair="),
        (["--pair=x", "--runs=a,b"], "give one of pair="),
        (["--runs=a"], "at least two different runs"),
        (["--runs=a,a"], "at least two different runs"),
        (["--runs=a,b", "--num_alphas=5"], "belong to pair="),
        (["--query=tags.`lmc.model` = 'none'"], "finds 0 finished endpoint runs"),
        (["--query=nonsense"], "nonsense"),
        (["--pair=abcdef"], "no run's id begins with 'abcdef'"),
        (["--pair=x", "--confidence=1"], "confidence=1.0"),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused_in_one_line(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main([*flags, "--device=cpu"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not runs_of_kind(store, "ensemble")


def test_members_made_for_other_test_sets_are_refused(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in "0123456789":
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for i in range(4):
                Image.fromarray(rng.integers(0, 256, (28, 28), dtype=np.uint8)).save(folder / f"{i}.png")
    folder_flags = ("--dataset=imagefolder", f"--data_root={tmp_path / 'images'}")
    ids = other_seeds(store, 3, flags=folder_flags)
    assert main([f"--runs={','.join(ids)}", *HERE]) == 1
    assert "cannot be compared: test set:" in capsys.readouterr().err
    assert not runs_of_kind(store, "ensemble")
