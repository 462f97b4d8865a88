"""The batch-norm question has four outcomes, and each follows from all policies and a 50/50 control."""

from typing import Any

import pandas as pd
import pytest
from paper_frames import PATH, frames, paths

from lmc_mlflow.papers.hepburn.batch_norm_question import (
    BASINS,
    NOTHING,
    STATISTICS,
    UNDECIDED,
    Answer,
    answer_batch_norm_question,
    cell_answers,
)
from lmc_mlflow.papers.hepburn.tables import path_table

RESNET: dict[str, Any] = {"model": "resnet10", "batch_size": 1024, "lr": 1e-3}
HOLDS = {"interpolate": 0.01, "recalibrate": 0.01, "nearest": 0.01}
SEEDS = (1, 20, 100)


def measured(shift: str, heights: dict[str, float], **other: Any) -> list[dict[str, Any]]:
    """Paths of ResNet10 under each policy; accuracy is lost in proportion to the barrier."""
    return [
        PATH
        | RESNET
        | {"shift": shift, "bn": bn, "test/barrier": height, "test/barrier_in_basin": height}
        | {"test/accuracy_delta": -height / 10}
        | other
        for bn, height in heights.items()
    ]


def table_of(*rows: dict[str, Any], seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    return path_table(frames(paths(*rows, seeds=seeds)), "table_vii", 2)


def answer(*rows: dict[str, Any], seeds: tuple[int, ...] = SEEDS) -> Answer:
    found = list(cell_answers(table_of(*rows, seeds=seeds)))
    assert len(found) == 8
    (one,) = (answer for answer in found if answer.cell == "cifar10 resnet10 lr 0.001")
    assert {answer.outcome for answer in found if answer is not one} == {UNDECIDED}
    return one


def test_three_policies_without_a_barrier_leave_nothing_to_explain() -> None:
    found = answer(*measured("label_2080", dict.fromkeys(HOLDS, 0.0)), *measured("label_5050", HOLDS))
    assert found.outcome == NOTHING
    assert found.reason.startswith(
        "no barrier under any policy: the printed barrier (3.86 nats, -39.5 points) is not rep"
    )


def test_a_barrier_under_nearest_alone_does_not_reproduce_the_printed_one() -> None:
    found = answer(*measured("label_2080", {"interpolate": 0.05, "recalibrate": 0.01, "nearest": 1.4}))
    assert found.outcome == NOTHING
    assert "when the running statistics are interpolated: the printed barrier" in found.reason
    assert "nearest breaks, 1.40 nats (1.40 to 1.40), -14.0 points, n = 3" in found.reason


BROKEN = {"interpolate": 2.0, "recalibrate": 0.05, "nearest": 3.0}


def test_a_barrier_that_recalibration_removes_is_of_running_statistics_where_the_control_holds() -> None:
    found = answer(*measured("label_2080", BROKEN), *measured("label_5050", HOLDS))
    assert found.outcome == STATISTICS
    assert "interpolate breaks, 2.00 nats" in found.reason
    assert "50/50 holds, 0.01 nats" in found.reason


def test_a_barrier_that_stays_is_of_basins() -> None:
    stays = BROKEN | {"recalibrate": 1.5}
    assert answer(*measured("label_2080", stays), *measured("label_5050", HOLDS)).outcome == BASINS
    found = answer(*measured("label_2080", stays), *measured("label_5050", stays))
    assert found.outcome == BASINS
    assert "the 50/50 control breaks too, so it is not the imbalance" in found.reason


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (measured("label_2080", BROKEN), "control of the same condition is missing"),
        (
            [*measured("label_2080", BROKEN), *measured("label_5050", HOLDS, epochs=200)],
            "control of the same condition is missing",
        ),
        ([*measured("label_2080", BROKEN), *measured("label_5050", BROKEN)], "the 50/50 control breaks"),
        (measured("label_2080", {"interpolate": 2.0, "nearest": 2.0}), "no paths of enough seeds under recalibrate"),
        (measured("label_2080", {"interpolate": 0.1, "recalibrate": 0.0, "nearest": 2.0}), "an interval crosses"),
        (measured("label_2080", HOLDS | {"recalibrate": 2.0}), "only when batch norm is recalibrated"),
    ],
)
def test_what_is_missing_or_crosses_a_threshold_is_undecided(rows: list[dict[str, Any]], why: str) -> None:
    found = answer(*rows)
    assert found.outcome == UNDECIDED
    assert why in found.reason


def test_one_seed_decides_nothing() -> None:
    found = answer(*measured("label_2080", BROKEN), *measured("label_5050", HOLDS), seeds=(1,))
    assert (found.outcome, found.reason) == (
        UNDECIDED,
        "no paths of enough seeds under interpolate and recalibrate and nearest",
    )


def test_the_interval_of_two_seeds_is_a_t_interval() -> None:
    # 0.05 and 0.051: mean 0.0505, 12.7 times 0.0005 either way, so at most 0.057. At 0.098 it reaches 0.105.
    for height, outcome in ((0.05, NOTHING), (0.098, UNDECIDED)):
        rows = measured("label_2080", {"interpolate": height, "recalibrate": 0.0, "nearest": 0.0})
        assert answer(*rows, seeds=(1, 20)).outcome == outcome


def test_a_control_with_other_noise_counts_where_none_has_the_same() -> None:
    low = measured("label_2080", BROKEN, lr=1e-4)
    control = measured("label_5050", HOLDS, lr=1e-4, noise="different")
    found = list(cell_answers(table_of(*low, *control)))
    assert [one.outcome for one in found if one.cell == "cifar10 resnet10 lr 0.0001"] == [STATISTICS]


def test_the_answer_of_the_first_screen_counts_cells_and_says_the_rule() -> None:
    said = answer_batch_norm_question(table_of(*measured("label_2080", BROKEN), *measured("label_5050", HOLDS)))
    assert said.startswith(
        "Of 8 cells: **running statistics** in 1, **undecided** in 7. cifar10 resnet10 lr 0.001: *run"
    )
    assert "No data yet for 7 of them: `mlflow run . --env-manager local -e sweep -P grid=paper_table_vii`." in said
    assert said.endswith("else it is undecided.")
