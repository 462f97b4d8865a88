"""`matrix` measures every pair as `interpolate` does; clusters, dendrograms and star candidates are correct."""

import json
import math
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.interpolate import main as interpolate
from entry_points.matrix import main
from entry_points.train_pair import main as train_pair
from lmc_mlflow.paths.barriers import epsilon
from lmc_mlflow.paths.graph import (
    clusters,
    is_constant,
    star_candidate,
    tree,
)
from lmc_mlflow.plots.per_run.matrix import matrix_figure
from lmc_mlflow.query.verified_artifacts import download_verified
from lmc_mlflow.tracking.processes.process import process_tags
from lmc_mlflow.workflows.matrix import pairs as matrix_pairs
from lmc_mlflow.workflows.matrix.pair_arrays import unpack

HERE = ["--device=cpu", "--threads=1"]
CHAIN = np.array([[0, 0.05, 0.5, 0.9], [0.05, 0, 0.08, 0.9], [0.5, 0.08, 0, 0.9], [0.9, 0.9, 0.9, 0]])
"""0 - 1 - 2 are a chain of low barriers, 3 is far from all."""


def test_clusters_are_chains_of_low_barriers_the_largest_first() -> None:
    assert clusters(CHAIN, 0.1, [0, 1, 2, 3]) == [(0, 1, 2), (3,)]
    assert clusters(CHAIN, 0.06, [3, 2, 1, 0]) == [(0, 1), (2,), (3,)]
    assert clusters(CHAIN, 0.1, [0, 2]) == [(0,), (2,)]  # whoever is left out joins nobody


def test_the_star_candidate_is_whose_largest_barrier_is_least() -> None:
    assert star_candidate(CHAIN, [0, 1, 2]) == (1, 0.08)
    assert star_candidate(CHAIN, [0]) is None
    broken = np.where(CHAIN == 0.08, np.nan, CHAIN)
    assert star_candidate(broken, [0, 1, 2]) == (0, 0.5)
    assert clusters(broken, 0.1, [0, 1, 2]) == [(0, 1), (2,)]


@pytest.mark.parametrize(("linkage", "height"), [("average", 5), ("single", 4), ("complete", 6)])
def test_the_nearest_two_are_joined_first_and_their_distance_to_the_third_depends_on_the_linkage(
    linkage: str, height: float
) -> None:
    barriers = np.array([[0.0, 1, 4], [1, 0, 6], [4, 6, 0]])
    assert tree(barriers, linkage).tolist() == [[0, 1, 1, 2], [2, 3, height, 3]]


def test_average_linkage_weighs_clusters_by_their_size_and_what_is_infinite_is_far() -> None:
    rows = tree(CHAIN, "average")
    assert rows[1].tolist() == [2, 4, pytest.approx((0.5 + 0.08) / 2), 3]
    assert rows[2].tolist() == [3, 5, pytest.approx(0.9), 4]
    far = tree(np.array([[0, 1, np.inf], [1, 0, np.nan], [np.inf, np.nan, 0]]), "average")
    assert far[1].tolist() == [2, 3, 2, 3]


def test_a_constant_predictor_is_within_two_standard_errors_of_the_largest_class() -> None:
    labels = np.repeat([0, 1], 50)  # standard error 0.05
    assert is_constant(0.6, labels)
    assert not is_constant(0.61, labels)
    assert is_constant(0.2, labels)


def test_epsilon_is_the_height_over_the_higher_end() -> None:
    assert epsilon(np.array([1.0, 4.0, 2.0])) == 2.0
    assert epsilon(np.array([1.0, 0.5, 2.0])) == 0.0


@pytest.fixture(scope="module")
def filled(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    """Four trained networks of two seeds, and two that weight decay has emptied."""
    folder = tmp_path_factory.mktemp("matrix")
    shutil.copy(empty_store, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))
    connection.close()
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    patch.chdir(folder)
    common = [*QUICK, "--init=different", "--shift=none"]
    assert train_pair([*common, "--epochs=6", "--lr=0.01", "--seeds=1,20"]) == 0
    shrinking = ["--optimizer=sgd", "--lr=0.001", "--weight_decay=900"]  # to a tenth at every step: nothing is left
    assert train_pair([*common, "--epochs=1", *shrinking, "--seed=100"]) == 0
    yield MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    patch.undo()


def ids(client: MlflowClient) -> list[str]:
    return [run.info.run_id for run in runs_of_kind(client, "endpoint")]


