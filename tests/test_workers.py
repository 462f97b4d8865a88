"""Tasks that are spread over worker processes are computed once each, whatever dies."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from conftest import ROOT
from measuring_tasks import Squares, prepare

from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.workers.shared_file import LARGE, read_shared, write_shared
from lmc_mlflow.workers.spread import Here, Workers, in_order, spread_over_processes

TWO = (RuntimeConfig(device="cpu"), RuntimeConfig(device="cpu", threads=1))
NUMBERS = range(6)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Squares:
    return Squares(tmp_path_factory.mktemp("marks"), torch.arange(6))


@pytest.fixture(scope="module")
def two(squares: Squares) -> Iterator[Workers[Squares]]:
    with spread_over_processes(squares, prepare, TWO) as workers:
        yield workers


def test_two_processes_share_the_tasks_and_a_slow_task_does_not_hold_up_the_others(two, squares: Squares) -> None:
    list(two.map(Squares.square, NUMBERS))  # both have started
    found = list(two.map(Squares.slow_square, NUMBERS))
    assert in_order((i, square) for i, (square, _) in found) == [0, 1, 4, 9, 16, 25]
    assert found[-1][0] == 0  # in the order in which they end
    by_process = [process for _, (_, process) in found]
    assert sorted(by_process.count(process) for process in set(by_process)) == [1, 5]
    assert os.getpid() not in by_process
    assert len(list(squares.folder.glob("loaded *"))) == 2  # once in each process
    assert in_order(Here(squares).map(Squares.square, NUMBERS))[3] == (9, os.getpid())


def test_a_process_that_dies_costs_its_own_task_once(two, caplog: pytest.LogCaptureFixture) -> None:
    found = in_order(two.map(Squares.dies_once, NUMBERS))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16, 25]
    (line,) = caplog.messages
    assert line.startswith("dies_once 3 of 6 is computed again: its worker process ")
    assert line.endswith("was killed by SIGKILL")


def test_a_task_that_ends_two_processes_ends_the_work_with_one_line(two, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ChildProcessError, match=r"^dies 3 of 6 has failed twice: its worker process \d+ was killed"):
        in_order(two.map(Squares.dies, NUMBERS))
    assert len(caplog.messages) == 1


def test_what_a_method_raises_is_raised_here_with_the_place_where_it_was(squares: Squares) -> None:
    with (
        spread_over_processes(squares, prepare, TWO[:1]) as workers,
        pytest.raises(ValueError, match=r"in worker process \d+:\n(.*\n)*.*measuring_tasks.py") as caught,
    ):
        in_order(workers.map(Squares.raises, NUMBERS))
    assert str(caught.value) == "number 2 is refused"


def test_warnings_of_a_worker_are_told_unless_the_command_is_quiet_and_its_writes_are_its_own(
    squares: Squares, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    for level, told in ((logging.WARNING, ["WARNING a.worker: number 4 is large"]), (logging.ERROR, [])):
        before = root.level
        root.setLevel(level)
        try:
            with spread_over_processes(squares, prepare, TWO[:1]) as workers:
                assert in_order(workers.map(Squares.warns_and_writes, [4])) == [-1]
        finally:
            root.setLevel(before)
        assert capfd.readouterr().err.splitlines() == told
    assert squares.numbers[4] == 4


def test_arrays_and_tensors_are_mapped_and_equal(tmp_path: Path) -> None:
    array = np.arange(LARGE, dtype=np.uint8).reshape(2, -1)
    write_shared({"array": array, "tensor": torch.arange(5.0), "small": array[:, :3], "text": "x"}, tmp_path / "file")
    found = read_shared(tmp_path / "file")
    assert found["array"].dtype == np.uint8
    assert (found["array"] == array).all()
    assert (found["small"] == array[:, :3]).all()
    assert found["tensor"].tolist() == [0, 1, 2, 3, 4]
    in_maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path / "file") in line]
    address = found["array"].ctypes.data
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in in_maps]
    assert any(low <= address < high for low, high in ranges)  # and not copied into the memory of the process
    again = read_shared(np.fromfile(tmp_path / "file", dtype=np.uint8))
    assert (again["array"] == array).all()


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    code = (
        "import sys, torch\nfrom pathlib import Path\nfrom measuring_tasks import Squares, prepare\n"
        "from lmc_mlflow.config.runtime import RuntimeConfig\n"
        "from lmc_mlflow.workers.spread import spread_over_processes\n"
        "squares = Squares(Path(sys.argv[1]), torch.arange(6))\n"
        "with spread_over_processes(squares, prepare, [RuntimeConfig(device='cpu')] * 2) as workers:\n"
        "    list(workers.map(Squares.waits, range(2)))\n"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    started = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(marks := list(tmp_path.glob("waits *"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(marks) == 2
    started.send_signal(signal.SIGKILL)
    started.wait()
    workers = [int(mark.name.split()[1]) for mark in marks]
    while any(map(psutil.pid_exists, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, workers))
