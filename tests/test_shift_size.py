"""The figure of barriers by the size of the shift."""

from typing import Any

import pandas as pd
import pytest
from paper_frames import paths

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
