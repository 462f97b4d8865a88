"""Benchmarks time the work alone, with the same products and a memory peak for every way."""

from collections.abc import Callable

import pytest
import torch

from benchmarks import rounds, training
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
