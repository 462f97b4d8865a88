"""The MLflow UI shows short names, headline numbers, linked descriptions, and no run that helps nobody."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run

from entry_points.align import main as align
from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.matrix import main as matrix
from entry_points.plane import main as plane
from entry_points.repair import main as repair
from entry_points.star import main as star
from entry_points.sweep import main as sweep
from entry_points.train_pair import main as train_pair
from entry_points.trajectory import main as trajectory
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.tracking.descriptions import HEADING, MAX_LISTED, list_on, with_links
from lmc_mlflow.workflows.networks.run_names import MAX_NAME, fit, group_run_name, pair_run_name

HERE = ["--device=cpu", "--threads=1"]


def test_a_name_begins_with_what_differs_and_fits() -> None:
    plain = TrainPairConfig()
    assert pair_run_name(plain) == "s1 e100 label_5050 mlp_l1_w587 digits"
    assert pair_run_name(plain, "B") == "s1 B e100 label_5050 mlp_l1_w587 digits"
    fast = replace(plain, optimization=replace(plain.optimization, lr=0.01, batch_size=64, epochs=5))
    assert pair_run_name(fast) == "s1 e5 lr0.01 B64 label_5050 mlp_l1_w587"
    assert fit(["path", "", "x" * 50]) == "path"
    assert fit(["x" * 50]) == "x" * MAX_NAME


def test_of_many_seeds_a_name_gives_the_first_and_the_last() -> None:
    plain = TrainPairConfig()
    seeds = [replace(plain, model=replace(plain.model, seed=seed)) for seed in (1, 20, 100, 300)]
    networks = [SimpleNamespace(config=config, side="A") for config in seeds]
    assert group_run_name("matrix of 4", networks, "weights") == "matrix of 4 s1..s300 A weights e100"  # type: ignore[arg-type]


def test_ids_of_runs_become_links_and_other_words_stay(store: MlflowClient) -> None:
    experiment = store.create_experiment("other")
    run_id = store.create_run(experiment).info.run_id
    link = f"[`{run_id}`](#/experiments/{experiment}/runs/{run_id})"
    unknown = "`" + "0" * 32 + "`"
    text = f"A `{run_id}`, again `{run_id}`, `mlp_l1_w16`, {unknown}"
    assert with_links(store, text) == f"A {link}, again {link}, `mlp_l1_w16`, {unknown}"
    assert with_links(store, with_links(store, text)) == with_links(store, text)
    long = f"`{run_id}` " * 200
    assert with_links(store, long) == long  # with links it would be cut


def test_a_description_lists_the_newest_first_and_only_so_many(store: MlflowClient) -> None:
    run_id = store.create_run("0", tags={"mlflow.note.content": "A pair.\n\nA table."}).info.run_id
    for number in range(MAX_LISTED + 2):
        list_on(store, run_id, f"path {number}")
    note = store.get_run(run_id).data.tags["mlflow.note.content"]
    text, listed, rest = note.split("\n\n")
    assert (text, rest) == ("A pair.", "A table.")
    assert listed.removeprefix(HEADING).splitlines() == [f"- path {number}" for number in range(MAX_LISTED + 1, 1, -1)]
    bare = store.create_run("0").info.run_id
    list_on(store, bare, "path")
    assert "mlflow.note.content" not in store.get_run(bare).data.tags


def note(run: Run) -> str:
    return str(run.data.tags["mlflow.note.content"])


def test_every_kind_has_a_headline_a_short_name_and_a_first_sentence_of_result(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        assert train_pair([*QUICK, f"--seed={seed}"]) == 0
    first, _ = (run.info.run_id for run in runs_of_kind(store, "pair"))
    a, b, c, _ = (run.info.run_id for run in runs_of_kind(store, "endpoint"))
    assert interpolate([f"--pair={first}", "--num_alphas=3", "--splits=test", *HERE]) == 0
    assert ensemble([f"--pair={first}", "--num_alphas=3", "--num_resamples=0", "--num_orders=2", *HERE]) == 0
    assert align([f"--run_a={a}", f"--run_b={c}", *HERE]) == 0
    assert matrix([f"--runs={a},{b},{c}", *HERE]) == 0
    assert plane([f"--run_a={a}", f"--run_b={b}", f"--run_c={c}", "--num_points=3", *HERE]) == 0
    assert star([f"--sources={a},{c}", "--epochs=1", *HERE]) == 0
    assert trajectory([f"--run={a}", "--epochs=1", *HERE]) == 0
    (joined,) = (run.info.run_id for run in runs_of_kind(store, "star"))
    said = capsys.readouterr().out
    assert "  star to source" in said
    assert "threshold" in said.partition("share connected")[2].splitlines()[1]
    assert trajectory([f"--run={joined}", *HERE]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"run {joined} was not trained on one side" in line
    expected = {
        "ensemble": "mean_prediction_accuracy",
        "alignment": "angle_weights_deg",
        "matrix": "share_connected",
        "star": "star_source/test/barrier_over_chord_max",
        "trajectory": "test/accuracy_swa",
    }
    for kind, key in expected.items():
        (run,) = runs_of_kind(store, kind)
        assert run.data.metrics["headline"] == run.data.metrics[key], kind
    (run,) = runs_of_kind(store, "plane")
    edges = [run.data.metrics[f"{edge}/barrier_over_chord"] for edge in ("ab", "ac", "bc")]
    assert run.data.metrics["headline"] == max(edges)
    for run in store.search_runs(["0"]):
        assert len(run.info.run_name) <= MAX_NAME, run.info.run_name
        assert re.match(r"\*\*[A-Z0-9]", note(run)), note(run)
        assert not re.search(r"(?<!\[)`[0-9a-f]{32}`", note(run)), note(run)
    (path,) = runs_of_kind(store, "path")
    (members,) = runs_of_kind(store, "ensemble")
    assert path.info.run_name == "s1 A-B e3 label_5050 mlp_l1_w16 digits"
    for end in (a, b, first):
        assert f"(#/experiments/0/runs/{end})" in note(path)
    listed = note(store.get_run(first)).partition(HEADING)[2].partition("\n\n")[0].splitlines()
    assert f"(#/experiments/0/runs/{members.info.run_id})" in listed[0]
    assert f"(#/experiments/0/runs/{path.info.run_id})" in listed[1]


@pytest.mark.parametrize("words", [["train_pair", "--model=mlp_typo"], ["repair"], ["sweep", "--dry_run=true"]])
def test_what_makes_no_result_leaves_no_run_that_the_saved_view_shows(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    launched = store.create_run("0", tags={"mlflow.project.entryPoint": words[0]}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    main = {"train_pair": train_pair, "repair": repair, "sweep": sweep}[words[0]]
    main(words[1:])
    assert len(store.search_runs(["0"])) == 1
    assert store.search_runs(["0"], "tags.`lmc.kind` != 'endpoint'") == []