def table(client: MlflowClient, run, name: str, tmp_path: Path) -> pd.DataFrame:
    target = tmp_path / run.info.run_id / name
    target.mkdir(parents=True)
    return pd.read_csv(download_verified(client, run, [name], target)[name])


def test_every_pair_is_measured_as_interpolate_measures_it(filled: MlflowClient, tmp_path: Path) -> None:
    trained = ids(filled)[:4]
    assert main([f"--runs={','.join(trained)}", *HERE]) == 0
    run = runs_of_kind(filled, "matrix")[-1]
    pairs = table(filled, run, "pairs.csv", tmp_path)
    assert len(pairs) == 6
    assert (
        interpolate([f"--run_a={trained[0]}", f"--run_b={trained[2]}", "--num_alphas=11", "--splits=test", *HERE]) == 0
    )
    path = runs_of_kind(filled, "path")[-1].data.metrics
    row = pairs[(pairs["run_a"] == trained[0]) & (pairs["run_b"] == trained[2])].iloc[0]
    for name in ("barrier", "barrier_over_chord", "barrier_in_basin", "error_barrier", "accuracy_delta"):
        assert row[name] == pytest.approx(path[f"test/{name}"], abs=1e-6), name
    assert row["angle_deg"] == pytest.approx(path["angle_deg"])
    assert row["distance"] ** 2 == pytest.approx(path["euclidean_squared"])
    matrix = table(filled, run, "matrix.csv", tmp_path).set_index("run_id")
    assert list(matrix.columns) == list(matrix.index) == trained
    assert matrix.loc[trained[0], trained[2]] == matrix.loc[trained[2], trained[0]] == row["barrier_over_chord"]
    assert run.data.metrics["mean_barrier"] == pytest.approx(pairs["barrier_over_chord"].mean())
    assert run.data.metrics["share_connected"] == (pairs["barrier_over_chord"] <= 0.1).mean()
    points = table(filled, run, "points.csv", tmp_path)
    assert len(points) == 6 * 11
    errors = points[(points["run_a"] == trained[0]) & (points["run_b"] == trained[2])].set_index("alpha")["ece"]
    assert row[["ece_a", "ece_middle", "ece_b"]].tolist() == errors[[0.0, 0.5, 1.0]].tolist()
    assert row["ece_barrier"] == pytest.approx(errors.max() - (errors[0.0] + errors[1.0]) / 2)


def test_a_finished_matrix_is_not_measured_again(filled: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--runs={','.join(ids(filled)[:2])}", "--num_alphas=3", *HERE]
    before = len(runs_of_kind(filled, "matrix"))
    assert main(flags) == main(flags) == 0
    assert len(runs_of_kind(filled, "matrix")) == before + 1
    assert "(finished before)" in capsys.readouterr().out
    assert main([*flags, "--force=true"]) == 0
    assert main([*flags, "--threshold=0.2"]) == 0
    assert len(runs_of_kind(filled, "matrix")) == before + 3


def test_networks_at_chance_level_are_flagged_and_left_out(filled: MlflowClient, tmp_path: Path) -> None:
    everyone = ids(filled)
    assert main([f"--runs={','.join(everyone)}", "--num_alphas=3", "--threshold=99", "--bn=recalibrate", *HERE]) == 0
    run = runs_of_kind(filled, "matrix")[-1]
    networks = table(filled, run, "networks.csv", tmp_path)
    assert list(networks["constant"]) == [False] * 4 + [True] * 2
    assert list(networks["cluster"]) == [1] * 4 + [0] * 2
    assert (run.data.metrics["num_constant"], run.data.metrics["num_pairs"]) == (2, 6)
    pairs = table(filled, run, "pairs.csv", tmp_path)
    assert not pairs.loc[pairs["constant"], "connected"].any()
    assert pairs.loc[~pairs["constant"], "connected"].all()
    assert "2 of 6 networks do no better than naming the largest class" in run.data.tags["mlflow.note.content"]
    content = json.loads(download_verified(filled, run, ["clusters.json"], tmp_path)["clusters.json"].read_text())
    assert content["constant"] == everyone[4:]
    assert content["clusters"] == [everyone[:4]]
    assert run.data.tags["lmc.star_candidate"] in everyone[:4]


def test_a_query_takes_endpoints_alone_and_says_what_it_leaves_out(
    filled: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    flags = ["--query=tags.\"lmc.dataset\" = 'digits'", "--max_runs=3", "--num_alphas=3", "--mixed=true", *HERE]
    assert main(flags) == 0
    run = runs_of_kind(filled, "matrix")[-1]
    assert run.data.tags["lmc.members"] == ",".join(ids(filled)[:3])
    assert run.data.metrics["num_left_out"] == 3
    assert "finds 6 runs: the oldest 3 are measured" in caplog.text
    assert "3 runs that the query finds are left out" in run.data.tags["mlflow.note.content"]


def test_aligned_networks_are_nearer_towards_one_another_and_towards_the_best(
    filled: MlflowClient, tmp_path: Path
) -> None:
    flags = [f"--runs={','.join(ids(filled)[:4])}", "--align=weights", *HERE]
    best = max(runs_of_kind(filled, "endpoint"), key=lambda run: run.data.metrics["test/accuracy"]).info.run_id
    for reference in ("pairwise", "best"):
        assert main([*flags, f"--reference={reference}"]) == 0
        run = runs_of_kind(filled, "matrix")[-1]
        pairs = table(filled, run, "pairs.csv", tmp_path)
        towards = (pairs["run_a"] == best) | (pairs["run_b"] == best) | (reference == "pairwise")
        assert towards.sum() == (6 if reference == "pairwise" else 3)
        assert (pairs["distance"] < pairs["distance_unaligned"])[towards].all()
        assert (pairs["angle_deg"] < pairs["angle_deg_unaligned"])[towards].all()
        assert run.data.tags.get("lmc.reference_run", "") == ("" if reference == "pairwise" else best)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runs=a"], "name at least two different runs"),
        (["--query=x", "--runs=a,b"], "give either runs="),
        (["--runs=a,b", "--reference=best"], "reference=best belongs to align=weights|activations|sinkhorn"),
        (["--runs=a,b,c", "--max_runs=2"], "3 are named; give max_runs=3"),
        (["--query=tags.\"lmc.model\" = 'none'"], "finds 0 finished runs; at least two are needed"),
        (["--runs=a,b", "--max_sweeps=5"], "max_sweeps belongs to align=weights"),
    ],
)
def test_nonsense_is_refused_in_one_line_before_a_run_is_opened(
    store: MlflowClient, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*flags, *HERE]) == 1
    assert message in capsys.readouterr().err
    assert not runs_of_kind(store, "matrix")


