"""Bundles that somebody has tampered with: each is refused in one line, and store and artifacts stay as they were."""

import importlib
import json
import os
import tracemalloc
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from conftest import runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Experiment
from sqlalchemy.exc import OperationalError

from lmc_mlflow.bundles import archive, artifact_locations, merge, writer
from lmc_mlflow.bundles.archive import open_bundle
from lmc_mlflow.bundles.artifact_locations import FolderLocation, RemoteLocation
from lmc_mlflow.bundles.merge import read_records
from lmc_mlflow.bundles.records import InputRecord, RunRecord, to_line
from lmc_mlflow.bundles.writer import write_bundle

import_ = importlib.import_module("entry_points.import").main
RUN = "0123456789abcdef0123456789abcdef"
INPUT = InputRecord("digits", "d1", "code", "{}", None, None, {"mlflow.data.context": "train"})
METRICS = {"test/loss": ((1, 10, 0.5), (2, 20, None))}
TAGS = {"lmc.kind": "report"}
RECORD = RunRecord(RUN, "elsewhere", "a run", "KILLED", 1, 2, "u", {"a": "1"}, TAGS, METRICS, (INPUT,), ())
FILES = {f"artifacts/{RUN}/a/b.txt": b"x" * 100, f"artifacts/{RUN}/c.txt": b"y"}


def bundle(
    path: Path, change: Mapping[str, Any] | str | None = None, files: Mapping[str, bytes] = FILES, **index: Any
) -> Path:
    """Write a bundle whose digests are right, with these fields of its run, or this text, instead of its own."""
    line = change if isinstance(change, str) else json.dumps({**json.loads(to_line(RECORD)), **(change or {})})
    path.unlink(missing_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        made = writer.BundleWriter(zipped)
        local = path.with_suffix(".part")
        for name, content in {**files, "runs.jsonl": f"{line}\n".encode()}.items():
            local.write_bytes(content)
            made.add_file(name, local)
        content = {"format": 1, "files": {name: {**row, **index} for name, row in made.files.items()}}
        made.add_text("manifest.json", json.dumps(content))
    return path


def verdict(path: Path) -> str:
    """What is said of a bundle; empty if it is whole."""
    try:
        with open_bundle(path) as opened:
            read_records(opened)
    except ValueError as error:
        said = str(error)
        assert said
        assert "\n" not in said
        assert len(said) < 600
        return said
    return ""


def test_the_bundle_that_is_changed_here_is_whole(tmp_path: Path, store: MlflowClient) -> None:
    assert verdict(bundle(tmp_path / "x.zip")) == ""
    assert import_([f"--bundles={tmp_path}/x.zip"]) == 0
    experiment = store.get_experiment_by_name("elsewhere")
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id])
    assert run.info.run_id == RUN
    assert sorted(item.path for item in store.list_artifacts(RUN)) == ["a", "c.txt"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"start_time": None}, "start_time None: Input should be a valid integer"),
        ({"start_time": "abc"}, "start_time 'abc'"),
        ({"start_time": 2**70}, "start_time"),
        ({"start_time": 2**53}, "start_time 9007199254740992: Input should be less than"),
        ({"start_time": -1}, "start_time -1"),
        ({"end_time": "soon"}, "end_time 'soon'"),
        ({"status": "DONE"}, "status 'DONE'"),
        ({"run_id": "../../x"}, "run_id '../../x'"),
        ({"run_id": 5}, "run_id 5"),
        ({"name": "n" * 501}, "at most 500 characters"),
        ({"name": None}, "name None"),
        ({"experiment": ["a"]}, "experiment ['a']"),
        ({"user": 7}, "user 7"),
        ({"tags": ["lmc.kind"]}, "tags ['lmc.kind']"),
        ({"tags": {"lmc.kind": 5}}, "tags.lmc.kind 5"),
        ({"tags": {"k" * 251: "x"}}, "at most 250 characters"),
        ({"tags": {"": "x"}}, "at least 1 character"),
        ({"params": {"a": "v" * 8001}}, "at most 8000 characters"),
        ({"params": {"a": "nul\x00"}}, "params.a"),
        ({"params": {"a\nb": "x"}}, "params"),
        ({"metrics": {"loss": 0.5}}, "metrics.loss 0.5"),
        ({"metrics": {"loss": [[1, 2]]}}, "metrics.loss.0"),
        ({"metrics": {"loss": [[2**70, 0, 0.5]]}}, "metrics.loss.0.0"),
        ({"metrics": {"loss": [[1.5, 0, 0.5]]}}, "metrics.loss.0.0 1.5"),
        ({"metrics": {"loss": [[1, 0, float("inf")]]}}, "metrics.loss.0.2 inf: Input should be a finite number"),
        ({"metrics": {"loss": [[1, 0, float("nan")]]}}, "metrics.loss.0.2 nan: Input should be a finite number"),
        ({"metrics": {"loss": [[1, 0, "0.5"]]}}, "metrics.loss.0.2 '0.5'"),
        ({"inputs": [{"name": "digits"}]}, "inputs.0.digest: Field required"),
        ({"inputs": [{**asdict(INPUT), "digest": "d" * 37}]}, "at most 36 characters"),
        ({"inputs": {}}, "inputs {}"),
        ({"left_out": "all"}, "left_out 'all'"),
        ({"left_out": [1]}, "left_out.0 1"),
        ("", "Invalid JSON"),
        ("5", "5: Input should be an object"),
        ("[" * 100_000, "Invalid JSON: recursion limit exceeded"),
        ('{"run_id": "\ud800"}'.encode("unicode_escape").decode(), "Invalid JSON"),
        ("{}", "run_id: Field required"),
    ],
)
def test_the_line_of_a_run_has_the_types_and_lengths_of_a_run(
    tmp_path: Path, change: Mapping[str, Any] | str, names: str
) -> None:
    said = verdict(bundle(tmp_path / "x.zip", change))
    assert "the line of a run cannot be read" in said
    assert names in said


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({f"artifacts/{RUN}/a": b"", f"artifacts/{RUN}/a/b": b""}, "is a file, and the folder of another file"),
        ({f"artifacts/{RUN}": b""}, "is no path inside a bundle"),
        ({f"artifacts/{RUN}/../b": b""}, "is no path inside a bundle"),
        ({f"artifacts/{RUN}//b": b""}, "is no path inside a bundle"),
        ({f"artifacts/{RUN}/./b": b""}, "is no path inside a bundle"),
        ({f"artifacts/{RUN}/a\\b": b""}, "is no path inside a bundle"),
        ({f"artifacts/{RUN}/a\nb": b""}, "is no path inside a bundle"),
        ({f"artifacts/{RUN}/{'b' * 256}": b""}, "is no path inside a bundle"),
        ({f"artifacts/{RUN}/{'b/' * 600}c": b""}, "is no path inside a bundle"),
        ({f"other/{RUN}/b": b""}, "is no path inside a bundle"),
        ({"/etc/b": b""}, "is no path inside a bundle"),
        ({"artifacts/0/b": b""}, "artifacts are of no run"),
    ],
)
def test_every_other_name_is_a_file_in_the_folder_of_a_run(
    tmp_path: Path, files: Mapping[str, bytes], names: str
) -> None:
    assert names in verdict(bundle(tmp_path / "x.zip", files=files))


