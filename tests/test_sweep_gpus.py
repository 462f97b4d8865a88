"""Workers of a sweep are spread over the GPUs that compute, and a GPU that is lost costs one task."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.config.sweep import WorkConfig
from lmc_mlflow.gpus import release_gpu
from lmc_mlflow.sweeps import worker
from lmc_mlflow.sweeps.engines import local, ray, table
from lmc_mlflow.sweeps.engines.table import gpus_to_share, num_workers, worker_runtime
from lmc_mlflow.workers import pool, worker_process
from lmc_mlflow.workers.pool import Leaving

ECHO = """
import os, sys
from multiprocessing.connection import Connection
pipe = Connection(int(sys.argv[1]))
from lmc_mlflow.workers.pool import Leaving
while (task := pipe.recv().args[0]) != "die":
    seen = [os.environ["CUDA_VISIBLE_DEVICES"], os.environ["MLFLOW_EXPERIMENT_ID"]]
    pipe.send(Leaving(seen) if task == "leave" else seen)
    if task == "leave":
        break
"""


def sweep_on(device: str, **work: Any) -> SweepConfig:
    return replace(SweepConfig(), runtime=RuntimeConfig(device=device), work=WorkConfig(**work))


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with eight GPUs, of which the third cannot compute."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(table, "usable_gpus", lambda: [0, 1, 3, 4, 5, 6, 7])
    monkeypatch.setattr(table, "count_gpus", lambda: 8)
    monkeypatch.setattr(table, "num_cores", lambda: 32)


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("device", "processes", "workers", "shared"),
    [
        ("auto", None, 7, ["0", "1", "3", "4", "5", "6", "7"]),
        ("cuda", None, 7, ["0", "1", "3", "4", "5", "6", "7"]),
        ("cuda", 14, 14, ["0", "1", "3", "4", "5", "6", "7"]),
        ("cuda:1", None, 1, []),
        ("cuda:1", 4, 4, []),
        ("cpu", None, 32, []),
    ],
)
def test_there_is_a_process_for_each_gpu_that_computes_unless_more_are_asked_for(
    device: str, processes: int | None, workers: int, shared: list[str]
) -> None:
    config = sweep_on(device, processes=processes)
    assert num_workers(config, 100) == workers
    assert gpus_to_share(config) == shared


@pytest.mark.usefixtures("eight")
def test_gpus_keep_the_names_that_this_process_knows_them_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,6,5,4,3,2,1,0")
    assert gpus_to_share(sweep_on("auto")) == ["7", "6", "4", "3", "2", "1", "0"]


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize("device", ["cuda:2", "cuda:8"])
def test_a_gpu_that_cannot_compute_is_refused_before_anything_starts(device: str) -> None:
    with pytest.raises(ValueError, match=rf"device='{device}': GPUs that compute here: cuda:0, cuda:1, cuda:3, .*"):
        num_workers(sweep_on(device), 4)


def test_workers_are_told_to_use_the_cpu_where_no_gpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "usable_gpus", list)
    monkeypatch.setattr(table, "count_gpus", lambda: 1)
    engine = SimpleNamespace(cores_per_task=2.0)
    assert worker_runtime(sweep_on("auto"), engine).device == "cpu"
    monkeypatch.setattr(table, "count_gpus", lambda: 0)
    assert worker_runtime(sweep_on("auto"), engine).device == "auto"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[local.LocalEngine]:
    """Three workers on two GPUs that answer with what they see."""
    (tmp_path / "echo_environment.py").write_text(ECHO)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(pool, "WORKER_MODULE", "echo_environment")
    engine = local.LocalEngine(3, {"MLFLOW_EXPERIMENT_ID": "7"}, ["4", "6"])
    yield engine
    engine.close()


def answers(engine: local.LocalEngine, *tasks: Any) -> dict[Any, Sequence[str]]:
    """Give the engine tasks at once and wait for all of them: task -> outcomes, or why there are none."""
    for task in tasks:
        engine.submit(task)
    told: dict[Any, Any] = {}
    while len(told) < len(tasks):
        told |= {result.task: result.outcomes or result.why for result in engine.finished(1.0)}
    return told


def test_workers_are_spread_over_the_gpus_and_this_process_keeps_its_environment(engine: local.LocalEngine) -> None:
    before = dict(os.environ)
    assert answers(engine, 0, 1, 2) == {0: ["4", "7"], 1: ["6", "7"], 2: ["4", "7"]}
    assert dict(os.environ) == before


def test_a_new_worker_takes_the_gpu_of_the_one_that_died(engine: local.LocalEngine) -> None:
    found = answers(engine, 0, "die", 2)
    assert "left with status 0" in found["die"]
    assert answers(engine, 3, 4, 5) == {3: ["4", "7"], 4: ["4", "7"], 5: ["6", "7"]}


def test_a_worker_that_has_lost_its_gpu_answers_leaves_and_is_replaced(engine: local.LocalEngine) -> None:
    assert answers(engine, "leave", 1) == {"leave": ["4", "7"], 1: ["6", "7"]}
    assert answers(engine, 2, 3) == {2: ["6", "7"], 3: ["4", "7"]}


def test_after_an_error_that_stays_with_cuda_a_worker_answers_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = Pipe()
    monkeypatch.setattr(worker, "compute", lambda task: [f"outcome of {task}"])
    healthy = iter([True, False])
    monkeypatch.setattr(worker, "release_gpu", lambda: next(healthy))
    monkeypatch.setattr(worker_process.signal, "signal", lambda *_: None)
    for task in ("first", "second", "third"):
        ours.send(partial(worker.compute_and_release, task))
    worker_process.serve(theirs)
    assert [ours.recv(), ours.recv()] == [["outcome of first"], Leaving(["outcome of second"])]
    assert not ours.poll()


@pytest.mark.parametrize(("fault", "usable"), [(None, True), (RuntimeError("CUDA error: an illegal memory"), False)])
def test_cached_memory_is_given_back_and_a_lost_gpu_is_noticed(
    monkeypatch: pytest.MonkeyPatch, fault: RuntimeError | None, usable: bool
) -> None:
    done = []

    def synchronize() -> None:
        done.append("wait")
        if fault is not None:
            raise fault

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("empty"))
    assert release_gpu() is usable
    assert done == (["wait", "empty"] if usable else ["wait"])


@pytest.mark.parametrize(
    ("gpus", "share", "device", "refused"),
    [
        (8, 0.0, "auto", True),
        (8, 0.0, "cuda", True),
        (8, 0.0, "cpu", False),
        (8, 0.5, "auto", False),
        (0, 0.0, "auto", False),
    ],
)
def test_jobs_without_a_share_of_a_ray_cluster_s_gpus_are_refused(
    gpus: int, share: float, device: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SimpleNamespace(total=lambda what: {"CPU": 4.0, "GPU": float(gpus)}[what], close=lambda: None)
    monkeypatch.setattr(ray, "RayPool", lambda *_: pool)
    config = WorkConfig(engine="ray", gpus_per_job=share)
    if not refused:
        ray.RayEngine(config, {}, device)
        return
    with pytest.raises(ValueError, match=r"gpus_per_job=0: the cluster has 8 GPUs; .* gpus_per_job=1, or device=cpu"):
        ray.RayEngine(config, {}, device)
