"""Benchmarks time the work alone, with the same products and a memory peak for every way."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import ROOT

from benchmarks import matching_cost, rounds, training
from benchmarks.gpu import correctness
from benchmarks.gpu.__main__ import SECTIONS
from benchmarks.gpu.__main__ import main as check_gpu
from benchmarks.rounds import Times, alternate, alternate_prepared, columns
from lmc_mlflow.precision import _roundings, products

CUDA = torch.device("cuda")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until it is called with the seconds that pass."""
    now = [0.0]
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def test_the_clock_starts_after_a_way_is_prepared(clock: Callable[[float], None]) -> None:
    def prepare() -> Callable[[], None]:
        clock(100.0)
        return lambda: clock(2.0)

    times = alternate_prepared({"ours": prepare}, num_rounds=3)
    assert times["ours"].seconds == (2.0, 2.0, 2.0)
    assert alternate({"ours": lambda: clock(3.0)}, num_rounds=1)["ours"].seconds == (3.0,)


def test_engines_are_built_before_the_clock_starts(
    monkeypatch: pytest.MonkeyPatch, clock: Callable[[float], None]
) -> None:
    choose = training.choose_engine

    def slow(*arguments):
        clock(1000.0)
        return choose(*arguments)

    monkeypatch.setattr(training, "choose_engine", slow)
    case = training.Case("small", "mlp_l1_w4", (1, 4, 4), 8, False, 16, 8)
    work = training.Workload(case, torch.device("cpu"))
    ways = {"usual": work.usual, "exact": work.ours("exact"), "fast": work.ours("fast")}
    assert {times.seconds for times in alternate_prepared(ways, 1, warm_up=False).values()} == {(0.0,)}
    assert work.largest_difference("exact") == 0
    assert work.largest_difference("fast") < 1e-5


def test_each_way_has_a_memory_peak_of_its_own_and_the_device_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    peak, done = [0], []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: done.append("wait"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: peak.__setitem__(0, 0))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: peak[0])

    def holding(gib: int) -> Callable[[], None]:
        def work() -> None:
            done.append("work")
            peak[0] = max(peak[0], gib * 2**30)

        return work

    times = alternate({"large": holding(4), "small": holding(1)}, num_rounds=2, warm_up=False, device=CUDA)
    assert (times["large"].peak_gib, times["small"].peak_gib) == (4.0, 1.0)
    assert done == ["wait", "work", "wait"] * 4
    cells = columns("small", times["large"], Times((0.5,), times["small"].peak_gib), 0.0, CUDA)
    assert (cells["small: seconds"], cells["small: peak GiB"]) == (0.5, 1.0)


def test_all_ways_compute_in_float32(clock: Callable[[float], None]) -> None:
    seen = []
    with products("tf32"):
        alternate({name: lambda: seen.append(set(_roundings())) for name in ("usual", "ours")}, num_rounds=1)
    assert seen == [{"ieee"}] * 4


@pytest.mark.gpu
def test_a_training_is_timed_on_a_gpu() -> None:
    case = training.Case("small", "mlp_l1_w4", (1, 4, 4), 8, False, 16, 8)
    (row,) = training.measure(CUDA, [case], num_rounds=1)
    assert row["fast: largest difference"] < 1e-4
    assert row["fast: peak GiB"] > 0


def test_the_cost_of_matching_is_given_over_that_of_what_it_must_do() -> None:
    matched, derived = matching_cost.measure({"test_efficientnet": True, "test_byobnet": False}, 64)
    assert min(matched["over a forward pass"], matched["over the bare assignments"]) > 0
    assert matched["less than 10 s"] is (matched["derivation: seconds"] < 10)
    assert derived["matching: seconds"] == ""


IN_PROCESS = ("device", "captures", "options", "agreement", "paths", "counts", "engines", "policies", "memory")


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the small checks; the exit status and the rows."""
    status = check_gpu(["--small", *arguments])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_checks_of_a_gpu_can_be_tried_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = checked(capsys, "--device=cpu", *IN_PROCESS)
    assert [row for row in rows if not row.get("holds", True)] == []
    assert status == 0
    assert {row["section"] for row in rows if "section_s" in row} == set(IN_PROCESS)


@pytest.mark.gpu
def test_what_the_checks_ask_of_a_gpu_holds(capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = checked(capsys, *IN_PROCESS)
    assert [row for row in rows if not row.get("holds", True)] == []
    assert status == 0
    assert all(row["engine"] == "fast" for row in rows if "fast_to_exact" in row)
    assert "engine=fast on cuda:1" in {row.get("what") for row in rows} or torch.cuda.device_count() < 2


def test_a_check_beyond_its_limit_or_with_an_error_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(correctness, "FAST_LIMIT", 0.0)
    monkeypatch.setattr(correctness, "measure_path", lambda *_, **__: 1 / 0)
    status, rows = checked(capsys, "--device=cpu", "captures", "paths")
    assert status == 1
    assert {row["case"]: row["holds"] for row in rows if "case" in row}["L1"] is False
    assert next(row for row in rows if "failed" in row)["failed"] == "division by zero"
    assert "section_s" in rows[-1]


def test_every_check_is_named_in_the_docs() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert [name for name in SECTIONS if f"`{name}`" not in page] == []
