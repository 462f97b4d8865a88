"""A sweep skips, resumes, joins, retries and stops as documented, and does nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import ROOT, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run

from entry_points.repair import main as repair
from entry_points.sweep import main as sweep
from entry_points.train_pair import main as train_pair
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.sweeps.grid_file import read_grid
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.locks import (
    LockedError,
    acquire,
    find_locks,
    release,
    stale_locks,
)
from lmc_mlflow.tracking.processes.process import is_alive, process_tags, working_on

SMALL = """
seeds: [1, 2]
defaults: {model: mlp_l1_w8, epochs: 2, c2st_samples: 0}
then:
  - interpolate: {num_alphas: 3, splits: test}
  - ensemble: {sampling: lmc, num_alphas: 3, num_resamples: 0}
  - ensemble: {sampling: seeds, side: A, num_resamples: 0}
cells:
  - shift: [label_5050, label_2080]
"""
LONG = """
seeds: [1, 2]
defaults: {model: mlp_l1_w8, epochs: 40, batch_size: 16, c2st_samples: 0, checkpoint_every: 5}
then:
  - interpolate: {num_alphas: 3, splits: test}
cells:
  - shift: [label_5050, label_2080]
"""
HERE = ("--device=cpu", "--threads=1")
ONE = (*HERE, "--processes=1")
PATIENCE = 240.0


def flags(grid: str, *more: str) -> list[str]:
    """Flags of a sweep over a grid written into the working directory."""
    Path("mine.yaml").write_text(grid)
    return ["--grid=mine.yaml", *ONE, *more]


@contextmanager
def process(name: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """An entry point in a process of its own, which does not outlive the block."""
    started = subprocess.Popen(
        [sys.executable, "-m", f"entry_points.{name}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


def wait_for(started: subprocess.Popen[str], reached) -> None:
    """Wait until something is so, as long as the process lives."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if reached():
            return
        assert started.poll() is None, started.communicate()
        time.sleep(0.05)
    pytest.fail("it did not come so far")


def training(client: MlflowClient) -> list[Run]:
    """Pairs in training that have an epoch behind them."""
    running = [run for run in runs_of_kind(client, "pair") if run.info.status == "RUNNING"]
    return [run for run in running if "train/loss" in run.data.metrics]


def statuses(client: MlflowClient, kind: str) -> Counter:
    return Counter(run.info.status for run in runs_of_kind(client, kind))


def only_sweep(client: MlflowClient) -> Run:
    (run,) = runs_of_kind(client, "sweep")
    return run


def assert_whole(client: MlflowClient, cells: int, steps: dict[str, int]) -> None:
    """Every cell once, every step once, all FINISHED below the one sweep, and no lock left."""
    parent = only_sweep(client)
    assert statuses(client, "sweep") == {"FINISHED": 1}
    assert parent.data.metrics["cells/finished"] == parent.data.metrics["cells/total"] == cells
    assert parent.data.metrics["cells/failed"] == 0
    pairs = runs_of_kind(client, "pair")
    assert Counter(run.info.status for run in pairs) == {"FINISHED": cells}
    assert len({run.data.tags["lmc.fingerprint"] for run in pairs}) == cells
    for kind, number in steps.items():
        assert statuses(client, kind) == {"FINISHED": number}
        assert {run.data.tags["mlflow.parentRunId"] for run in runs_of_kind(client, kind)} == {parent.info.run_id}
    assert find_locks(open_store()) == []


@pytest.mark.slow
def test_a_sweep_makes_every_cell_and_a_second_one_has_nothing_to_do(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(flags(SMALL)) == 0
    out = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("finished ") for line in out) == 4 + 2
    table = [line.split() for line in out if line.startswith("  digits ")]
    assert sum(int(cells) for *_, cells, _finished, _at_work in table) == 4
    assert all((finished, at_work) == (cells, "0") for *_, cells, finished, at_work in table)
    assert_whole(store, 4, {"pair": 4, "path": 4, "ensemble": 4 + 2})
    run = only_sweep(store)
    first = run.data.tags["mlflow.note.content"].splitlines()[0]
    assert first == "**4 of 4 cells finished, 2 of 2 ensembles of seeds; 0 at work, 0 failed**"
    assert "| digits mlp_l1_w8 label_2080 | 3 of 3 | 0 |  |" in run.data.tags["mlflow.note.content"]
    folder = Path(run.info.artifact_uri)
    assert {row["state"] for row in json.loads((folder / "cells.json").read_text())} == {"finished"}
    assert set(json.loads((folder / "manifest.json").read_text())["sha256"]) >= {"grid.yaml", "cells.json"}
    grid = read_grid(str(folder / "grid.yaml"), {}, (), ())
    assert run.data.tags["lmc.grid_digest"] == grid.digest
    seeds = [run for run in runs_of_kind(store, "ensemble") if run.data.tags["lmc.sampling"] == "seeds"]
    assert [run.data.metrics["num_members"] for run in seeds] == [2, 2]

    before = len(store.search_runs(["0"]))
    assert sweep(flags(SMALL)) == 0
    assert capsys.readouterr().out.startswith("grid mine: all 4 cells finished before; nothing to do\n")
    assert len(store.search_runs(["0"])) == before


