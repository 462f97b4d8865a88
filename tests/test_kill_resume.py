"""A training can be killed at any moment and continued by the same command, with bit-equal weights."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import ROOT, runs_of_kind
from mlflow import MlflowClient
from safetensors.torch import load_file

from entry_points.repair import main as repair
from entry_points.train_pair import main as train_pair
from lmc_mlflow.tracking.processes.process import process_tags

EPOCHS = 60
FLAGS = ["--device=cpu", "--threads=1", f"--epochs={EPOCHS}", "--batch_size=16"]
ADAM = [*FLAGS, "--model=mlp_l1_w16", "--optimizer=adam"]
PAPER = [*FLAGS, "--model=mlp_l1_w16_bn_dropout", "--noise_scope=paper", "--noise=different", "--augmentation=flip"]
CURVES = ("train/loss", "train/accuracy", "test/loss", "test/accuracy")
PATIENCE = 120.0


@pytest.fixture
def second_store(empty_store: Path, tmp_path: Path) -> MlflowClient:
    """Another empty store, for a training that nobody disturbs."""
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    database = folder / "mlflow.db"
    shutil.copy(empty_store, database)
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))
    connection.close()
    return MlflowClient(tracking_uri=f"sqlite:///{database}")


@contextmanager
def training(flags: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A training in a process of its own, which does not outlive the block."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # inherited where tests run in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "entry_points.train_pair", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def three_runs(client: MlflowClient) -> dict[str, str]:
    """`pair`, `A` and `B` -> run id; there must be one of each."""
    runs = client.search_runs(["0"], "tags.`lmc.kind` != ''")
    found = {run.data.tags.get("lmc.side", "pair"): run.info.run_id for run in runs}
    assert len(runs) == len(found) == 3
    return found


def statuses(client: MlflowClient) -> list[str]:
    return [run.info.status for run in client.search_runs(["0"])]


def wait_for_epoch(client: MlflowClient, process: subprocess.Popen[str], epoch: int) -> None:
    """Wait until the pair has logged an epoch."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        pairs = runs_of_kind(client, "pair")
        if pairs and last_epoch(client, pairs[0].info.run_id) >= epoch:
            return
        time.sleep(0.02)
    pytest.fail(f"epoch {epoch} was not logged within {PATIENCE} s")


def last_epoch(client: MlflowClient, run_id: str) -> int:
    return max((point.step for point in client.get_metric_history(run_id, "train/loss")), default=0)


def killed_after(client: MlflowClient, flags: Sequence[str], epoch: int, number: signal.Signals) -> tuple[int, str]:
    """Train until an epoch has been logged, send a signal; exit status and what was said on stderr."""
    with training(flags) as process:
        wait_for_epoch(client, process, epoch)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


