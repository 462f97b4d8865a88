"""A store that commit 34125ca has made is read, resumed and reported; tests/data has the script that made it."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run

from lmc_mlflow import query
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.paths.engines.table import PATH_ENGINES
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.workflows.matrix import pairs as matrix_pairs
from lmc_mlflow.workflows.networks.pair_of_networks import rebuild
from lmc_mlflow.workflows.pair.recorder import Recorder
from lmc_mlflow.workflows.star.recorder import StarRecorder
from lmc_mlflow.workflows.trajectory.epoch_runs import EpochRuns

HERE = ["--device=cpu", "--threads=1"]
PAIR = ["--model=mlp_l1_w8", "--epochs=3", *HERE]
STAR = ["--epochs=3", "--num_alphas=3", "--max_regular_pairs=1", "--batch_size=500", *HERE]
POINTS = 4
OF_A_PROCESS = (
    *(f"lmc.{name}" for name in ("host", "pid", "process_started", "heartbeat", "task", "error")),
    *(f"lmc.{name}" for name in ("version", "python", "packages", "platform", "git_dirty", "left_out", "threads")),
    "mlflow.",
)
"""Beginnings of tags that say which process wrote a run and when, and what the bundle lacks."""


@pytest.fixture
def old(store: MlflowClient) -> MlflowClient:
    """The store of the previous version, imported into an empty one."""
    assert run("import", f"--bundles={ROOT / 'tests' / 'data' / 'store_of_34125ca.zip'}") == 0
    return store


def run(command: str, *flags: str) -> int:
    return importlib.import_module(f"entry_points.{command}").main(list(flags))


def one(client: MlflowClient, kind: str, status: str = "FINISHED", **tags: str) -> Run:
    """The one run of a kind with these tags."""
    wanted = {f"lmc.{name}": value for name, value in tags.items()}
    found = [r for r in runs_of_kind(client, kind) if wanted.items() <= r.data.tags.items()]
    (chosen,) = (r for r in found if r.info.status == status)
    return chosen


def ends(client: MlflowClient) -> list[str]:
    """Run ids of sides A and B of seed 1 and of seed 3."""
    pairs = [one(client, "pair", seed=seed).info.run_id for seed in "13"]
    of_pairs = [r for r in runs_of_kind(client, "endpoint") if r.data.tags["mlflow.parentRunId"] in pairs]
    return [r.info.run_id for r in sorted(of_pairs, key=lambda r: (r.data.tags["lmc.seed"], r.data.tags["lmc.side"]))]


def finished_commands(client: MlflowClient) -> dict[str, list[str]]:
    """Kind -> the command and its flags, of which the store holds a finished run."""
    a, b, c, d = ends(client)
    pair = one(client, "pair", seed="1").info.run_id
    as_before = "--temperature_share=0"  # there was no such option: its default is another ensemble's identity
    return {
        "pair": ["train_pair", *PAIR, "--seed=1"],
        "path": ["interpolate", f"--run_a={a}", f"--run_b={c}", "--num_alphas=5", "--align=weights", *HERE],
        "ensemble": [
            "ensemble",
            f"--pair={pair}",
            "--num_alphas=5",
            "--num_resamples=20",
            "--num_orders=4",
            as_before,
            *HERE,
        ],
        "alignment": ["align", f"--run_a={a}", f"--run_b={c}", *HERE],
        "pruned": ["prune", f"--run={a}", *HERE],
        "trajectory": ["trajectory", f"--run={a}", "--epochs=2", *HERE],
        "star": ["star", f"--sources={a},{b},{c}", f"--held_out={d}", *STAR],
        "matrix": ["matrix", f"--runs={a},{b},{c},{d}", "--num_alphas=3", *HERE],
        "plane": ["plane", f"--run_a={a}", f"--run_b={b}", f"--run_c={c}", f"--num_points={POINTS}", *HERE],
    }


KINDS = ("pair", "path", "ensemble", "alignment", "pruned", "trajectory", "star", "matrix", "plane")
FINISHED: dict[str, dict[str, str]] = {kind: {} for kind in KINDS} | {
    "pair": {"seed": "1"},
    "path": {"align": "weights"},
}
"""Kind -> tags of the finished run that the command of that kind made."""
ONCE = ("pair", "pruned", "trajectory", "star", "matrix", "plane")
"""Kinds that are made once: the same command finds them."""


def test_networks_of_every_kind_load_and_score_as_they_were_logged(old: MlflowClient) -> None:
    kinds = ("endpoint", "alignment", "pruned", "star")
    loaded = [r for kind in kinds for r in runs_of_kind(old, kind) if r.info.status == "FINISHED"]
    assert len(loaded) == 11
    opened = open_store()
    for logged in loaded:
        network = load_network(old, logged.info.run_id)
        test = rebuild(opened, network, "", torch.device("cpu")).test
        score = evaluate(network.network(), test.images, test.labels).score
        known = logged.data.metrics.get("test/accuracy", logged.data.metrics.get("accuracy/star"))
        if known is not None:  # of an alignment it is that of the network that was permuted
            assert score == pytest.approx(known, abs=0.01)


@pytest.mark.parametrize("kind", ONCE)
def test_what_was_finished_is_found_and_not_made_again(
    old: MlflowClient, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(old.search_runs(["0"]))
    finished = one(old, kind, **FINISHED[kind])
    assert run(*finished_commands(old)[kind]) == 0
    assert f"{kind} {finished.info.run_id} (finished before)" in capsys.readouterr().out
    assert len(old.search_runs(["0"])) == before


def contents(client: MlflowClient, logged: Run) -> dict[str, Any]:
    """Everything of a run that others read, but for what its process and the clock put there."""
    tags = {key: value for key, value in logged.data.tags.items() if not key.startswith(OF_A_PROCESS)}
    metrics = {key: value for key, value in logged.data.metrics.items() if "cost/" not in key}
    manifest = client.download_artifacts(logged.info.run_id, "manifest.json")
    return {
        "tags": tags,
        "params": {key: text for key, text in logged.data.params.items() if not key.endswith(".force")},
        "metrics": metrics,
        "artifacts": set(json.loads(Path(manifest).read_text())["sha256"]),
    }


def assert_contains(new: dict[str, Any], previous: dict[str, Any]) -> None:
    assert new["tags"].items() >= previous["tags"].items()
    assert new["params"].items() >= previous["params"].items()
    assert new["artifacts"] >= previous["artifacts"]
    assert set(new["metrics"]) >= set(previous["metrics"])
    for key, value in previous["metrics"].items():
        if key != "num_cached_members":
            assert new["metrics"][key] == pytest.approx(value, rel=0.01, abs=0.01, nan_ok=True), key


@pytest.mark.parametrize("kind", FINISHED)
def test_a_run_made_again_has_the_identity_tags_params_metrics_and_artifacts_it_had(
    old: MlflowClient, kind: str
) -> None:
    finished = one(old, kind, **FINISHED[kind])
    command = finished_commands(old)[kind]
    previous = contents(old, finished)
    below = {place(r): contents(old, r) for r in children(old, finished)}
    for gone in (*children(old, finished), finished):
        old.delete_run(gone.info.run_id)
    assert run(*command) == 0
    again = one(old, kind, **FINISHED[kind])
    assert again.info.run_id != finished.info.run_id
    assert_contains(contents(old, again), previous)
    made = {place(r): contents(old, r) for r in children(old, again)}
    assert set(made) == set(below)
    for name, known in below.items():
        known["tags"].pop("lmc.trajectory", None)  # the parent's new id
        assert_contains(made[name], known)


def place(child: Run) -> tuple[str, ...]:
    """What tells a run from its siblings, whatever its name."""
    return tuple(child.data.tags.get(f"lmc.{name}", "") for name in ("kind", "side", "epoch", "swa"))


def children(client: MlflowClient, parent: Run) -> list[Run]:
    return list(client.search_runs(["0"], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"))


def interrupted_commands(client: MlflowClient) -> dict[str, list[str]]:
    """Kind -> the command and its flags, of which the store holds an interrupted run."""
    a, b, *_ = ends(client)
    finished = finished_commands(client)
    return {
        "pair": ["train_pair", *PAIR, "--seed=2"],
        "trajectory": ["trajectory", f"--run={b}", "--epochs=2", *HERE],
        "star": ["star", f"--sources={a},{b}", *STAR],
        "matrix": [*finished["matrix"], "--align=weights"],
        "plane": [*finished["plane"], "--align=weights"],
    }


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Kind -> epochs, pairs or rows that this process has computed."""
    count = dict.fromkeys(("pair", "trajectory", "star", "matrix", "plane"), 0)

    def counting(kind: str, original: Any, counts: Any = lambda _: True) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            count[kind] += counts(args)
            return original(*args, **kwargs)

        return called

    for kind, recorder in (("pair", Recorder), ("trajectory", EpochRuns), ("star", StarRecorder)):
        monkeypatch.setattr(recorder, "on_epoch", counting(kind, recorder.on_epoch))
    monkeypatch.setattr(matrix_pairs, "measure_path", counting("matrix", matrix_pairs.measure_path))
    row = counting("plane", PATH_ENGINES["fast"], lambda args: len(args[2]) == POINTS)  # and not an edge
    monkeypatch.setitem(PATH_ENGINES, "fast", row)
    return count


