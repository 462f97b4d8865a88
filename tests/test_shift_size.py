"""The figure of barriers by the size of the shift, and the page that says whether a shift adds to a barrier."""

from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from paper_frames import paths

from analysis.result_pages import shift
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow.plots import barrier_by_shift_size, missing_command
from lmc_mlflow.plots.over_seeds.barriers.shift_size import kind_of_shift

SEEDS = (1, 20, 100)


def under(name: str, barrier: float, seen: float) -> dict[str, Any]:
    return {"shift": name, "test/barrier_in_basin": barrier, "shift/c2st_accuracy": seen, "shift/label_divergence": 0.0}


def store() -> tuple[pd.DataFrame, pd.DataFrame]:
    walked = paths(
        under("label_5050", 0.05, 0.5),
        under("corrupt_blur_3", 0.4, 0.9),
        under("corrupt_blur_5", 0.05, 1.0),
        seeds=SEEDS,
    )
    walked = walked.assign(**{"test/error_barrier": 0.01})
    logged = ["shift/c2st_accuracy", "shift/label_divergence"]
    pairs = walked[["pair", *logged]].rename(columns={"pair": "run_id"})
    return walked.drop(columns=logged), pairs


def test_a_point_is_a_shift_and_a_colour_its_kind() -> None:
    figure = barrier_by_shift_size(*store())
    left = figure.axes[0]
    blur, halves = (left.containers[number].lines[0] for number in (0, 1))
    assert sorted(blur.get_xdata()) == [0.9, 1.0]
    assert list(halves.get_xdata()) == [0.5]
    assert max(blur.get_ydata()) == pytest.approx(0.4 + 0.001 / 3)
    assert {text.get_text() for text in left.texts} == {"5050", "3", "5"}
    assert [container.get_label() for container in left.containers] == ["corrupt_blur", "label"]
    assert blur.get_color() != halves.get_color()


def test_without_several_shifts_the_figure_names_the_grid() -> None:
    walked, pairs = store()
    one = walked["shift"] == "label_5050"
    for rows in (walked[one], walked.iloc[:0]):
        assert "grid=shift_severity" in missing_command(barrier_by_shift_size(rows, pairs))
    assert "grid=shift_severity" in missing_command(barrier_by_shift_size(walked, pairs[["run_id"]]))


def test_kinds_have_no_number() -> None:
    assert [kind_of_shift(name) for name in ("label_2080", "corrupt_blur_3", "rotate_30", "none")] == [
        "label",
        "corrupt_blur",
        "rotate",
        "none",
    ]


def test_a_shift_adds_to_the_barrier_of_a_sample_if_every_seed_says_so() -> None:
    walked, pairs = store()
    runs = cast(ShippedRuns, SimpleNamespace(paths=walked, frames=SimpleNamespace(pairs=pairs)))
    found = shift.parts(runs)
    table = cast(pd.DataFrame, found["shifts"]).set_index("shift")["more than 50/50 (nats)"]
    assert table["`label_5050`"] == ""
    assert table["`corrupt_blur_3`"] == "adds: +0.35 (+0.35 to +0.35)"
    assert table["`corrupt_blur_5`"].startswith("undecided: ")
    assert "adds to it in 1 of 2, takes away in 0, and is undecided in 1" in str(found["answer"])
    assert "`corrupt_blur_3`" in str(found["answer"])
