"""Runs are copied between stores complete and under their ids; damaged or different ones are refused."""

import importlib
import json
import random
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunData, RunInfo, RunTag
from mlflow.tracking._tracking_service import utils
from sqlalchemy import MetaData, create_engine

from entry_points.ensemble import main as ensemble
from entry_points.export import main as export
from entry_points.interpolate import main as interpolate
from entry_points.sweep import main as sweep
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.bundles import merge as merging
from lmc_mlflow.bundles.archive import open_bundle
from lmc_mlflow.bundles.artifact_locations import RemoteLocation, artifact_digests, location_of
from lmc_mlflow.bundles.reconcile import Resolution, resolve
from lmc_mlflow.bundles.records import Point, RunRecord
from lmc_mlflow.manifest import sha256_of
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.bundle.export_runs import find_related
from lmc_mlflow.workflows.pair.recorder import Recorder

import_ = importlib.import_module("entry_points.import").main
HERE = ["--device=cpu", "--threads=1"]
SETTINGS = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


def use(folder: Path, patch: pytest.MonkeyPatch) -> MlflowClient:
    """Make the store in a folder the one that MLflow's settings name."""
    for name in SETTINGS:
        patch.delenv(name, raising=False)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    patch.chdir(folder)
    forget_places()
    return MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")


def forget_places() -> None:
    """Within a process MLflow remembers by run id where artifacts are; here one id is in several stores."""
    utils._artifact_repos_cache.clear()


def new_store(empty: Path, folder: Path, patch: pytest.MonkeyPatch) -> MlflowClient:
    """An empty store in a folder, which becomes the one that MLflow's settings name."""
    folder.mkdir(exist_ok=True)
    shutil.copy(empty, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))
    connection.close()
    return use(folder, patch)


@dataclass(frozen=True)
class Source:
    """A store with a pair, its path and its ensemble, exported in three ways."""

    folder: Path
    client: MlflowClient
    full: Path
    lean: Path
    numbers: Path

    def one(self, kind: str) -> str:
        """Run id of the only run of a kind."""
        (run,) = runs_of_kind(self.client, kind)
        return str(run.info.run_id)


