"""The facts about MLflow on which this project relies still hold, so that an upgrade that changes one is noticed."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException


def test_params_are_write_once_but_the_same_text_may_be_logged_again(store: MlflowClient) -> None:
    run = store.create_run("0").info.run_id
    store.log_param(run, "optimization.lr", "0.001")
    store.log_param(run, "optimization.lr", "0.001")
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        store.log_param(run, "optimization.lr", "1e-3")


def test_the_same_step_logged_at_two_times_is_two_points(store: MlflowClient) -> None:
    run = store.create_run("0").info.run_id
    for timestamp in (1, 1, 2):
        store.log_batch(run, metrics=[Metric("x", 1.0, timestamp, 5)])
    assert len(store.get_metric_history(run, "x")) == 2


def test_run_ids_can_be_searched_by_prefix(store: MlflowClient) -> None:
    run = store.create_run("0").info.run_id
    found = store.search_runs(["0"], f"attributes.run_id LIKE '{run[:8]}%'")
    assert [r.info.run_id for r in found] == [run]


def test_an_ended_run_can_be_reopened(store: MlflowClient) -> None:
    run = store.create_run("0").info.run_id
    store.set_terminated(run, "KILLED")
    store.update_run(run, status="RUNNING")
    assert store.get_run(run).info.status == "RUNNING"


def test_the_client_stops_at_a_page_and_gives_a_token(store: MlflowClient) -> None:
    for _ in range(3):
        store.create_run("0")
    page = store.search_runs(["0"], max_results=2)
    assert len(page) == 2
    assert page.token


def test_the_query_reads_every_page(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmc_mlflow.query import runs

    ids = [store.create_run("0").info.run_id for _ in range(5)]
    monkeypatch.setattr(runs, "PAGE", 2)
    assert [run.info.run_id for run in runs.search(store, "")] == ids


def test_mlflow_itself_keeps_no_checksums(store: MlflowClient, tmp_path: Path) -> None:
    run = store.create_run("0").info.run_id
    store.log_text(run, "a", "x.txt")
    stored = next((tmp_path / "mlruns").rglob("x.txt"))
    stored.write_text("b")
    assert Path(store.download_artifacts(run, "x.txt", str(tmp_path))).read_text() == "b"


FAULTS = """
import resource, sys, torch
from lmc_mlflow.workflows.lifecycle.machine import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(10):  # the heap grows for a few blocks, how many depends on what the imports left free
    torch.empty(2**24).fill_(1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.empty(2**24).fill_(1.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not GNU's C library")
def test_the_c_library_fetches_large_blocks_anew_unless_it_is_asked_to_keep_them() -> None:
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", FAULTS, how], text=True)) for how in ("keep", "default")
    }
    assert faults["default"] > 10 * 2**26 // 2**21  # ten blocks of 64 MiB, in pages of at most 2 MiB
    assert faults["keep"] < faults["default"] / 5
