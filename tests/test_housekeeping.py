"""`remove` deletes a run with what hangs on it and nothing else; `repair` finds endpoints whose pair was deleted."""

import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.interpolate import main as interpolate
from entry_points.remove import main as remove
from entry_points.repair import main as repair
from entry_points.train_pair import main as train_pair
from lmc_mlflow.contract import SEE_MEMBERS, Artifact
from lmc_mlflow.tracking.processes.process import process_tags
from lmc_mlflow.tracking.run import TrackedRun

PATH = ["--num_alphas=3", "--splits=test", "--num_resamples=0", "--device=cpu", "--threads=1"]


def run(client: MlflowClient, kind: str, **tags: str) -> str:
    """Log a run of a kind with tags of ours; `parent` is MLflow's."""
    named = {"mlflow.parentRunId" if name == "parent" else f"lmc.{name}": value for name, value in tags.items()}
    made = client.create_run("0", tags={"lmc.kind": kind, **named}, run_name=kind)
    client.set_terminated(made.info.run_id)
    return str(made.info.run_id)


def active(client: MlflowClient) -> set[str]:
    return {found.info.run_id for found in client.search_runs(["0"])}


def test_a_run_is_removed_with_what_is_below_it_and_what_was_computed_from_it(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = run(store, "sweep")
    pair, other = run(store, "pair", parent=sweep), run(store, "pair", parent=sweep)
    a, b, c = (
        run(store, "endpoint", parent=pair),
        run(store, "endpoint", parent=pair),
        run(store, "endpoint", parent=other),
    )
    aligned = run(store, "alignment", run_a=c, run_b=a)
    path = run(store, "path", run_a=c, run_b=aligned)
    ensemble = run(store, "ensemble", members=f"{c},{b}")
    stays = run(store, "ensemble", members=f"{other}@0,{other}@1")
    everything = active(store)
    gone = {pair, a, b, aligned, path, ensemble}
    assert remove([f"--run={pair}"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"run {pair}: 6 runs to delete\n")
    assert all(run_id in told for run_id in gone)
    assert stays not in told
    assert f"-m entry_points.remove --run {pair} --apply true" in told
    assert active(store) == everything
    assert remove([f"--run={pair}", "--apply=true"]) == 0
    assert active(store) == everything - gone
    assert remove([f"--run={sweep}", "--apply=true"]) == 0
    assert active(store) == everything - gone - {sweep}
    assert remove([f"--run={pair}"]) == 1
    assert f"run {pair} is deleted already" in capsys.readouterr().err


def test_an_ensemble_of_more_members_than_a_tag_holds_is_removed_with_one_of_them(store: MlflowClient) -> None:
    pair = run(store, "pair")
    end = run(store, "endpoint", parent=pair)
    made = store.create_run("0", tags={"lmc.kind": "ensemble", "lmc.members": f"200 members (0123){SEE_MEMBERS}"})
    written = TrackedRun(store, made.info.run_id, "0")
    written.log_json({"runs": [end, *(f"{i:032x}" for i in range(199))]}, Artifact.MEMBERS)
    written.seal()
    written.finish()
    assert remove([f"--run={pair}", "--apply=true"]) == 0
    assert active(store) == set()


def test_what_is_at_work_is_not_removed(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    pair = run(store, "pair")
    at_work = store.create_run("0", tags={"lmc.kind": "path", "lmc.pair": pair, **process_tags()}).info.run_id
    assert remove([f"--run={pair}", "--apply=true"]) == 1
    assert f"run {at_work} is at work" in capsys.readouterr().err
    assert active(store) == {pair, at_work}
    assert remove([]) == 1
    assert "give run=<run id>" in capsys.readouterr().err


def test_endpoints_of_a_deleted_pair_are_found_and_deleted_on_request(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    pair, kept = run(store, "pair"), run(store, "pair")
    orphan, own = run(store, "endpoint", parent=pair), run(store, "endpoint", parent=kept)
    elsewhere = run(store, "endpoint", parent="0" * 32)  # its pair was never in this store
    assert repair([]) == 0
    assert "without a pair" not in capsys.readouterr().out
    store.delete_run(pair)
    for flags in ([], ["--apply=true"]):
        assert repair(flags) == 0
        told = capsys.readouterr().out.splitlines()
        assert told[1:3] == [f"endpoint {orphan} endpoint: its pair was deleted", "1 endpoints without a pair"]
        assert told[4].endswith("-m entry_points.repair --orphans true")
        assert active(store) == {kept, orphan, own, elsewhere}
    assert repair(["--orphans=true"]) == 0
    assert active(store) == {kept, own, elsewhere}


def test_a_pair_no_longer_lists_a_path_that_was_removed(store: MlflowClient) -> None:
    assert train_pair(QUICK) == 0
    (pair,) = runs_of_kind(store, "pair")
    before = pair.data.tags["mlflow.note.content"]
    for _ in range(2):
        assert interpolate([f"--pair={pair.info.run_id}", *PATH]) == 0
    first, second = (path.info.run_id for path in runs_of_kind(store, "path"))
    assert remove([f"--run={first}", "--apply=true"]) == 0
    note = store.get_run(pair.info.run_id).data.tags["mlflow.note.content"]
    assert second in note
    assert first not in note
    assert remove([f"--run={second}", "--apply=true"]) == 0
    assert store.get_run(pair.info.run_id).data.tags["mlflow.note.content"] == before