def curves(client: MlflowClient, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Every logged point of the four curves, repeated ones included."""
    return {key: sorted((p.step, p.value) for p in client.get_metric_history(run_id, key)) for key in CURVES}


def artifacts(client: MlflowClient, run_id: str) -> Path:
    return Path(client.get_run(run_id).info.artifact_uri)


def kept_epochs(client: MlflowClient, run_id: str) -> list[int]:
    """The epochs of the states that a run keeps."""
    return sorted(
        json.loads(note.read_text())["epoch"] for note in (artifacts(client, run_id) / "resume").glob("*.json")
    )


def train_undisturbed(client: MlflowClient, flags: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
        assert train_pair([*flags]) == 0
    return three_runs(client)


def assert_same_training(
    store: MlflowClient, runs: dict[str, str], other_store: MlflowClient, others: dict[str, str], epochs: int
) -> None:
    """Both logged every epoch once, with the same numbers, and the same weights to the last bit."""
    for name in ("pair", "A", "B"):
        found = curves(store, runs[name])
        for key in CURVES:
            assert [step for step, _ in found[key]] == list(range(1, epochs + 1))
        assert found == curves(other_store, others[name])
    for side in ("A", "B"):
        left = load_file(artifacts(store, runs[side]) / "checkpoint" / "model.safetensors")
        right = load_file(artifacts(other_store, others[side]) / "checkpoint" / "model.safetensors")
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)
        tags = [client.get_run(run).data.tags for client, run in ((store, runs[side]), (other_store, others[side]))]
        assert tags[0]["lmc.noise_digest"] == tags[1]["lmc.noise_digest"]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [ADAM, PAPER], ids=["adam_named_noise", "paper_noise_batch_norm_dropout"])
def test_a_training_killed_and_repeated_ends_as_if_it_had_never_stopped(
    store: MlflowClient,
    second_store: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
) -> None:
    status, _ = killed_after(store, flags, 13, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert statuses(store) == ["RUNNING"] * 3
    before = three_runs(store)
    assert kept_epochs(store, before["pair"])
    assert 13 <= last_epoch(store, before["pair"]) < EPOCHS

    assert train_pair(flags) == 0
    assert f"pair {before['pair']} (resumed)" in capsys.readouterr().out
    assert three_runs(store) == before
    assert statuses(store) == ["FINISHED"] * 3
    assert not (artifacts(store, before["pair"]) / "resume").exists()
    others = train_undisturbed(second_store, flags, monkeypatch)
    assert_same_training(store, before, second_store, others, EPOCHS)


@pytest.mark.slow
def test_a_training_killed_before_its_first_state_was_kept_starts_over_under_the_same_ids(
    store: MlflowClient, second_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*ADAM, "--epochs=30", "--checkpoint_every=1000"]
    killed_after(store, flags, 3, signal.SIGKILL)
    before = three_runs(store)
    assert kept_epochs(store, before["pair"]) == []
    assert train_pair(flags) == 0
    assert three_runs(store) == before
    others = train_undisturbed(second_store, flags, monkeypatch)
    assert_same_training(store, before, second_store, others, 30)


@pytest.mark.slow
def test_a_state_cut_short_is_passed_over_for_the_one_before(
    store: MlflowClient, second_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*ADAM, "--epochs=40", "--checkpoint_every=2"]
    killed_after(store, flags, 7, signal.SIGKILL)
    before = three_runs(store)
    notes = {json.loads(n.read_text())["epoch"]: n for n in artifacts(store, before["pair"]).glob("resume/*.json")}
    assert len(notes) == 2
    state = notes[max(notes)].with_suffix(".safetensors")
    state.write_bytes(state.read_bytes()[:-100])
    assert train_pair(flags) == 0
    others = train_undisturbed(second_store, flags, monkeypatch)
    assert_same_training(store, before, second_store, others, 40)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_training_that_is_asked_to_stop_keeps_its_last_epoch_and_ends_killed(
    store: MlflowClient, second_store: MlflowClient, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    flags = [*ADAM, "--epochs=40", "--checkpoint_every=1000"]
    status, said = killed_after(store, flags, 3, number)
    assert status == 130
    assert said.splitlines()[-1] == "train_pair: stopped; give the same command again to go on"
    assert statuses(store) == ["KILLED"] * 3
    before = three_runs(store)
    for run_id in before.values():
        reason = {signal.SIGTERM: "stopped by SIGTERM", signal.SIGINT: "stopped by Ctrl-C"}[number]
        assert store.get_run(run_id).data.tags["lmc.error"] == reason
    (kept,) = kept_epochs(store, before["pair"])
    logged = last_epoch(store, before["pair"])
    assert kept in (logged - 1, logged)  # the signal may come between logging an epoch and counting it as whole

    assert train_pair(flags) == 0
    assert three_runs(store) == before
    assert statuses(store) == ["FINISHED"] * 3
    assert [store.get_run(run_id).data.tags["lmc.error"] for run_id in before.values()] == [""] * 3
    others = train_undisturbed(second_store, flags, monkeypatch)
    assert_same_training(store, before, second_store, others, 40)


@pytest.mark.slow
def test_a_configuration_in_training_is_not_trained_twice(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*ADAM, "--epochs=100000"]
    with training(flags) as process:
        wait_for_epoch(store, process, 1)
        runs = three_runs(store)
        for again in (flags, [*flags, "--force=true"]):
            assert train_pair(again) == 1
            line = capsys.readouterr().err
            assert line.count("\n") == 1
            assert f"run {runs['pair']} is at work on this configuration now (process {process.pid} on " in line
            assert line.endswith("wait for it or stop it\n")
        assert repair(["--apply=true"]) == 0
        assert capsys.readouterr().out == "no run was left RUNNING by a dead process (3 alive)\n"
        assert three_runs(store) == runs
        assert statuses(store) == ["RUNNING"] * 3
        assert process.poll() is None


@pytest.mark.slow
def test_repair_ends_the_runs_of_a_killed_training_and_touches_no_other(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_after(store, [*ADAM, "--epochs=100000"], 1, signal.SIGKILL)
    dead = three_runs(store)
    mine = store.create_run("0", tags={"lmc.kind": "path", **process_tags()}).info.run_id
    foreign = store.create_run("0").info.run_id

    assert repair([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert {line.split()[1] for line in lines[:3]} == set(dead.values())
    assert {line.split()[0] for line in lines[:3]} == {"pair", "endpoint"}
    assert all(f"on {socket.gethostname()}, last heartbeat 2" in line for line in lines[:3])
    assert lines[3] == "3 runs dead; 1 alive and left alone"
    assert lines[5].endswith("-m entry_points.repair --apply true")
    assert statuses(store) == ["RUNNING"] * 5

    assert repair(["--apply=true"]) == 0
    assert capsys.readouterr().out.splitlines()[3] == "3 runs ended as KILLED; 1 alive and left alone"
    for run_id in dead.values():
        run = store.get_run(run_id)
        assert run.info.status == "KILLED"
        assert run.info.end_time is not None
        assert run.data.tags["lmc.error"] == "its process was gone; ended by repair"
    for run_id in (mine, foreign):
        run = store.get_run(run_id)
        assert run.info.status == "RUNNING"
        assert "lmc.error" not in run.data.tags

    assert repair([]) == 0
    assert capsys.readouterr().out == "no run was left RUNNING by a dead process (1 alive)\n"


def test_repair_knows_a_later_process_of_the_same_number_from_the_one_that_died(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = process_tags()
    tags["lmc.process_started"] = f"{float(tags['lmc.process_started']) - 60:.2f}"
    dead = store.create_run("0", tags={"lmc.kind": "path", **tags}).info.run_id
    assert repair(["--apply=true"]) == 0
    assert store.get_run(dead).info.status == "KILLED"


@pytest.mark.parametrize(("heartbeat", "status"), [("2020-01-01T00:00:00+00:00", "KILLED"), (None, "RUNNING")])
def test_repair_judges_a_run_of_another_machine_by_its_heartbeat(
    store: MlflowClient, heartbeat: str | None, status: str
) -> None:
    tags = {**process_tags(), "lmc.host": "another-machine", "lmc.pid": "1"}
    if heartbeat is not None:
        tags["lmc.heartbeat"] = heartbeat
    run_id = store.create_run("0", tags={"lmc.kind": "path", **tags}).info.run_id
    assert repair(["--apply=true"]) == 0
    assert store.get_run(run_id).info.status == status
