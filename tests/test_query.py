"""Tables of `query` are tidy, typed and complete, with one call each."""

import importlib
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from conftest import QUICK, runs_of_kind, use_copy_of, use_copy_of_folder
from mlflow import MlflowClient

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots, query
from lmc_mlflow.contract import Tag, tag
from lmc_mlflow.manifest import render_manifest, sha256_of
from lmc_mlflow.query import rows

PROGRESS_BAR = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
HERE = ["--device=cpu", "--threads=1"]
SMALL = [*QUICK, "--epochs=2", "--model=mlp_l1_w8"]


@pytest.fixture(scope="module")
def filled_folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """Make two pairs, two paths and two ensembles, once."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        fill(use_copy_of(empty_store, folder, patch))
    return folder


@pytest.fixture
def filled(filled_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    return use_copy_of_folder(filled_folder, tmp_path, monkeypatch)


def fill(store: MlflowClient) -> None:
    for seed in ("1", "20"):
        assert train_pair([*SMALL, f"--seed={seed}", "--lr=0.01"]) == 0
    pairs = [run.info.run_id for run in runs_of_kind(store, "pair")]
    a = [run.info.run_id for run in runs_of_kind(store, "endpoint") if run.data.tags["lmc.side"] == "A"]
    assert interpolate([f"--pair={pairs[0]}", "--num_alphas=3", *HERE]) == 0
    assert interpolate([f"--run_a={a[0]}", f"--run_b={a[1]}", "--num_alphas=3", *HERE]) == 0
    flags = [*HERE, "--num_resamples=20", "--num_orders=3"]
    assert ensemble([f"--pair={pairs[0]}", "--num_alphas=3", *flags]) == 0
    assert ensemble([f"--runs={a[0]},{a[1]}", *flags]) == 0


def test_endpoints_have_typed_settings_and_metrics(filled: MlflowClient) -> None:
    frame = query.endpoints()
    assert frame["side"].tolist() == ["A", "B", "A", "B"]
    assert frame["seed"].tolist() == [1, 1, 20, 20]
    assert frame["lr"].tolist() == [0.01] * 4
    assert frame["nesterov"].tolist() == [False] * 4
    assert frame["pair"].nunique() == 2
    run = filled.get_run(frame["run_id"][0])
    assert frame["test/accuracy"][0] == run.data.metrics["test/accuracy"]
    assert frame["start_time"].is_monotonic_increasing


def test_pairs_hold_the_means_of_their_sides(filled: MlflowClient) -> None:
    pairs, endpoints = query.pairs(), query.endpoints()
    means = endpoints.groupby("pair")["test/accuracy"].mean()
    assert pairs.set_index("run_id")["test/accuracy"].to_dict() == pytest.approx(means.to_dict())


def test_paths_know_their_ends(filled: MlflowClient) -> None:
    frame = query.paths()
    assert frame["same_initialization"].tolist() == [True, False]
    assert frame[["seed_a", "seed_b"]].to_numpy().tolist() == [[1, 1], [1, 20]]
    assert frame[["side_a", "side_b"]].to_numpy().tolist() == [["A", "B"], ["A", "A"]]
    assert (frame["pair"] != "").tolist() == [True, False]
    assert frame["lr"].tolist() == [0.01, 0.01]
    assert frame["num_alphas"].tolist() == [3, 3]
    assert "test/barrier" in frame
    assert not [name for name in frame.columns if name.endswith("_of_b")]


def test_path_curves_are_those_of_the_artifacts(filled: MlflowClient) -> None:
    paths = query.paths()
    curves = query.path_curves(paths)
    assert len(curves) == 2 * 3 * 3
    first = curves[(curves["run_id"] == paths["run_id"][0]) & (curves["split"] == "test")]
    assert first["alpha"].tolist() == [0, 0.5, 1]
    assert first["loss"].iloc[0] == query.endpoints().set_index("run_id").loc[paths["run_a"][0], "test/loss"]
    assert first["seed_a"].tolist() == [1, 1, 1]


def test_a_path_of_a_version_that_measured_less_is_read_beside_newer_ones(filled: MlflowClient, tmp_path: Path) -> None:
    old = query.paths()["run_id"][0]
    file = tmp_path / f"mlruns/0/{old}/artifacts/path.json"
    content = json.loads(file.read_text())
    table = pd.DataFrame(content["data"], columns=content["columns"]).drop(columns="ece")
    file.write_text(json.dumps(table.to_dict(orient="split", index=False)))
    manifest = file.parent / "manifest.json"
    manifest.write_text(render_manifest(json.loads(manifest.read_text())["sha256"] | {"path.json": sha256_of(file)}))
    curves = query.path_curves(query.paths())
    assert (curves["ece"].isna() == (curves["run_id"] == old)).all()
    alone = query.path_curves(query.paths().head(1))
    assert "ece" not in alone
    for frame, panels in ((curves, 3), (alone, 2)):
        assert len(plots.paths_over_seeds(frame).axes) == panels


def test_learning_curves_have_a_row_an_epoch_and_split(filled: MlflowClient) -> None:
    curves = query.learning_curves(query.endpoints())
    assert len(curves) == 4 * 2 * 2
    assert set(curves["epoch"]) == {1, 2}
    last = curves[(curves["epoch"] == 2) & (curves["split"] == "test")].set_index("run_id")["accuracy"]
    assert last.to_dict() == query.endpoints().set_index("run_id")["test/accuracy"].to_dict()


def test_ensembles_and_their_sizes(filled: MlflowClient) -> None:
    frame = query.ensembles()
    assert frame["sampling"].tolist() == ["lmc", "seeds"]
    assert frame["num_members"].tolist() == [3, 2]
    assert frame["normalization"].tolist() == ["centered", "centered"]
    assert frame["lr"].tolist() == [0.01, 0.01]
    sizes = query.ensemble_sizes(frame)
    assert sizes.groupby("run_id")["size"].max().to_dict() == dict(zip(frame["run_id"], [3, 2], strict=True))


def test_unfinished_runs_are_left_out_unless_asked_for(filled: MlflowClient) -> None:
    run = runs_of_kind(filled, "pair")[0].info.run_id
    filled.set_terminated(run, "KILLED")
    assert len(query.pairs()) == 1
    assert len(query.pairs(finished=False)) == 2


def test_one_experiment_or_all(filled: MlflowClient) -> None:
    assert len(query.pairs(experiment="Default")) == 2
    filled.create_experiment("other")
    assert query.pairs(experiment="other").empty
    with pytest.raises(ValueError, match="experiment 'none' does not exist"):
        query.pairs(experiment="none")


@pytest.mark.parametrize("table", [query.pairs, query.endpoints, query.paths, query.ensembles])
def test_an_empty_store_gives_empty_tables_with_their_columns(store: MlflowClient, table) -> None:
    frame = table()
    assert frame.empty
    assert {"run_id", "name", "status", "start_time", "dataset", "model", "shift"} <= set(frame.columns)


def test_empty_tables_have_empty_curves(store: MlflowClient) -> None:
    assert query.path_curves(query.paths()).empty
    assert query.learning_curves(query.endpoints()).empty
    assert query.ensemble_sizes(query.ensembles()).empty


def test_an_altered_curve_is_refused(filled: MlflowClient, tmp_path: Path) -> None:
    path = next(tmp_path.glob("mlruns/0/*/artifacts/path.json"))
    content = json.loads(path.read_text())
    content["data"][0][2] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"path\.json was altered"):
        query.path_curves(query.paths())


def test_no_progress_bar_is_drawn_for_every_file(
    filled: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(PROGRESS_BAR)
    capsys.readouterr()
    assert len(query.path_curves(query.paths()))
    assert capsys.readouterr().err == ""


def test_a_progress_bar_for_every_file_is_drawn_where_the_environment_asks_for_it(
    filled: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PROGRESS_BAR, "true")
    capsys.readouterr()
    query.path_curves(query.paths())
    assert "Downloading artifacts" in capsys.readouterr().err


def test_importing_query_writes_no_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROGRESS_BAR)
    importlib.reload(query)
    assert PROGRESS_BAR not in os.environ


@pytest.mark.parametrize(
    "names",
    [
        rows.PATH_TAGS,
        rows.ENSEMBLE_TAGS,
        rows.ALIGNMENT_TAGS,
        rows.STAR_TAGS,
        rows.MATRIX_TAGS,
        rows.PRUNED_TAGS,
    ],
)
def test_columns_that_are_tags_are_tags_of_the_contract(names: tuple[str, ...]) -> None:
    assert {tag(name) for name in names} <= set(vars(Tag).values())


def test_tables_are_plain_frames(filled: MlflowClient) -> None:
    assert isinstance(query.pairs(), pd.DataFrame)
    assert query.pairs()["run_id"].is_unique


def test_a_run_that_cannot_be_read_is_named_and_left_out_of_the_table(
    store: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    ids = []
    for nesterov in ("false", "<b>"):
        run = store.create_run("0", tags={"lmc.kind": "pair"})
        store.log_param(run.info.run_id, "optimization.nesterov", nesterov)
        store.set_terminated(run.info.run_id)
        ids.append(run.info.run_id)
    assert list(query.pairs()["run_id"]) == ids[:1]
    assert [record.getMessage() for record in caplog.records] == [
        f"run {ids[1]} is left out of the table: nesterov='<b>': give true or false"
    ]
