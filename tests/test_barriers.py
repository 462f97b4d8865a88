"""Every definition of a barrier gives the values of hand-worked paths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc_mlflow.paths.barriers import (
    PathSummary,
    alpha_grid,
    barrier,
    barrier_in_basin,
    barrier_over_chord,
    connected,
    connected_by_error,
    judge,
    summarize,
    summarize_rows,
)

ALPHAS = np.linspace(0, 1, 5)
# name: losses at alpha 0, 1/4, 1/2, 3/4, 1; barrier; over the chord; in the basin; alpha at the barrier
HAND_WORKED = {
    "a parabola has no barrier": ([1, 0.25, 0, 0.25, 1], 0, 0, 0, 0.5),
    "a monotone line is half its drop above the mean of its ends": ([0, 0.25, 0.5, 0.75, 1], 0.5, 0, 0, 0.0),
    "a W hides its barrier below its ends": ([1, 0, 0.5, 0, 1], 0, 0, 0.5, 0.5),
    "a lopsided W is measured from the mean of its minima": ([1, 0.2, 0.8, 0.4, 0.9], 0.05, 0, 0.5, 0.5),
    "an M is as high as its humps": ([0, 1, 0.5, 1, 0], 1, 1, 1, 0.25),
    "a plateau is flat": ([2, 2, 2, 2, 2], 0, 0, 0, 0.0),
    "a hump on a slope is lower over the chord than over the mean": ([0, 0, 0.9, 0.5, 1], 0.5, 0.4, 0.65, 0.5),
}


@pytest.mark.parametrize("name", HAND_WORKED)
def test_hand_worked_barriers(name: str) -> None:
    losses, over_mean, over_chord, in_basin, alpha = HAND_WORKED[name]
    curve = np.array(losses, dtype=float)
    basin = barrier_in_basin(curve)
    assert barrier(curve) == pytest.approx(over_mean)
    assert barrier_over_chord(ALPHAS, curve) == pytest.approx(over_chord, abs=1e-12)
    assert basin.height == pytest.approx(in_basin)
    assert ALPHAS[basin.top] == alpha


def test_a_barrier_in_a_basin_names_the_minima_beside_it() -> None:
    basin = barrier_in_basin(np.array([1, 0.2, 0.8, 0.4, 0.9]))
    assert (basin.left, basin.top, basin.right) == (1, 2, 3)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("losses", [[0.1, 5, NAN, 5, 0.1], [NAN] * 5, [INF, 1, 1, 1, 1], [0.1, 1, INF, 1, 0.1]])
def test_a_path_with_a_loss_that_is_no_number_is_never_connected(losses: list[float]) -> None:
    curve, accuracies = np.array(losses), np.full(5, 0.9)
    summary = summarize(ALPHAS, curve, accuracies, accuracies)
    assert not np.isfinite(summary.barrier_in_basin)
    assert connected({"test": summary}, barrier_threshold=0.1, accuracy_delta_threshold=-0.06) == "no"
    assert connected({"test": _summary(0, 0), "train_a": summary}, 0.1, -0.06) == "apparent"


def test_a_network_whose_loss_is_no_number_has_no_accuracy() -> None:
    summary = summarize(ALPHAS, np.array([0.1, 5, NAN, 5, 0.1]), np.full(5, 0.9), np.full(5, 0.9))
    assert np.isnan(summary.accuracy_delta)
    assert connected_by_error({"test": summary.error_barrier}, 0.02) == "no"


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, NAN, INF]), min_size=6, max_size=6), min_size=1))
def test_many_paths_at_once_are_summarized_as_one_by_one(rows: list[list[float]]) -> None:
    losses = np.array(rows)
    accuracies, alphas = np.nan_to_num(losses[:, ::-1], posinf=0) / 2, np.linspace(0, 1, 6)
    together = summarize_rows(alphas, losses, accuracies, accuracies)
    for i in range(len(rows)):
        alone = summarize(alphas, losses[i], accuracies[i], accuracies[i])
        for name, values in together.items():
            np.testing.assert_equal(values[i], getattr(alone, name))


def test_the_accuracy_delta_is_taken_at_the_barrier_and_the_worst_one_anywhere() -> None:
    losses = np.array([0.5, 1, 2, 1, 0.5])
    accuracies = np.array([0.9, 0.6, 0.7, 0.8, 0.8])
    summary = summarize(ALPHAS, losses, accuracies, test_accuracies=np.array([0.5, 0, 0, 0, 0.3]))
    assert summary.alpha_at_barrier == 0.5
    assert summary.accuracy_delta == pytest.approx(0.7 - 0.85)
    assert summary.min_accuracy_delta == pytest.approx(0.6 - 0.85)
    assert summary.error_barrier == pytest.approx(0.4 - 0.15)
    assert summary.error_barrier_normalized == pytest.approx(0.25 / 0.4)  # by the mean of the test accuracies' ends


@pytest.mark.parametrize(
    ("num_alphas", "expected"),
    [(2, [0, 0.5, 1]), (3, [0, 0.5, 1]), (4, [0, 1 / 3, 0.5, 2 / 3, 1]), (5, [0, 0.25, 0.5, 0.75, 1])],
)
def test_the_grid_always_holds_both_ends_and_the_middle(num_alphas: int, expected: list[float]) -> None:
    assert alpha_grid(num_alphas) == pytest.approx(expected)


@pytest.mark.parametrize("num_alphas", [2, 11, 20, 21, 500, 501])
def test_every_alpha_has_an_integer_step_of_its_own(num_alphas: int) -> None:
    alphas = alpha_grid(num_alphas)
    assert len({round(1000 * alpha) for alpha in alphas}) == len(alphas)


def _summary(in_basin: float, delta: float) -> PathSummary:
    return PathSummary(9.0, 9.0, in_basin, 9.0, 9.0, delta, -0.9, 0.5)


@pytest.mark.parametrize(
    ("test", "train", "verdict"),
    [
        ((0.0, 0.0), (0.0, 0.0), "yes"),
        ((0.0, -0.0599), (0.1, 0.0), "yes"),  # the thresholds themselves still connect
        ((0.2, 0.0), (0.0, 0.0), "no"),
        ((0.0, -0.061), (0.0, 0.0), "no"),
        ((0.0, 0.0), (0.0, -0.16), "apparent"),  # Hepburn et al., IV-C: overfitting hides the break
        ((0.0, 0.0), (0.4, 0.0), "apparent"),
    ],
)
def test_the_verdict_follows_test_data_first(
    test: tuple[float, float], train: tuple[float, float], verdict: str
) -> None:
    summaries = {"test": _summary(*test), "train_a": _summary(*train), "train_b": _summary(0, 0)}
    assert connected(summaries, barrier_threshold=0.1, accuracy_delta_threshold=-0.06) == verdict


@pytest.mark.parametrize(
    ("test", "train", "verdict"),
    [
        (0.0199, 0.0, "yes"),
        (0.02, 0.0, "no"),  # Altintas et al.: below 0.02
        (0.0, 0.02, "apparent"),
        (float("nan"), 0.0, "no"),
    ],
)
def test_the_verdict_by_error_asks_for_a_barrier_below_its_threshold(test: float, train: float, verdict: str) -> None:
    assert connected_by_error({"test": test, "train_a": train, "train_b": 0.0}, 0.02) == verdict


def test_what_neither_network_has_seen_enters_no_verdict_unless_it_is_all_there_is() -> None:
    assert connected_by_error({"test": 0.0, "unseen": 0.5}, 0.02) == "yes"
    assert connected_by_error({"unseen": 0.5}, 0.02) == "no"
    assert connected({"test": _summary(0, 0), "unseen": _summary(9, -1)}, 0.1, -0.06) == "yes"


def test_without_test_data_any_break_disconnects() -> None:
    assert connected_by_error({"train_a": 0.5, "train_b": 0.0}, 0.02) == "no"
    assert connected({"train_a": _summary(0, 0), "train_b": _summary(1, 0)}, 0.1, -0.06) == "no"


@pytest.mark.parametrize(
    ("broken", "verdict"),
    [
        ({"test": None, "train_a": True}, "undecided"),  # no or apparent
        ({"test": None, "train_a": False}, "undecided"),
        ({"test": False, "train_a": None, "train_b": False}, "undecided"),
        ({"test": False, "train_a": None, "train_b": True}, "apparent"),
        ({"test": True, "train_a": None}, "no"),
        ({"train_a": None, "train_b": True}, "no"),
        ({"train_a": None, "train_b": False}, "undecided"),
        ({"test": False, "unseen": None}, "yes"),
    ],
)
def test_a_split_that_does_not_tell_leaves_a_path_undecided_where_it_matters(
    broken: dict[str, bool | None], verdict: str
) -> None:
    assert judge(broken) == verdict


CURVES = st.lists(st.floats(0, 10), min_size=3, max_size=12).map(np.array)


@given(CURVES)
def test_a_barrier_over_the_chord_never_exceeds_one_over_the_mean_by_more_than_the_ends_differ(
    curve: np.ndarray,
) -> None:
    alphas = np.linspace(0, 1, len(curve))
    assert barrier_over_chord(alphas, curve) >= 0
    assert barrier(curve) >= abs(curve[0] - curve[-1]) / 2 - 1e-12
    assert barrier_over_chord(alphas, curve) <= barrier(curve) + abs(curve[0] - curve[-1]) / 2 + 1e-12


@given(CURVES)
def test_a_path_walked_backwards_has_the_same_barriers(curve: np.ndarray) -> None:
    alphas = np.linspace(0, 1, len(curve))
    back = curve[::-1].copy()
    assert barrier(back) == pytest.approx(barrier(curve))
    assert barrier_over_chord(alphas, back) == pytest.approx(barrier_over_chord(alphas, curve))
    assert barrier_in_basin(back).height == pytest.approx(barrier_in_basin(curve).height)