@pytest.mark.parametrize(
    ("index", "names"),
    [
        ({"sha256": ["0" * 64]}, "files."),
        ({"sha256": "abc"}, "files."),
        ({"size": "1"}, "files."),
        ({"size": -1}, "files."),
        ({"size": 2**70}, "files."),
        ({"size": None}, "files."),
        ({"size": 7}, "bytes, in the manifest 7"),
    ],
)
def test_the_index_says_the_digest_and_the_size_of_every_file(
    tmp_path: Path, index: Mapping[str, Any], names: str
) -> None:
    assert names in verdict(bundle(tmp_path / "x.zip", **index))


def test_a_name_that_is_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a") as zipped, pytest.warns(UserWarning, match="Duplicate"):
        zipped.writestr("runs.jsonl", "")
    assert "a file is in it twice" in verdict(path)


def test_a_bundle_that_unpacks_to_a_thousand_times_its_size_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    for path in (
        bundle(tmp_path / "lines.zip", "\n" * 100_000_000),
        bundle(tmp_path / "artifact.zip", files={f"artifacts/{RUN}/zeros.txt": bytes(100_000_000)}),
    ):
        assert path.stat().st_size < 300_000
        tracemalloc.start()
        try:
            assert "is refused: its files would fill 10" in verdict(path)
            assert tracemalloc.get_traced_memory()[1] < 20e6
        finally:
            tracemalloc.stop()


def test_a_list_of_runs_that_memory_might_not_hold_is_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle(tmp_path / "x.zip")
    monkeypatch.setattr(archive, "MOST_RUNS", 100)
    assert "is refused: runs.jsonl would fill" in verdict(path)
    monkeypatch.setattr(writer, "MOST_RUNS", 100)
    with pytest.raises(ValueError, match="export fewer at a time"), write_bundle(tmp_path / "y.zip", {}) as written:
        written.add_text("runs.jsonl", to_line(RECORD))
    assert not (tmp_path / "y.zip").exists()


