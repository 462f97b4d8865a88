"""Tables and reports leave out paths and ensembles whose networks are gone, name them, and lose nothing else."""

import json
from pathlib import Path

import pytest
from conftest import runs_of_kind
from mlflow import MlflowClient

from lmc_mlflow import query
from lmc_mlflow.manifest import render_manifest, sha256_of
from lmc_mlflow.papers.report.content import left_out_note, report_content
from lmc_mlflow.query.networks import endpoints_of_pair, sides_of_pair
from lmc_mlflow.workflows.networks.tags import members_tag
from lmc_mlflow.workflows.report.report import read_frames

MEASURES = {"test/barrier_in_basin": 0.01, "test/accuracy_delta": 0.0, "test/accuracy": 0.9, "num_members": 2}


def log(client: MlflowClient, kind: str, **tags: str) -> str:
    """Log a finished run of a kind; `parent` is MLflow's."""
    named = {"mlflow.parentRunId" if name == "parent" else f"lmc.{name}": value for name, value in tags.items()}
    own = {"lmc.kind": kind, "lmc.dataset": "digits", "lmc.model": "mlp_l1_w8", "lmc.shift": "label_5050"}
    run_id = str(client.create_run("0", tags=own | named, run_name=kind).info.run_id)
    for name, value in {"data.dataset": "digits", "model.model": "mlp_l1_w8", "model.seed": "1"}.items():
        client.log_param(run_id, name, value)
    for name, value in MEASURES.items():
        client.log_metric(run_id, name, value)
    client.set_terminated(run_id)
    return run_id


def pair_and_path(client: MlflowClient) -> dict[str, str]:
    """Log a pair, its path, and an ensemble of points of that path."""
    pair = log(client, "pair")
    a, b = (log(client, "endpoint", parent=pair, side=side) for side in "AB")
    path = log(client, "path", run_a=a, run_b=b, pair=pair, connected="yes", bn="interpolate")
    points = log(client, "ensemble", members=f"{pair}@0.25,{pair}@0.75", pair=pair, sampling="lmc")
    return {"pair": pair, "A": a, "B": b, "path": path, "points": points}


@pytest.mark.parametrize("gone", [["A"], ["B"], ["A", "B", "pair"]])
def test_paths_and_ensembles_of_deleted_networks_are_left_out_and_named(
    store: MlflowClient, gone: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = pair_and_path(store), pair_and_path(store)
    seeds = log(store, "ensemble", members=f"{first['A']},{second['A']}", sampling="seeds")
    pruned = [log(store, "pruned", endpoint=one["A"]) for one in (first, second)]
    assert len(query.paths()) == 2
    assert len(query.ensembles()) == 3
    for name in gone:
        store.delete_run(first[name])
    (path,) = query.paths().to_dict("records")
    assert (path["run_id"], path["seed"], path["seed_b"], path["same_initialization"]) == (second["path"], 1, 1, True)
    assert f"1 paths are left out: their networks were deleted, or are not in this store ({first['path'][:8]})" in (
        caplog.text
    )
    kept = {second["points"], *({seeds} if "A" not in gone else set())}
    assert set(query.ensembles()["run_id"]) == kept
    assert query.pruned()["run_id"].tolist() == pruned[1 if "A" in gone else 0 :]
    frames = read_frames(())
    assert frames.left_out == {
        "path": [first["path"]],
        "ensemble": [first["points"], *([seeds] if "A" in gone else [])],
    }
    counts = "1 path and 2 ensembles" if "A" in gone else "1 path and 1 ensemble"
    note = left_out_note(frames.left_out)
    assert note.startswith(f"Left out: {counts} whose networks were deleted or are not in this store (")
    assert first["path"][:8] in note


def test_a_store_without_any_network_left_is_reported(store: MlflowClient) -> None:
    logged = pair_and_path(store)
    for name in ("A", "B", "pair"):
        store.delete_run(logged[name])
    assert query.paths().empty
    assert query.ensembles().empty
    assert report_content(read_frames(()), {}, 1).num_runs == {"pairs": 0, "paths": 0, "ensembles": 0}


def test_an_ensemble_with_more_members_than_its_tag_holds_has_the_settings_of_its_first(
    store: MlflowClient,
) -> None:
    logged = pair_and_path(store)
    for endpoint in runs_of_kind(store, "endpoint"):
        store.log_param(endpoint.info.run_id, "optimization.epochs", "7")
    names = [f"{logged['pair']}@{i}" for i in range(300)]
    assert len(members_tag(names)) < 100
    many = log(store, "ensemble", members=members_tag(names), sampling="lmc", pair=logged["pair"])
    without_artifacts = log(store, "ensemble", members=members_tag(names), sampling="lmc", pair=logged["pair"])
    text = json.dumps({"sampling": "lmc", "runs": [logged["A"], logged["B"]], "alphas": []})
    store.log_text(many, text, "members.json")
    local = Path(store.download_artifacts(many, "members.json"))
    store.log_text(many, render_manifest({"members.json": sha256_of(local)}), "manifest.json")
    found = query.ensembles().set_index("run_id")
    assert found.loc[many, "epochs"] == 7
    assert without_artifacts not in found.index


def test_an_endpoint_without_a_side_is_a_row(store: MlflowClient) -> None:
    log(store, "endpoint")
    assert query.endpoints()["side"].tolist() == [""]


@pytest.mark.parametrize("ghost_first", [True, False])
@pytest.mark.parametrize("finished", [True, False])
def test_an_empty_second_run_of_a_side_is_not_taken_for_it(
    store: MlflowClient, ghost_first: bool, finished: bool
) -> None:
    pair = log(store, "pair")

    def ghost() -> None:
        tags = {"lmc.kind": "endpoint", "lmc.side": "B", "mlflow.parentRunId": pair}
        store.create_run("0", tags=tags, start_time=1 if ghost_first else 2**41)

    ghost()
    a, b = (log(store, "endpoint", parent=pair, side=side) for side in "AB")
    if not finished:
        store.update_run(b, status="RUNNING")
    sides = sides_of_pair(store, store.get_run(pair))
    assert {side: run.info.run_id for side, run in sides.items()} == {"A": a, "B": b}
    assert endpoints_of_pair(store, pair) == (a, b)