@pytest.mark.slow
def test_what_is_in_the_store_is_skipped_and_only_what_is_missing_is_made(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = ["--model=mlp_l1_w8", "--epochs=2", "--c2st_samples=0", "--shift=label_2080", "--seed=2", *HERE]
    assert train_pair(alone) == 0
    (mine,) = runs_of_kind(store, "pair")
    small = SMALL.replace("  - ensemble: {sampling: seeds, side: A, num_resamples: 0}\n", "")
    assert sweep(flags(small, "--only=shift=label_2080")) == 0
    pairs = runs_of_kind(store, "pair")
    assert len(pairs) == 2
    parent = only_sweep(store).info.run_id
    assert [run.data.tags.get("mlflow.parentRunId") for run in pairs] == [None, parent]
    assert {run.data.tags["lmc.pair"] for run in runs_of_kind(store, "path")} == {run.info.run_id for run in pairs}

    deleted = runs_of_kind(store, "path")[0].info.run_id
    store.delete_run(deleted)
    assert sweep(flags(small, "--only=shift=label_2080")) == 0
    assert len(runs_of_kind(store, "pair")) == 2
    assert len(runs_of_kind(store, "path")) == 2
    assert len(runs_of_kind(store, "ensemble")) == 2
    assert mine.info.run_id in {run.info.run_id for run in runs_of_kind(store, "pair")}


def test_a_dry_run_tells_states_and_times_and_logs_nothing(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = ["--model=mlp_l1_w8", "--epochs=2", "--c2st_samples=0", "--seed=2", *HERE]
    assert train_pair(alone) == 0
    (pair,) = runs_of_kind(store, "pair")
    store.log_metric(pair.info.run_id, "cost/train_seconds", 8.0)  # 4 s an epoch
    capsys.readouterr()
    before = len(store.search_runs(["0"]))
    grid = "{seeds: [1, 2], defaults: {model: mlp_l1_w8}, cells: [{epochs: [2, 50]}, {lr: 0.1, model: mlp_l1_w9}]}"
    assert sweep(flags(grid, "--dry_run=true", "--processes=2")) == 0
    *lines, step = capsys.readouterr().out.splitlines()
    assert lines == [
        "grid mine: ",
        "6 cells: 1 finished, 5 to do",
        "  data set and network  cells  finished                               left",
        "  digits mlp_l1_w8          4         1          about 3 min for 2 workers",
        "  digits mlp_l1_w9          2         0  unknown: no finished cell like it",
        "left: about 3 min for 2 workers, and 2 cells unknown: no finished cell like it",  # (8 + 200 + 200) s / 2
        "next: run it",
    ]
    assert " -m entry_points.sweep --grid " in step
    assert "--processes 2" in step
    assert "--dry_run" not in step
    assert len(store.search_runs(["0"])) == before


def test_a_dry_run_of_the_largest_grid_takes_ten_lines(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(["--grid=paper_table_vi", "--dry_run=true", "--data_root=/nowhere"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 10
    assert "left: unknown: no finished cell like it" in lines


@pytest.mark.slow
def test_a_cell_that_fails_is_reported_and_tried_again_and_stops_no_other(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = """
seeds: [1, 2]
defaults: {model: mlp_l1_w8, epochs: 2, c2st_samples: 0}
cells:
  - {optimizer: sgd, lr: 1.0e+30}
  - {optimizer: adam}
"""
    assert sweep(flags(grid, "--retries=1")) == 1
    printed = capsys.readouterr()
    assert "failed digits mlp_l1_w8 label_5050 optimizer=sgd lr=1e+30 seed 1: " in printed.out
    assert printed.err.startswith("sweep: 2 cells of 4 failed; the first: digits mlp_l1_w8 label_5050 optimizer=sgd")
    assert printed.err.rstrip().endswith("the same command tries them again")
    assert statuses(store, "pair") == {"FINISHED": 2, "FAILED": 2}  # tried again under the same ids
    run = only_sweep(store)
    assert run.info.status == "FAILED"
    assert run.data.metrics["cells/failed"] == run.data.metrics["cells/finished"] == 2
    assert "| 0 of 2 | 0 | seed 1: " in run.data.tags["mlflow.note.content"]
    assert find_locks(open_store()) == []
    capsys.readouterr()
    assert sweep(flags(grid, "--dry_run=true")) == 0
    assert "4 cells: 2 finished, 2 failed" in capsys.readouterr().out
    assert sweep(flags(grid)) == 1
    assert only_sweep(store).info.run_id == run.info.run_id  # the sweep's run goes on too


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_sweep_that_is_stopped_ends_truthfully_and_the_same_command_goes_on_under_the_same_ids(
    store: MlflowClient, number: signal.Signals
) -> None:
    with process("sweep", flags(LONG)) as running:
        wait_for(running, lambda: training(store))
        stopped = runs_of_kind(store, "pair")
        running.send_signal(number)
        _, said = running.communicate(timeout=PATIENCE)
    if number == signal.SIGTERM:
        assert running.returncode == 130
        assert said.splitlines()[-1] == "sweep: stopped; give the same command again to go on"
        assert statuses(store, "sweep") == {"KILLED": 1}
        assert find_locks(open_store()) == []
    wait_until_gone(store)
    assert statuses(store, "pair") == {"KILLED": len(stopped)}
    before = only_sweep(store)
    assert sweep(flags(LONG, "--override=epochs=40")) == 0  # an override that changes nothing is the same grid
    assert only_sweep(store).info.run_id == before.info.run_id
    assert {run.info.run_id for run in stopped} <= {run.info.run_id for run in runs_of_kind(store, "pair")}
    assert_whole(store, 4, {"pair": 4, "path": 4})


def wait_until_gone(client: MlflowClient) -> None:
    """Workers that lost their sweep end their runs themselves; give them time."""
    deadline = time.monotonic() + 60
    while statuses(client, "pair")["RUNNING"] and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.slow
def test_a_sweep_on_ray_that_is_stopped_ends_its_runs_truthfully(store: MlflowClient) -> None:
    pytest.importorskip("ray")
    Path("mine.yaml").write_text(LONG)
    with process("sweep", ["--grid=mine.yaml", "--engine=ray", *HERE]) as running:
        wait_for(running, lambda: training(store))
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, said
    assert statuses(store, "sweep") == {"KILLED": 1}
    assert set(statuses(store, "pair")) == {"KILLED"}
    assert {run.data.tags["lmc.error"] for run in runs_of_kind(store, "pair")} == {"stopped by Ctrl-C"}
    assert find_locks(open_store()) == []


@pytest.mark.slow
def test_a_second_sweep_joins_in_and_nothing_is_done_twice(store: MlflowClient) -> None:
    one_by_one = flags(LONG.replace("epochs: 40", "epochs: 100"), "--seeds_together=1")
    with process("sweep", one_by_one) as first:
        wait_for(first, lambda: training(store))
        with process("sweep", one_by_one) as second:
            wait_for(second, lambda: len({run.data.tags["lmc.pid"] for run in training(store)}) == 2)
            said = [running.communicate(timeout=PATIENCE) for running in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    assert_whole(store, 4, {"pair": 4, "path": 4})
    told = [out.count("finished digits") for out, _ in said]
    assert told[0] == 4  # the first waits for the second's
    assert told[1] >= 1


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_its_own_cells_only(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    with process("sweep", flags(LONG, "--seeds_together=1")) as running:
        wait_for(running, lambda: training(store))
        (victim,) = training(store)
        os.kill(int(victim.data.tags["lmc.pid"]), signal.SIGKILL)
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 1
    assert "was killed by SIGKILL" in err
    assert statuses(store, "pair") == {"KILLED": 1, "FINISHED": 3}
    assert find_locks(open_store()) == []
    assert out.count("finished digits") == 3
    assert sweep(flags(LONG, "--seeds_together=1")) == 0
    assert_whole(store, 4, {"pair": 4, "path": 4})
    assert victim.info.run_id in {run.info.run_id for run in runs_of_kind(store, "pair")}


@pytest.mark.slow
def test_processes_that_start_the_same_training_at_once_train_it_once(store: MlflowClient) -> None:
    arguments = ["--model=mlp_l1_w8", "--epochs=40", "--batch_size=16", "--c2st_samples=0", *HERE]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "entry_points.train_pair", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(4)
    ]
    said = [running.communicate(timeout=PATIENCE) for running in started]
    assert statuses(store, "pair") == {"FINISHED": 1}
    trained = [out for out, _ in said if "(trained)" in out]
    others = [out + err for out, err in said if "(trained)" not in out]
    assert len(trained) == 1
    assert all("is at work on this configuration now (process" in o or "finished before" in o for o in others), others


def test_a_sweep_that_died_after_its_last_cell_is_ended_by_the_next(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = "{seeds: [3], cells: [{model: mlp_l1_w8, epochs: 1, c2st_samples: 0}]}"
    assert sweep(flags(grid)) == 0
    run = only_sweep(store)
    store.update_run(run.info.run_id, status="RUNNING")
    store.set_tag(run.info.run_id, "lmc.process_started", "1.00")  # its process is gone
    before = len(store.search_runs(["0"]))
    capsys.readouterr()
    assert sweep(flags(grid)) == 0
    assert f"sweep {run.info.run_id}: 1 of 1 cell finished" in capsys.readouterr().out
    assert only_sweep(store).info.status == "FINISHED"
    assert len(store.search_runs(["0"])) == before


def test_a_lock_is_refused_while_its_process_lives_and_followed_by_another_once_it_is_dead(
    store: MlflowClient,
) -> None:
    opened = open_store()
    mine = acquire(opened, "work")
    with pytest.raises(LockedError, match=f"work is being worked on now .process {os.getpid()} on "):
        acquire(opened, "work")
    acquire(opened, "other-work")
    store.set_registered_model_tag(mine.name, "lmc.process_started", "1.00")  # its process is gone
    assert [lock.name for lock in stale_locks(opened)] == [mine.name]
    second = acquire(opened, "work")
    assert [lock.generation for lock in find_locks(opened, "work")] == [0, 1]
    release(opened, "work", second)
    assert find_locks(opened, "work") == []
    assert [lock.name for lock in find_locks(opened)] == ["lmc-claim-other-work-0"]


def test_repair_removes_the_locks_of_dead_processes(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    opened = open_store()
    dead, alive = acquire(opened, "a"), acquire(opened, "b")
    store.set_registered_model_tag(dead.name, "lmc.process_started", "1.00")
    assert repair([]) == 0
    assert len(find_locks(opened)) == 2
    assert repair(["--apply=true"]) == 0
    assert [lock.name for lock in find_locks(opened)] == [alive.name]


def test_an_earlier_process_of_ones_own_task_is_dead_even_on_another_machine() -> None:
    with working_on("task-1"):
        before = {**process_tags(), "lmc.host": "another-machine", "lmc.pid": "1"}
        assert before["lmc.task"] == "task-1"
        assert not is_alive(before, 30)
        assert is_alive(process_tags(), 30)
    with working_on("task-2"):
        assert is_alive(before, 30)  # another task's: its heartbeat is young


def test_the_weights_of_a_sweep_are_those_of_train_pair(store: MlflowClient) -> None:
    grid = "{seeds: [3], cells: [{model: mlp_l1_w8, epochs: 1, c2st_samples: 0}]}"
    assert sweep(flags(grid)) == 0
    assert train_pair(["--model=mlp_l1_w8", "--epochs=1", "--c2st_samples=0", "--seed=3", "--force=true", *HERE]) == 0
    ends = [run.info.run_id for run in runs_of_kind(store, "endpoint") if run.data.tags["lmc.side"] == "B"]
    swept, alone = (load_network(store, run_id).state for run_id in ends)
    assert all(torch.equal(swept[name], alone[name]) for name in swept)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid=quickstrat"], "grid 'quickstrat' is unknown (did you mean 'quickstart'?); choose from "),
        (["--gird=quickstart"], "flag '--gird' is unknown (did you mean '--grid'?)"),
        (["--only=model=resnet10"], "grid quickstart: only=model=resnet10: none of its 4 cells is so"),
        (["--override=shfit=none"], "override: parameter 'shfit' is unknown (did you mean 'shift'?)"),
        (["--override=epochs=0"], "grid quickstart: cell 1 (shift=label_5050): epochs=0: must be at least 1"),
        (["--engine=slurm"], "engine 'slurm' is unknown; choose from local, ray"),
        (["--address=auto"], "address, cpus_per_job and gpus_per_job belong to engine=ray; leave them out"),
        (["--engine=ray", "--processes=2"], "processes belongs to engine=local"),
        (["--override=dataset=npz", "--data_root=nowhere"], "grid quickstart, npz mlp_l1_w64 label_5050: "),
        (["--override=model=vgg11"], "grid quickstart, digits vgg11 label_5050: model 'vgg11' cannot take images of"),
    ],
)
def test_a_sweep_that_cannot_be_answers_in_one_line_before_any_run(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert sweep([*arguments, "--device=cpu"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert message in printed.err
    assert store.search_runs(["0"]) == []
    assert store.search_registered_models() == []