def test_rows_are_drawn_in_the_order_of_the_tree_and_constant_networks_carry_a_star() -> None:
    names = ["a", "b", "c"]
    pairs = pd.DataFrame({"run_a": ["a", "a", "b"], "run_b": ["b", "c", "c"], "barrier": [0.9, 0.1, math.inf]})
    networks = pd.DataFrame({"network": names, "label": names, "constant": [False, True, False]})
    figure = matrix_figure(pairs, networks, "barrier", title="three")
    rows = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert sorted(rows) == ["a", "b *", "c"]
    assert abs(rows.index("a") - rows.index("c")) == 1  # the nearest two are neighbours
    assert "no better than naming the largest class" in figure.get_suptitle()
    figure.draw_without_rendering()
    branches, cells = (panel.get_position() for panel in figure.axes[:2])
    assert (branches.y0, branches.y1) == pytest.approx((cells.y0, cells.y1))  # every branch beside its rows


def test_colours_change_at_the_threshold_and_the_tree_is_cut_there() -> None:
    names = ["a", "b", "c"]
    networks = pd.DataFrame({"network": names, "label": names, "constant": False})
    pairs = pd.DataFrame({"run_a": ["a", "a", "b"], "run_b": ["b", "c", "c"]})
    for column, values, threshold in (
        ("barrier", [0.9, 0.09, 0.11], 0.1),
        ("error_barrier", [0.5, 0.019, 0.021], 0.02),
    ):
        figure = matrix_figure(pairs.assign(**{column: values}), networks, column)
        branches, cells = figure.axes[:2]
        mesh = cells.collections[0]
        brightness = [sum(mesh.cmap(mesh.norm(value))[:3]) for value in (0.0, *values[1:], values[0])]
        assert brightness == sorted(brightness, reverse=True)
        assert brightness[1] - brightness[2] > 0.5  # a step between just below and just above
        cut = [line for line in branches.lines if line.get_linestyle() == "--"]
        assert [list(line.get_xdata()) for line in cut] == [[threshold, threshold]]
        assert branches.get_xlim()[0] > threshold
        assert f"up to the threshold {threshold:g}" in figure.get_suptitle()
    assert figure.axes[2].get_ylabel() == "error barrier (fraction of images)"