def test_a_bundle_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.zip")
    assert "is no file and no folder" in verdict(tmp_path / "x.zip")


# Nothing stays behind


def everything(folder: Path, client: MlflowClient) -> tuple[list[str], list[Experiment], list[str]]:
    """Every file and folder beside the database, every experiment, every run."""
    paths = sorted(str(path) for path in folder.rglob("*") if not path.name.startswith("mlflow.db"))
    experiments = client.search_experiments()
    runs = client.search_runs([one.experiment_id for one in experiments])
    return paths, [dict(one) for one in experiments], [run.info.run_id for run in runs]


def refused(folder: Path, client: MlflowClient, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the bundle is refused; nothing else has changed."""
    before = everything(folder, client)
    assert import_([f"--bundles={folder}/x.zip"]) == 1
    assert everything(folder, client) == before
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("change", [{"start_time": None}, {"tags": []}, {"metrics": {"loss": [[1, 0, 2**70]]}}])
def test_a_run_that_makes_no_sense_leaves_nothing_in_the_store(
    tmp_path: Path, store: MlflowClient, capsys: pytest.CaptureFixture[str], change: Mapping[str, Any]
) -> None:
    bundle(tmp_path / "x.zip", change)
    if change.get("metrics"):
        assert import_([f"--bundles={tmp_path}/x.zip"]) == 0  # 2^70 is a number that a metric may have
        return
    assert "cannot be read" in refused(tmp_path, store, capsys)


def test_a_refusal_of_the_database_takes_the_artifacts_and_the_new_experiment_back(
    tmp_path: Path, store: MlflowClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(tmp_path / "x.zip")

    def refuse(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    with monkeypatch.context() as patch:
        patch.setattr(merge, "add_run", refuse)
        assert "no run was imported" in refused(tmp_path, store, capsys)
    assert import_([f"--bundles={tmp_path}/x.zip"]) == 0


def test_a_file_where_a_folder_should_be_takes_the_artifacts_before_it_back(
    tmp_path: Path, store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "f" * 32
    lines = f"{to_line(RECORD)}\n{to_line(RECORD).replace(RUN, other).replace('elsewhere', 'Default')}"
    bundle(tmp_path / "x.zip", lines, {**FILES, f"artifacts/{other}/c.txt": b"z"})
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / other).write_text("in the way")
    assert "artifacts cannot be written to" in refused(tmp_path, store, capsys)


def test_artifacts_that_were_replaced_come_back(
    tmp_path: Path, store: MlflowClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(tmp_path / "x.zip")
    assert import_([f"--bundles={tmp_path}/x.zip"]) == 0
    further = {**json.loads(to_line(RECORD)), "status": "FINISHED", "end_time": 3}
    bundle(tmp_path / "x.zip", further, {f"artifacts/{RUN}/c.txt": b"new", f"artifacts/{RUN}/a/d/e.txt": b"new"})

    def refuse(*_: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    capsys.readouterr()
    kept = next(tmp_path.rglob("c.txt"))
    with monkeypatch.context() as patch:
        patch.setattr(merge, "complete_run", refuse)
        assert "database is locked" in refused(tmp_path, store, capsys)
    assert kept.read_text() == "y"
    assert import_([f"--bundles={tmp_path}/x.zip"]) == 0
    assert kept.read_text() == "new"
    assert not list(tmp_path.rglob(".lmc_import*"))
    assert runs_of_kind(store, "report") == []


@pytest.mark.parametrize("far", [False, True])
def test_an_error_while_artifacts_are_added_leaves_those_that_were_there(tmp_path: Path, far: bool) -> None:
    folder = tmp_path / "run" / "artifacts"
    location = RemoteLocation(f"file://{folder}") if far else FolderLocation(folder)
    with location.adding({"kept.txt": lambda file: file.write(b"old")}):
        pass
    new = {name: lambda file: file.write(b"new") for name in ("kept.txt", "a/more.txt")}
    seen = []
    with suppress(ValueError), location.adding(new):
        seen = location.paths()
        raise ValueError
    assert seen == ["a/more.txt", "kept.txt"]
    assert location.paths() == ["kept.txt"]
    assert (folder / "kept.txt").read_text() == "old"
    assert artifact_locations.artifact_digests(location).keys() == {"kept.txt"}