@pytest.mark.parametrize(
    ("kind", "left", "whole"), [("pair", 1, 3), ("trajectory", 1, 2), ("star", 1, 3), ("matrix", 3, 6), ("plane", 2, 8)]
)
def test_what_was_interrupted_goes_on_under_its_run_ids_from_where_it_was(
    old: MlflowClient,
    kind: str,
    left: int,
    whole: int,
    counted: dict[str, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {r.info.run_id for r in old.search_runs(["0"])}
    stopped = one(old, kind, "KILLED")
    command = interrupted_commands(old)[kind]
    assert run(*command) == 0
    assert f"{kind} {stopped.info.run_id} (resumed)" in capsys.readouterr().out
    assert counted[kind] == left
    resumed = old.get_run(stopped.info.run_id)
    assert resumed.info.status == "FINISHED"
    assert {r.info.status for r in children(old, resumed)} <= {"FINISHED"}
    assert old.list_artifacts(stopped.info.run_id, "resume") == []
    new = {r.info.run_id for r in old.search_runs(["0"])} - before
    assert len(new) == (2 if kind == "trajectory" else 0)  # the networks of epoch 5 and of the average
    for key, points in ((key, old.get_metric_history(resumed.info.run_id, key)) for key in resumed.data.metrics):
        assert len({point.step for point in points}) == len(points), key  # no point twice
    if kind != "trajectory":  # which cannot be forced
        assert run(*command, "--force=true") == 0
        assert counted[kind] == left + whole
        again = next(r for r in runs_of_kind(old, kind) if r.info.run_id not in before)
        assert_contains(contents(old, again), contents(old, resumed))


def test_the_tables_hold_its_runs_and_the_report_runs_over_them(old: MlflowClient) -> None:
    assert len(query.pairs()) == 2
    assert len(query.paths()) == 2
    assert len(query.ensembles()) == len(query.alignments()) == len(query.pruned()) == len(query.stars()) == 1
    assert len(query.matrix_pairs(query.matrices())) == 6
    points = query.path_curves(query.with_points(query.paths()))
    assert len(points) == 2 * 3 * 5
    assert run("report") == 0
    previous, new = runs_of_kind(old, "report")
    assert new.info.status == "FINISHED"
    now, before = contents(old, new), contents(old, previous)
    judged = [key for key in before["metrics"] if key.startswith("claims/")]
    assert sum(now["metrics"][key] for key in judged) >= sum(before["metrics"].pop(key) for key in judged)
    assert_contains(now, before)