def interrupted_after(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process get a Ctrl-C while it measures the pair after these."""
    done = []
    measure_path = matrix_pairs.measure_path

    def stopped(*args: Any, **kwargs: Any) -> Any:
        if len(done) == pairs:
            raise KeyboardInterrupt
        done.append(1)
        return measure_path(*args, **kwargs)

    monkeypatch.setattr(matrix_pairs, "measure_path", stopped)


@pytest.mark.parametrize(
    "flags", [[], ["--align=weights"], ["--align=weights", "--reference=best", "--bn=recalibrate"]]
)
def test_an_interrupted_matrix_goes_on_under_its_id_and_walks_no_pair_twice(
    filled: MlflowClient, tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [f"--runs={','.join(ids(filled)[1:5])}", "--num_alphas=3", *flags, *HERE]
    before = len(runs_of_kind(filled, "matrix"))
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(4, patch)
        assert main(wanted) != 0
    stopped = runs_of_kind(filled, "matrix")[-1]
    assert stopped.info.status == "KILLED"
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(2, patch)  # a third pair would be one too many
        assert main(wanted) == 0
    assert "(resumed)" in capsys.readouterr().out
    assert len(runs_of_kind(filled, "matrix")) == before + 1
    resumed = runs_of_kind(filled, "matrix")[-1]
    assert (resumed.info.run_id, resumed.info.status) == (stopped.info.run_id, "FINISHED")
    assert filled.list_artifacts(resumed.info.run_id, "resume") == []
    assert main([*wanted, "--force=true"]) == 0
    whole = runs_of_kind(filled, "matrix")[-1]
    for name in ("pairs.csv", "points.csv", "networks.csv"):
        first, second = (table(filled, run, name, tmp_path) for run in (resumed, whole))
        pd.testing.assert_frame_equal(first, second)
    assert resumed.data.metrics == whole.data.metrics


def test_a_pair_that_an_older_version_kept_is_taken_over() -> None:
    curves = {name: torch.tensor([0.0, 0.5, 1.0]) for name in ("alphas", "angles_deg", "manhattan")}
    scores = {"score/test": torch.tensor([0.9, 0.5, 0.8]), "loss/test": torch.tensor([1.0, 2.0, 1.5])}
    kept = {**curves, **scores, "lengths": torch.arange(4.0)}
    found, num_unsettled = unpack({f"3-7-fast-accuracy/{name}": tensor.numpy() for name, tensor in kept.items()})
    pair = found[3, 7]
    assert num_unsettled == 0
    assert (pair.i, pair.j, pair.path.engine, pair.path.score) == (3, 7, "fast", "accuracy")
    assert list(pair.path.values["test"]) == ["loss", "accuracy"]
    assert pair.path.losses["test"].tolist() == [1.0, 2.0, 1.5]
    assert pair.path.scores["test"].tolist() == kept["score/test"].tolist()
    assert (pair.distance, pair.angle_deg_unaligned) == (0.0, 3.0)


def test_two_processes_do_not_measure_one_matrix(filled: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [f"--runs={','.join(ids(filled)[:3])}", "--num_alphas=4", *HERE]
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(1, patch)
        assert main(wanted) != 0
    run_id = runs_of_kind(filled, "matrix")[-1].info.run_id
    filled.update_run(run_id, status="RUNNING")
    for key, value in process_tags().items():
        filled.set_tag(run_id, key, value)
    assert main(wanted) != 0
    assert f"run {run_id} is at work on this configuration now" in capsys.readouterr().err
    filled.set_terminated(run_id, "KILLED")


def test_colours_end_at_the_mean_test_loss_or_at_the_largest_barrier() -> None:
    names = ["a", "b", "c"]
    networks = pd.DataFrame({"network": names, "label": names, "constant": False, "test_loss": [0.3, 0.4, 0.5]})
    pairs = pd.DataFrame({"run_a": ["a", "a", "b"], "run_b": ["b", "c", "c"], "barrier": [0.9, 0.05, 0.11]})

    def end(**options: Any) -> float:
        return float(
            matrix_figure(pairs, networks, **({"barrier": "barrier"} | options)).axes[1].collections[0].norm.vmax
        )

    assert end() == pytest.approx(0.4)
    assert end(colors_end="largest") == 0.9
    assert end(threshold=0.3) == 0.6  # the mean loss would leave no room above the threshold
    assert "colours end at 0.4 (mean test loss: 0.4)" in matrix_figure(pairs, networks, "barrier").get_suptitle()
    with pytest.raises(ValueError, match="colors_end 'mean' is unknown; choose from mean_loss, largest"):
        end(colors_end="mean")
    pairs["error_barrier"] = [0.5, 0.1, 0.01]
    assert end(barrier="error_barrier") == 0.5  # no loss ends the colours of errors
