"""`interpolate` logs intervals, the verdict by interval and adaptive points, for both paths of an alignment."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run

from entry_points.interpolate import main
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.config.canonical import from_texts
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.paths.intervals import Bootstrap, path_intervals
from lmc_mlflow.paths.samples import from_arrays
from lmc_mlflow.plots import path_figure
from lmc_mlflow.predictions.ensembles import Interval
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.path.interpolate import path_fingerprint

import_runs = importlib.import_module("entry_points.import").main
HERE = ["--device=cpu", "--threads=1"]
OTHER_INIT = [*QUICK, "--init=different", "--epochs=6"]


@pytest.fixture
def pair(store: MlflowClient) -> str:
    """Two networks that no straight path connects and a permutation brings closer."""
    assert train_pair(OTHER_INIT) == 0
    return str(runs_of_kind(store, "pair")[0].info.run_id)


def path_of(store: MlflowClient, number: int = -1) -> Run:
    return runs_of_kind(store, "path")[number]


def artifact(store: MlflowClient, run: Run, name: str, folder: Path) -> Path:
    return Path(store.download_artifacts(run.info.run_id, name, str(folder)))


def test_the_intervals_can_be_computed_again_from_the_samples_that_are_kept_on_request(
    store: MlflowClient, pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--num_alphas=5", "--align=weights", "--num_resamples=100", "--confidence=0.9", "--resamples_seed=3"]
    assert main([f"--pair={pair}", *flags, "--keep_samples=true", *HERE]) == 0
    run, printed = path_of(store), capsys.readouterr().out
    metrics, tags = run.data.metrics, run.data.tags
    for prefix, name in (("", "samples.npz"), ("unaligned/", "samples_unaligned.npz")):
        with np.load(artifact(store, run, name, tmp_path)) as arrays:
            alphas, samples = from_arrays(dict(arrays))
        assert set(samples) == {"test", "train_a", "train_b"}
        for split, intervals in path_intervals(alphas, samples, Bootstrap(100, 0.9, 3)).items():
            for field, interval in intervals.items():
                for key, value in ((f"{field}_low", interval.low), (f"{field}_high", interval.high)):
                    assert metrics[f"{prefix}{split}/{key}"] == pytest.approx(value, abs=1e-12)
                assert metrics[f"{prefix}{split}/{field}"] == pytest.approx(interval.value, rel=1e-5, abs=1e-6)
    assert tags["lmc.connected_interval"] in (tags["lmc.connected"], "undecided")
    assert tags["lmc.connected_interval_unaligned"] == tags["lmc.connected_unaligned"] == "no"
    assert f"  connected by interval: {tags['lmc.connected_interval']} (" in printed
    assert f"By interval: {tags['lmc.connected_interval']} (" in tags["mlflow.note.content"]
    assert "Without: connected: no, by interval: no (test barrier in basin" in tags["mlflow.note.content"]
    assert "0.9 of 100 resamples" in tags["mlflow.note.content"]
    row = query.paths().iloc[0]
    assert (row["connected_interval"], row["alphas"]) == (tags["lmc.connected_interval"], "even")
    assert row["test/barrier_in_basin_low"] <= row["test/barrier_in_basin_high"]


def test_without_resamples_there_are_no_intervals_and_no_verdict_by_them(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    assert main([f"--pair={pair}", "--num_alphas=3", "--num_resamples=0", *HERE]) == 0
    printed = capsys.readouterr().out
    judged, plain = runs_of_kind(store, "path")
    assert not [key for key in plain.data.metrics if key.endswith(("_low", "_high"))]
    assert "lmc.connected_interval" not in plain.data.tags
    assert printed.count("connected by interval") == 1
    assert plain.data.tags["lmc.fingerprint"] == judged.data.tags["lmc.fingerprint"]
    assert not any(file.path == "samples.npz" for file in store.list_artifacts(judged.info.run_id))
    for key, value in plain.data.metrics.items():
        assert judged.data.metrics[key] == value
    table = query.paths()
    assert table["connected_interval"].tolist() == [judged.data.tags["lmc.connected_interval"], ""]
    assert table["test/barrier_high"].isna().tolist() == [False, True]


def test_a_path_at_its_threshold_is_undecided(store: MlflowClient, pair: str) -> None:
    assert main([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    barrier = path_of(store).data.metrics["test/barrier_in_basin"]
    flags = [f"--barrier_threshold={barrier}", "--accuracy_delta_threshold=-1", "--num_alphas=3", *HERE]
    assert main([f"--pair={pair}", *flags]) == 0
    tags = path_of(store).data.tags
    assert tags["lmc.connected_interval"] == "undecided"
    assert f"By interval: undecided (test barrier in basin {barrier:.4f} (" in tags["mlflow.note.content"]


@pytest.mark.parametrize("engine", ["fast", "exact"])
def test_adaptive_points_of_both_paths_are_logged_as_they_were_used(
    store: MlflowClient, pair: str, tmp_path: Path, engine: str
) -> None:
    flags = [
        "--alphas=adaptive",
        "--alpha_tolerance=0.001",
        "--align=weights",
        f"--path_engine={engine}",
        "--splits=test,train_a",
        *HERE,
    ]
    assert main([f"--pair={pair}", *flags]) == 0
    run = path_of(store)
    metrics = run.data.metrics
    assert run.data.tags["lmc.engine"] == engine
    for prefix, name in (("", "path.json"), ("unaligned/", "path_unaligned.json")):
        content = json.loads(artifact(store, run, name, tmp_path).read_text())
        table = pd.DataFrame(content["data"], columns=content["columns"])
        alphas = table.loc[table["split"] == "test", "alpha"].tolist()
        assert alphas == table.loc[table["split"] == "train_a", "alpha"].tolist() == sorted(alphas)
        assert {0.0, 0.1, 0.5, 1.0} <= set(alphas)
        assert metrics[f"{prefix}num_points"] == len(alphas) >= 11
        curve = metric_curve(store, run.info.run_id, f"{prefix}test/path_loss")
        assert sorted(curve) == [round(1000 * alpha) for alpha in alphas]
        assert 0 <= metrics[f"{prefix}test/barrier_error_bound"] <= 0.003
    assert metrics["unaligned/num_points"] > 11  # whose barrier is above one nat
    assert query.paths()[["alphas", "num_alphas"]].to_numpy().tolist() == [["adaptive", metrics["num_points"]]]
    assert len(query.path_curves(query.paths())) == 2 * metrics["num_points"]


def test_options_of_the_other_grid_are_refused(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, said in (
        (["--alphas=adaptive", "--num_alphas=51"], "num_alphas=51 belongs to alphas=even; leave it out"),
        (["--alpha_tolerance=0.1"], "alpha_tolerance=0.1 belongs to alphas=adaptive; leave it out"),
        (["--alphas=evne"], "did you mean 'even'?"),
    ):
        assert main(["--pair=x", *flags]) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "same"),
    [
        ({"num_resamples": "0", "confidence": "0.5", "resamples_seed": "7", "keep_samples": "true"}, True),
        ({"alphas": "even", "alpha_tolerance": "0.01"}, True),
        ({"alphas": "adaptive"}, False),
    ],
)
def test_what_changes_no_point_of_a_path_leaves_its_fingerprint(texts: dict[str, str], same: bool) -> None:
    found = path_fingerprint(from_texts(InterpolateConfig, {"pair": "x", **texts}))
    assert (found == "e3b0c44298fc1c14") == same  # of nothing: all at their defaults


def test_paths_of_earlier_versions_have_empty_columns(store: MlflowClient) -> None:
    assert import_runs([f"--bundles={ROOT / 'tests' / 'data' / 'store_of_34125ca.zip'}"]) == 0
    table = query.paths()
    assert len(table) == 2
    assert set(table["connected_interval"]) == set(table["connected_interval_unaligned"]) == {""}
    assert set(table["alphas"]) == {"even"}
    names = ["test/barrier_low", "test/barrier_in_basin_high", "train_a/accuracy_delta_low", "test/barrier_error_bound"]
    assert table[names].isna().all(axis=None)


def bars(table: pd.DataFrame, intervals: dict[str, dict[str, Interval]]) -> Iterator[list[list[float]]]:
    """Ends of the bars in each panel of a figure."""
    for panel in path_figure(table, "title", intervals).axes:
        yield [list(line.get_ydata()) for line in panel.get_lines() if line.get_label() == "interval over images"]


def test_the_figure_has_a_bar_at_the_peak() -> None:
    losses, accuracies = [1.0, 0.2, 0.8, 0.4, 0.9], [0.5, 0.9, 0.7, 0.9, 0.7]
    table = pd.DataFrame({"alpha": np.linspace(0, 1, 5), "split": "test", "loss": losses, "accuracy": accuracies})
    intervals = {
        "test": {"barrier_in_basin": Interval(0.5, 0.4, 0.7), "accuracy_delta": Interval(0.1, 0.0, 0.2)},
        "train_a": {},
    }
    loss_bars, accuracy_bars = bars(table, intervals)
    assert loss_bars[0] == pytest.approx([0.3 + 0.4, 0.3 + 0.7])  # over the mean of the minima
    assert accuracy_bars[0] == pytest.approx([60, 80])  # over the mean of the ends
    assert list(bars(table, {})) == [[], []]