@pytest.fixture(scope="module")
def source(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("source")
    with pytest.MonkeyPatch.context() as patch:
        client = new_store(empty_store, folder, patch)
        assert train_pair([*QUICK, "--shift=label_2080"]) == 0
        pair = runs_of_kind(client, "pair")[0].info.run_id
        assert interpolate([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
        assert ensemble([f"--pair={pair}", "--num_alphas=3", "--num_resamples=10", *HERE]) == 0
        assert export(["--out=full.zip"]) == 0
        assert export(["--out=lean.zip", "--checkpoints=false"]) == 0
        assert export(["--out=numbers.zip", "--checkpoints=false", "--figures=false"]) == 0
    return Source(folder, client, folder / "full.zip", folder / "lean.zip", folder / "numbers.zip")


@pytest.fixture
def target(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Another, empty store, which MLflow's settings name."""
    return new_store(empty_store, tmp_path / "target", monkeypatch)


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def all_rows(folder: Path) -> dict[str, list[tuple]]:
    """Every row of every table of a store, ids that MLflow draws at random and the folder's name apart."""
    engine = create_engine(f"sqlite:///{folder}/mlflow.db")
    tables = MetaData()
    tables.reflect(engine)
    drawn = ("dataset_uuid", "input_uuid", "source_id", "creation_time", "last_update_time")
    found = {}
    with engine.connect() as connection:
        for name, table in tables.tables.items():
            columns = [column for column in table.columns if column.name not in drawn]
            rows = connection.execute(table.select().with_only_columns(*columns)) if columns else []
            found[name] = sorted(tuple(str(value).replace(str(folder), "FOLDER") for value in row) for row in rows)
    engine.dispose()
    return found


def inputs_of(run: Run) -> list[str]:
    return sorted(json.dumps(item.to_dictionary(), sort_keys=True) for item in run.inputs.dataset_inputs)


def say(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error."""
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def change(folder: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(folder / "mlflow.db") as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


# What travels


def test_an_imported_store_has_the_rows_and_files_of_the_first(source: Source, target: MlflowClient) -> None:
    # This pins all that is relied on about MLflow's tables: a new one that runs fill, or another row, shows here.
    assert import_([f"--bundles={source.full}"]) == 0
    before, after = all_rows(source.folder), all_rows(Path.cwd())
    filled = {"experiments", "experiment_tags", "runs", "params", "tags", "metrics", "latest_metrics"}
    filled |= {"datasets", "inputs", "input_tags", "alembic_version"}
    assert filled <= {name for name, rows in before.items() if rows}
    for name, rows in before.items():
        assert after[name] == rows, name
    assert len(before["runs"]) == 5
    assert files_below(Path.cwd() / "mlruns") == files_below(source.folder / "mlruns")


def test_ids_parents_histories_and_inputs_are_kept(source: Source, target: MlflowClient) -> None:
    assert import_([f"--bundles={source.full}"]) == 0
    for run in source.client.search_runs(["0"]):
        twin = target.get_run(run.info.run_id)
        assert twin.data.to_dictionary() == run.data.to_dictionary()
        times = ("status", "start_time", "end_time", "run_name", "user_id")
        assert [getattr(twin.info, key) for key in times] == [getattr(run.info, key) for key in times]
        assert inputs_of(twin) == inputs_of(run)
        for key in run.data.metrics:
            points = [
                sorted((m.step, m.timestamp, m.value) for m in client.get_metric_history(run.info.run_id, key))
                for client in (source.client, target)
            ]
            assert points[0] == points[1]
    for endpoint in runs_of_kind(target, "endpoint"):
        assert endpoint.data.tags["mlflow.parentRunId"] == source.one("pair")


def test_numbers_that_are_none_and_points_out_of_order_survive(
    source: Source, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = tmp_path / "first", tmp_path / "second"
    first = new_store(empty_store, folders[0], monkeypatch)
    run = first.create_run("0", tags={"lmc.kind": "report"}).info.run_id
    points = [(2, 9, 0.5), (2, 7, 3.0), (0, 8, float("nan")), (1, 8, float("inf")), (2, 9, 0.25)]
    first.log_batch(run, metrics=[Metric("x", value, time, step) for step, time, value in points])
    first.log_metric(run, "only_nan", float("nan"), timestamp=1)
    first.set_terminated(run)
    assert export(["--out=x.zip"]) == 0
    second = new_store(empty_store, folders[1], monkeypatch)
    assert import_([f"--bundles={folders[0] / 'x.zip'}"]) == 0
    assert second.get_run(run).data.metrics["x"] == 0.5  # the last step, then the last time, then the highest value
    rows = [all_rows(folder) for folder in folders]
    assert len(rows[0]["metrics"]) == 6
    assert rows[0]["metrics"] == rows[1]["metrics"]
    assert rows[0]["latest_metrics"] == rows[1]["latest_metrics"]


def test_the_same_store_gives_the_same_bytes(source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{source.folder}/mlflow.db")
    assert export([f"--out={tmp_path}/again.zip"]) == 0
    assert (tmp_path / "again.zip").read_bytes() == source.full.read_bytes()


def test_importing_twice_changes_nothing(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_([f"--bundles={source.full}"]) == 0
    assert "  5 new" in capsys.readouterr().out
    rows, files = all_rows(Path.cwd()), files_below(Path.cwd() / "mlruns")
    assert import_([f"--bundles={source.full}"]) == 0
    assert import_([f"--bundles={source.lean},{source.numbers}"]) == 0
    said = capsys.readouterr().out
    assert "5 runs, 0 artifacts added\n  5 there already" in said
    assert "10 runs, 0 artifacts added\n  10 there already" in said
    assert all_rows(Path.cwd()) == rows
    assert files_below(Path.cwd() / "mlruns") == files


# What can be done with imported runs


def test_imported_runs_are_queried_joined_and_not_trained_again(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_([f"--bundles={source.full}"]) == 0
    for table in (query.pairs, query.endpoints, query.paths, query.ensembles):
        uri = f"sqlite:///{source.folder}/mlflow.db"
        pd.testing.assert_frame_equal(table(), table(uri=uri))
    ends = [run.info.run_id for run in runs_of_kind(target, "endpoint")]
    for end in ends:
        ours = load_network(target, end).state
        forget_places()
        theirs = load_network(source.client, end).state
        forget_places()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert interpolate([f"--run_a={ends[0]}", f"--run_b={ends[1]}", "--num_alphas=3", "--splits=test", *HERE]) == 0
    new = runs_of_kind(target, "path")[-1].info.run_id
    assert new != source.one("path")
    assert metric_curve(target, new, "test/path_loss") == metric_curve(
        source.client, source.one("path"), "test/path_loss"
    )
    capsys.readouterr()
    assert train_pair([*QUICK, "--shift=label_2080"]) == 0
    assert f"pair {source.one('pair')} (finished before)" in capsys.readouterr().out


def test_an_interrupted_pair_is_carried_over_resumed_there_and_brought_back(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*QUICK, "--epochs=4"]
    here = new_store(empty_store, tmp_path / "here", monkeypatch)
    original = Recorder.on_epoch

    def stop_in_epoch_three(self: Recorder, epoch: int, reports: list) -> None:
        if epoch == 3:
            raise KeyboardInterrupt
        original(self, epoch, reports)

    monkeypatch.setattr(Recorder, "on_epoch", stop_in_epoch_three)
    assert train_pair(flags) == 130
    monkeypatch.setattr(Recorder, "on_epoch", original)
    pair = runs_of_kind(here, "pair")[0].info.run_id
    here.set_tag(pair, "note", "mine")
    assert export(["--out=stopped.zip"]) == 0
    assert "not finished: 3 KILLED" in capsys.readouterr().out

    new_store(empty_store, tmp_path / "there", monkeypatch)
    assert import_([f"--bundles={tmp_path}/here/stopped.zip"]) == 0
    assert train_pair(flags) == 0
    assert f"pair {pair} (resumed)" in capsys.readouterr().out
    assert export(["--out=done.zip"]) == 0
    assert "3 further here" in imported(capsys, tmp_path / "here" / "stopped.zip")

    use(tmp_path / "here", monkeypatch)
    assert "3 completed" in imported(capsys, tmp_path / "there" / "done.zip")
    assert "3 there already" in imported(capsys, tmp_path / "there" / "done.zip")
    assert here.get_run(pair).info.status == "FINISHED"
    assert here.get_run(pair).data.tags["note"] == "mine"
    assert not list(Path.cwd().rglob("resume"))
    for end in runs_of_kind(here, "endpoint"):
        assert sorted(metric_curve(here, end.info.run_id, "test/loss")) == [1, 2, 3, 4]
        load_network(here, end.info.run_id)
    assert all_rows(tmp_path / "here")["metrics"] == all_rows(tmp_path / "there")["metrics"]
    assert all_rows(tmp_path / "here")["inputs"] == all_rows(tmp_path / "there")["inputs"]


def imported(capsys: pytest.CaptureFixture[str], bundle: Path) -> str:
    """What is said when a bundle is imported."""
    capsys.readouterr()
    assert import_([f"--bundles={bundle}"]) == 0
    return capsys.readouterr().out


# Leaving things out


def test_without_checkpoints_a_bundle_holds_numbers_tables_and_figures(source: Source) -> None:
    kept = {}
    for path in (source.full, source.lean, source.numbers):
        with open_bundle(path) as bundle:
            kept[path] = {name.split("/", 2)[2] for name in bundle.files if name.startswith("artifacts/")}
    assert {"checkpoint/model.safetensors", "split.npz", "predictions.npz"} <= kept[source.full]
    assert kept[source.lean] == {
        name for name in kept[source.full] if not name.endswith((".npz", ".safetensors")) and "checkpoint" not in name
    }
    assert kept[source.numbers] == {name for name in kept[source.lean] if not name.endswith(".png")}
    assert "path.json" in kept[source.numbers]


def test_what_was_left_out_is_said_and_filled_in_by_a_fuller_bundle(
    source: Source, target: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = runs_of_kind(source.client, "endpoint")[0].info.run_id
    assert import_([f"--bundles={source.numbers}"]) == 0
    left_out = "checkpoint/config.json,checkpoint/model.safetensors"
    assert target.get_run(end).data.tags["lmc.left_out"] == left_out
    with pytest.raises(ValueError, match=r"a bundle that left out checkpoint/model\.safetensors"):
        load_network(target, end)
    assert export([f"--out={tmp_path}/relayed.zip"]) == 0  # a store with gaps is exported with them
    with open_bundle(tmp_path / "relayed.zip") as relayed, open_bundle(source.numbers) as first:
        assert relayed.files == first.files
    assert import_([f"--bundles={source.full}"]) == 0
    assert "lmc.left_out" not in target.get_run(end).data.tags
    load_network(target, end)
    assert all_rows(Path.cwd()) == all_rows(source.folder)
    assert files_below(Path.cwd() / "mlruns") == files_below(source.folder / "mlruns")


def test_artifacts_are_left_out_by_name_and_the_runs_say_so(
    source: Source, target: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, lean = "barrier_by_sample.json", tmp_path / "lean.zip"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{source.folder}/mlflow.db")
        assert export([f"--out={lean}", "--checkpoints=false", "--figures=false", f"--leave_out={table}"]) == 0
    with open_bundle(lean) as bundle, open_bundle(source.numbers) as whole:
        assert set(whole.files) - set(bundle.files) == {name for name in whole.files if name.endswith(f"/{table}")}
        assert len(whole.files) > len(bundle.files)
    assert import_([f"--bundles={lean}"]) == 0
    assert table in runs_of_kind(target, "path")[0].data.tags["lmc.left_out"].split(",")


# What is refused


def refused(capsys: pytest.CaptureFixture[str], path: Path | str) -> str:
    """The one line with which a bundle is refused; the store stays as it was."""
    capsys.readouterr()
    rows, files = all_rows(Path.cwd()), files_below(Path.cwd())
    assert import_([f"--bundles={path}"]) == 1
    assert all_rows(Path.cwd()) == rows
    del files["mlflow.db"]
    now = files_below(Path.cwd())
    del now["mlflow.db"]
    assert now == files
    return say(capsys)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE params SET value = '7' WHERE key = 'optimization.epochs'", "param optimization.epochs"),
        ("UPDATE metrics SET value = value + 1e-9 WHERE key = 'test/loss'", "metric test/loss"),
        ("UPDATE tags SET value = 'no' WHERE key = 'lmc.connected'", "tag lmc.connected"),
    ],
)
def test_a_finished_run_with_different_content_is_refused_by_name(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str], statement: str, what: str
) -> None:
    assert import_([f"--bundles={source.lean}"]) == 0
    change(Path.cwd(), statement)
    said = refused(capsys, source.full)
    assert f"is in the store with different content ({what})" in said
    assert any(run.info.run_id in said for run in source.client.search_runs(["0"]))


def test_an_artifact_with_different_content_is_refused_by_name(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_([f"--bundles={source.lean}"]) == 0
    next(Path.cwd().rglob("path.json")).write_text("{}")
    said = refused(capsys, source.full)
    assert source.one("path") in said
    assert "its artifact path.json" in said


def test_notes_and_tags_that_are_not_ours_stay_as_they_are_here(source: Source, target: MlflowClient) -> None:
    assert import_([f"--bundles={source.full}"]) == 0
    target.set_tag(source.one("pair"), "mlflow.note.content", "mine")
    assert import_([f"--bundles={source.full}"]) == 0
    assert target.get_run(source.one("pair")).data.tags["mlflow.note.content"] == "mine"


def test_a_run_that_went_on_in_both_stores_is_refused(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_([f"--bundles={source.full}"]) == 0
    change(Path.cwd(), "UPDATE runs SET status = 'KILLED'")
    target.log_metric(source.one("pair"), "test/loss", 0.5, step=99)
    assert "each has what the other lacks" in refused(capsys, source.full)


def record(status: str, kind: str = "pair", **metrics: tuple[Point, ...]) -> RunRecord:
    return RunRecord("1", "Default", "x", status, 0, None, None, {}, {"lmc.kind": kind}, metrics, (), ())


@pytest.mark.parametrize(
    ("theirs", "ours", "resolution"),
    [
        (("FINISHED", 2), ("FINISHED", 2), Resolution.SAME),
        (("KILLED", 1), ("KILLED", 1), Resolution.SAME),
        (("FINISHED", 2), ("KILLED", 1), Resolution.BEHIND),
        (("FINISHED", 2), ("KILLED", 2), Resolution.BEHIND),
        (("KILLED", 2), ("KILLED", 1), Resolution.BEHIND),
        (("RUNNING", 2), ("KILLED", 1), Resolution.BEHIND),
        (("KILLED", 1), ("RUNNING", 1), Resolution.BEHIND),
        (("RUNNING", 1), ("KILLED", 1), Resolution.AHEAD),
        (("KILLED", 1), ("KILLED", 2), Resolution.AHEAD),
        (("KILLED", 1), ("FINISHED", 2), Resolution.AHEAD),
        (("KILLED", 2), ("FINISHED", 1), None),
        (("FINISHED", 1), ("KILLED", 2), None),
        (("FINISHED", 2), ("FINISHED", 1), None),
        (("FINISHED", 1), ("FINISHED", 2), None),
    ],
)
def test_of_two_copies_of_a_run_the_further_one_is_kept(
    theirs: tuple[str, int], ours: tuple[str, int], resolution: Resolution | None
) -> None:
    points: tuple[Point, ...] = ((1, 10, 0.5), (2, 20, None))
    a, b = (record(status, loss=points[:number]) for status, number in (theirs, ours))
    if resolution is None:
        with pytest.raises(ValueError, match="different content"):
            resolve(a, b, is_deleted=False)
        sweeps = [record(one.status, "sweep", **one.metrics) for one in (a, b)]
        assert resolve(*sweeps, is_deleted=False) is Resolution.DIVERGED
    else:
        assert resolve(a, b, is_deleted=False) is resolution
    assert resolve(a, b, is_deleted=True) is Resolution.DELETED
    assert resolve(a, None, is_deleted=False) is Resolution.NEW


def test_a_run_that_was_deleted_here_stays_deleted(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_([f"--bundles={source.full}"]) == 0
    target.delete_run(source.one("path"))
    said = imported(capsys, source.full)
    assert "4 there already\n  1 deleted here, left so" in said
    assert runs_of_kind(target, "path") == []


def test_a_run_that_a_living_process_writes_is_not_written_to(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_([f"--bundles={source.full}"]) == 0
    target.update_run(source.one("pair"), status="RUNNING")  # by this very process, say its tags
    assert "is being written here at this moment" in refused(capsys, source.full)


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "swapped", "added", "missing", "newer", "escaping", "absent"])
def test_a_bundle_that_is_not_whole_changes_nothing(
    source: Source, target: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    bad = tmp_path / "bad.zip"
    content = source.full.read_bytes()
    if kind in ("cut", "empty", "text"):
        bad.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"no zip"}[kind])
    elif kind != "absent":
        rewrite(source.full, bad, kind)
    expected = {"newer": "is of format 2, this version reads 1; update lmc_mlflow", "absent": "does not exist"}
    said = refused(capsys, bad)
    assert expected.get(kind, "bad.zip is no whole bundle (") in said


def rewrite(good: Path, bad: Path, kind: str) -> None:
    """A whole zip with the wrong content."""
    with zipfile.ZipFile(good) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files["manifest.json"])
    victim = next(name for name in files if name.endswith("model.safetensors"))
    if kind == "swapped":
        files[victim] = files[victim][::-1]
    elif kind == "added":
        files["artifacts/more.txt"] = b"more"
    elif kind == "missing":
        del files[victim]
    elif kind == "newer":
        manifest = {"format": 2, "files": "in another way"}
    elif kind == "escaping":
        for table in (files, manifest["files"]):
            table[f"artifacts/{'0' * 32}/../../../escaped"] = table[victim]
    files["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(bad, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_whatever_byte_is_flipped_nothing_wrong_is_read(source: Source, tmp_path: Path) -> None:
    content = source.numbers.read_bytes()
    with open_bundle(source.numbers) as whole:
        files = whole.files
        texts = {name: list(whole.lines(name)) for name in files}
    draws = random.Random(0)
    refusals = []
    for _ in range(300):
        position = draws.randrange(len(content))
        damaged = tmp_path / "damaged.zip"
        damaged.write_bytes(
            content[:position] + bytes([content[position] ^ 1 << draws.randrange(8)]) + content[position + 1 :]
        )
        try:
            with open_bundle(damaged) as bundle:
                assert bundle.files == files
                assert {name: list(bundle.lines(name)) for name in files} == texts
        except ValueError as error:
            refusals.append(str(error))
    reasons = ("is no whole bundle", "is refused: ")  # the second where the size of a file is wrong
    assert [refusal for refusal in refusals if not any(reason in refusal for reason in reasons)] == []
    assert len(refusals) > 200  # the others are dates, permissions and other marks of the zip that are not read


def test_a_bundle_whose_lines_make_no_sense_is_refused(
    source: Source, target: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(source.numbers) as archive:
        archive.extractall(unpacked)
    for old, new, message in (
        ('"status": "FINISHED"', '"status": "DONE"', "status 'DONE'"),
        (source.one("pair"), "../" + source.one("pair")[3:], "id '../"),
        ('"params"', '"parameters"', "params: Field required"),
        (source.one("pair"), "0" * 32, "artifacts are of no run"),
    ):
        sealed(unpacked, (unpacked / "runs.jsonl").read_text().replace(old, new))
        assert message in refused(capsys, unpacked)
        with zipfile.ZipFile(source.numbers) as archive:
            archive.extractall(unpacked)
    assert "5 new" in imported(capsys, unpacked)  # a folder that a bundle was unpacked to is a bundle


def sealed(unpacked: Path, lines: str) -> None:
    """Change the runs of a bundle, digests and all."""
    (unpacked / "runs.jsonl").write_text(lines)
    manifest = json.loads((unpacked / "manifest.json").read_text())
    manifest["files"]["runs.jsonl"] = {"sha256": sha256_of(unpacked / "runs.jsonl"), "size": len(lines)}
    (unpacked / "manifest.json").write_text(json.dumps(manifest))


def test_a_server_is_refused_with_the_way_around_it(
    source: Source, target: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert import_([f"--bundles={source.full}"]) == 1
    said = say(capsys)
    assert "its --backend-store-uri" in said
    assert "artifacts=<its --artifacts-destination folder>" in said


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("postgresql+psycopg2://u:secret@127.0.0.1:9/x", "u:***@127.0.0.1:9/x cannot be used"),
        ("postgresql+nodriver://u:secret@127.0.0.1:9/x", "cannot be used (Can't load plugin"),
        ("somewhere", "MLFLOW_TRACKING_URI names no database"),
        ("sqlite:////proc/no/mlflow.db", "/proc/no/mlflow.db cannot be used"),
    ],
)
def test_a_database_out_of_reach_is_said_at_once_without_its_password(
    source: Source,
    target: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    uri: str,
    reason: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert import_([f"--bundles={source.full}"]) == 1
    said = say(capsys)
    assert reason in said
    assert "secret" not in said


# Killed, or beside others


def test_killed_between_artifacts_and_rows_leaves_no_run_and_is_repeated(
    source: Source, target: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(merging, "note_left_out", killed)
        assert import_([f"--bundles={source.full}"]) == 130
    assert target.search_runs(["0"]) == []
    assert len(list(Path.cwd().rglob("manifest.json"))) == 5
    next(Path.cwd().rglob("model.safetensors")).unlink()
    assert "5 runs, 1 artifact added\n  5 new" in imported(capsys, source.full)
    assert all_rows(Path.cwd()) == all_rows(source.folder)


def test_two_stores_may_share_a_folder_of_artifacts_and_neither_harms_the_other(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    change(Path.cwd(), "UPDATE experiments SET artifact_location = ?", str(source.folder / "mlruns" / "0"))
    before = files_below(source.folder / "mlruns")
    assert "5 runs, 0 artifacts added\n  5 new" in imported(capsys, source.full)
    assert files_below(source.folder / "mlruns") == before


def test_experiments_are_matched_by_name_and_made_where_missing(
    source: Source,
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = new_store(empty_store, tmp_path / "first", monkeypatch)
    ids = {}
    for name in ("one", "two", "Default"):
        found = first.get_experiment_by_name(name)
        experiment_id = found.experiment_id if found else first.create_experiment(name)
        ids[name] = first.create_run(experiment_id, tags={"lmc.kind": "report"}).info.run_id
    assert export(["--out=all.zip"]) == 0
    assert export(["--out=two.zip", "--experiment=two"]) == 0
    second = new_store(empty_store, tmp_path / "second", monkeypatch)
    second.rename_experiment("0", "other name")
    second.create_experiment("two", str(tmp_path / "elsewhere"))
    assert "1 new" in imported(capsys, tmp_path / "first" / "two.zip")
    assert "2 new\n  1 there already" in imported(capsys, tmp_path / "first" / "all.zip")
    names = {i.experiment_id: i.name for i in second.search_experiments()}
    where = {name: names[second.get_run(run_id).info.experiment_id] for name, run_id in ids.items()}
    assert where == {"one": "one", "two": "two", "Default": "other name"}
    assert second.get_run(ids["two"]).info.artifact_uri == f"{tmp_path}/elsewhere/{ids['two']}/artifacts"
    second.delete_experiment(second.get_experiment_by_name("one").experiment_id)
    second.delete_run(ids["one"])
    assert "experiment 'one' is deleted in this store" in refused(capsys, tmp_path / "first" / "all.zip")


def test_behind_a_server_artifacts_go_to_its_folder(
    source: Source, target: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(Path.cwd(), "UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")
    assert "give artifacts=<its --artifacts-destination folder>" in refused(capsys, source.full)
    kept = tmp_path / "kept"
    assert import_([f"--bundles={source.full}", f"--artifacts={kept}"]) == 1
    assert "there is no such folder" in say(capsys)
    kept.mkdir()
    assert import_([f"--bundles={source.full}", f"--artifacts={kept}"]) == 0
    assert files_below(kept) == files_below(source.folder / "mlruns")
    pair = target.get_run(source.one("pair"))
    assert pair.info.artifact_uri == f"mlflow-artifacts:/0/{source.one('pair')}/artifacts"


def test_places_that_mlflow_itself_reaches_are_read_and_written_through_it(tmp_path: Path) -> None:
    place = RemoteLocation(f"file://{tmp_path}/far")
    assert place.paths() == []
    with place.adding({"a/b.txt": lambda file: file.write(b"x"), "c.txt": lambda file: file.write(b"y")}):
        pass
    assert place.paths() == ["a/b.txt", "c.txt"]
    assert artifact_digests(place) == artifact_digests(location_of(str(tmp_path / "far")))
    place.remove(["c.txt"])
    assert place.paths() == ["a/b.txt"]
    assert isinstance(location_of("s3://bucket/1/x/artifacts"), RemoteLocation)


# Exporting


def test_an_export_that_is_refused_or_fails_leaves_no_file(
    source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(source.folder, copied)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copied}/mlflow.db")
    change(copied, "UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", str(source.folder), str(copied))
    out = tmp_path / "out"
    out.mkdir()
    weights = next(copied.rglob("model.safetensors"))
    good = weights.read_bytes()
    cases: list[tuple[list[str], Callable[[], object], str]] = [
        ([f"--out={out}/x.tar"], lambda: None, "give the path of the bundle, as in out=runs.zip"),
        ([f"--out={out}/no/x.zip"], lambda: None, "there is no folder"),
        ([f"--out={source.full}"], lambda: None, "exists already and is not overwritten"),
        ([f"--out={out}/x.zip", "--query=tags.a = 'b'"], lambda: None, "no run matches query="),
        ([f"--out={out}/x.zip", "--query=nonsense"], lambda: None, "Invalid"),
        ([f"--out={out}/x.zip", "--leave_out=paht.json"], lambda: None, "runs is called paht.json"),
        ([f"--out={out}/x.zip", "--leave_out=manifest.json"], lambda: None, "manifest.json vouches for the other"),
        ([f"--out={out}/x.zip", "--experiment=none"], lambda: None, "experiment 'none' does not exist"),
        ([f"--out={out}/x.zip"], lambda: weights.write_bytes(good[:-1]), "was altered after it was logged"),
        ([f"--out={out}/x.zip"], weights.unlink, "is in its manifest.json and not at"),
        ([f"--out={out}/x.zip"], lambda: shutil.rmtree(copied / "mlruns"), "were its artifacts moved?"),
    ]
    for flags, spoil, message in cases:
        spoil()
        capsys.readouterr()
        assert export(flags) == 1
        assert message in say(capsys)
        assert list(out.iterdir()) == []


def test_runs_that_belong_together_are_exported_together() -> None:
    # sweep -> pairs p and q, each with endpoints; a path joins p's A and q's A and hangs below the sweep
    def run(run_id: str, kind: str, parent: str = "", **tags: str) -> tuple[str, Run]:
        info = RunInfo(run_id, "0", "", "FINISHED", 0, 0, "active")
        own = {"lmc.kind": kind, "mlflow.parentRunId": parent, **{f"lmc.{key}": text for key, text in tags.items()}}
        return run_id, Run(info, RunData(tags=[RunTag(key, text) for key, text in own.items() if text]))

    store = dict(
        [
            run("sweep", "sweep"),
            run("p", "pair", "sweep"),
            run("pa", "endpoint", "p"),
            run("pb", "endpoint", "p"),
            run("q", "pair", "sweep"),
            run("qa", "endpoint", "q"),
            run("qb", "endpoint", "q"),
            run("path", "path", "sweep", run_a="pa", run_b="qa"),
            run("other", "pair", "sweep"),
            run("few", "ensemble", members="p@0.0,p@1.0", pair="p"),
            run("gone", "path", run_a="pa", run_b="deleted"),
        ]
    )
    p, q = {"p", "pa", "pb"}, {"q", "qa", "qb"}
    assert find_related(["path"], store) == {"path", "sweep"} | p | q
    assert find_related(["few"], store) == {"few", "sweep"} | p
    assert find_related(["pa"], store) == {"sweep"} | p
    assert find_related(["gone"], store) == {"gone", "sweep"} | p
    assert find_related(["sweep"], store) == set(store) - {"few", "gone"}


# What goes on in a store of imported runs

GRID = """
seeds: [1, 2]
defaults: {model: mlp_l1_w8, epochs: 1, c2st_samples: 0}
then:
  - interpolate: {num_alphas: POINTS, splits: test}
  - ensemble: {sampling: seeds, side: A, num_resamples: 0}
cells:
  - shift: label_5050
"""


def swept(points: str, *more: str, with_seeds: bool) -> int:
    lines = [line for line in GRID.replace("POINTS", points).splitlines() if with_seeds or "seeds," not in line]
    Path("mine.yaml").write_text("\n".join(lines))
    return sweep(["--grid=mine.yaml", "--processes=1", *HERE, *more])


@pytest.mark.parametrize("with_seeds", [False, True])
def test_a_sweep_trains_again_only_where_it_needs_weights_that_a_bundle_left_out(
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    with_seeds: bool,
) -> None:
    new_store(empty_store, tmp_path / "first", monkeypatch)
    assert swept("3", with_seeds=False) == 0
    assert export(["--out=lean.zip", "--checkpoints=false"]) == 0
    target = new_store(empty_store, tmp_path / "second", monkeypatch)
    assert import_([f"--bundles={tmp_path}/first/lean.zip"]) == 0
    imported = {run.info.run_id for run in runs_of_kind(target, "pair")}
    assert swept("3", with_seeds=False) == 0
    assert {run.info.run_id for run in runs_of_kind(target, "pair")} == imported

    capsys.readouterr()
    assert swept("[3, 5]", "--dry_run=true", with_seeds=False) == 0
    assert "2 cells: 2 to do" in capsys.readouterr().out
    assert swept("3" if with_seeds else "[3, 5]", with_seeds=with_seeds) == 0
    pairs = {run.info.run_id: run for run in runs_of_kind(target, "pair")}
    assert len(pairs) == 4
    assert len({run.data.tags["lmc.fingerprint"] for run in pairs.values()}) == 2
    trained = query.paths()[lambda paths: ~paths["pair"].isin(imported)]
    assert sorted(trained["num_alphas"]) == ([3, 3] if with_seeds else [3, 3, 5, 5])
    assert len(query.ensembles()) == with_seeds
    before = len(target.search_runs(["0"]))
    assert swept("3" if with_seeds else "[3, 5]", with_seeds=with_seeds) == 0
    assert len(target.search_runs(["0"])) == before


def test_a_run_without_weights_says_that_its_bundle_left_them_out(
    source: Source, target: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_([f"--bundles={source.lean}"]) == 0
    capsys.readouterr()
    assert interpolate([f"--pair={source.one('pair')}", "--num_alphas=7", *HERE]) != 0
    assert "was imported from a bundle that left out checkpoint/model.safetensors: import one" in say(capsys)
