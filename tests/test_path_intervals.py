"""Intervals over test samples are paired over a path, cover, and decide a verdict only where they do not cross."""

from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import OF_ACCURACIES, OF_LOSSES, PathSummary, alpha_grid, connected, summarize
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.grid import Grid
from lmc_mlflow.paths.interval_verdict import IntervalVerdict, connected_by_intervals
from lmc_mlflow.paths.intervals import Bootstrap, path_intervals
from lmc_mlflow.paths.samples import PathSamples, from_arrays, to_arrays
from lmc_mlflow.paths.walk import Path, measure_path
from lmc_mlflow.predictions.ensembles import Interval

ALPHAS = np.linspace(0, 1, 5)
SHAPE = np.array([0.0, 0.0, 0.5, 0.0, 0.0])
"""Losses with a barrier of 0.5 by every definition."""
BOOTSTRAP = Bootstrap(num_resamples=200, confidence=0.95, seed=0)


def of_losses(losses: np.ndarray) -> PathSamples:
    """Samples (T, N), all of them of class 0 and predicted so."""
    classes = np.zeros(losses.shape, dtype=np.uint8)
    return PathSamples(losses.astype(np.float32), classes, classes[0])


def test_what_all_points_have_in_common_cancels() -> None:
    hard = 100 * np.random.default_rng(0).random(50)  # images differ in their loss by more than any barrier
    found = path_intervals(ALPHAS, {"test": of_losses(SHAPE[:, None] + hard)}, BOOTSTRAP)["test"]
    for name in OF_LOSSES:
        assert astuple(found[name]) == pytest.approx((0.5, 0.5, 0.5), abs=1e-5)
    for name in OF_ACCURACIES:
        assert astuple(found[name]) == (0, 0, 0)


def test_an_interval_is_that_of_the_images_that_make_the_barrier() -> None:
    # One image of four has a barrier of 2: the mean is 0.5. k such images of four drawn are binomial(4, 1/4):
    # P(k = 0) = 0.316, P(k >= 3) = 0.051, P(k = 4) = 0.004: the central 94 % reach from 0 to 3 quarters of 2.
    losses = np.zeros((5, 4))
    losses[2, 0] = 2
    found = path_intervals(ALPHAS, {"test": of_losses(losses)}, Bootstrap(4000, 0.94, 0))["test"]
    assert found["barrier_in_basin"] == Interval(0.5, 0.0, 1.5)


@pytest.mark.parametrize("name", ["barrier", "barrier_in_basin", "accuracy_delta"])
def test_nine_of_ten_intervals_or_more_contain_the_truth(name: str) -> None:
    rng, held = np.random.default_rng(1), 0
    for trial in range(200):
        at_top = rng.exponential(0.5, size=150)  # of each image; its mean is the barrier of 0.5
        losses = np.outer([0, 0.3, 1, 0.3, 0], at_top)
        wrong = np.outer([0, 0, 1, 0, 0], rng.random(150) < 0.2)
        samples = PathSamples(losses.astype(np.float32), wrong.astype(np.uint8), np.zeros(150, dtype=np.uint8))
        interval = path_intervals(ALPHAS, {"test": samples}, Bootstrap(200, 0.95, trial))["test"][name]
        held += interval.low <= (-0.2 if name == "accuracy_delta" else 0.5) <= interval.high
    assert 180 <= held < 200


def test_the_seed_decides_the_draws_and_splits_are_drawn_apart() -> None:
    samples = of_losses(np.random.default_rng(0).random((5, 60)))
    first, again, other = (path_intervals(ALPHAS, {"test": samples}, Bootstrap(50, 0.95, s)) for s in (0, 0, 1))
    assert first == again != other
    both = path_intervals(ALPHAS, {"test": samples, "train_a": samples}, Bootstrap(50, 0.95, 0))
    assert both["test"] == first["test"]
    assert both["train_a"]["barrier"].value == both["test"]["barrier"].value
    assert both["train_a"]["barrier"].low != both["test"]["barrier"].low


def test_several_chunks_of_resamples_are_one_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = {"test": of_losses(np.random.default_rng(0).random((5, 60)))}
    whole = path_intervals(ALPHAS, samples, BOOTSTRAP)
    monkeypatch.setattr("lmc_mlflow.paths.intervals.VALUES_AT_ONCE", 7 * 60)
    assert path_intervals(ALPHAS, samples, BOOTSTRAP)["test"]["barrier"] == pytest.approx(whole["test"]["barrier"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_path_with_a_loss_that_is_no_number_has_no_interval_and_is_not_connected(bad: float) -> None:
    losses = np.tile(SHAPE[:, None], 20)
    losses[3, 7] = bad
    samples = {"test": of_losses(losses)}
    found = path_intervals(ALPHAS, samples, BOOTSTRAP)
    means, right = losses.mean(axis=1), np.ones(5)
    summary = summarize(ALPHAS, means, right, right)
    verdict = connected_by_intervals({"test": summary}, found, 99, -1)
    assert np.isnan(astuple(found["test"]["barrier_in_basin"])[1:]).all()
    assert verdict.answer == connected({"test": summary}, 99, -1) == "no"
    assert "a loss on test is not finite, and such a path is never connected" in verdict.reading.sentence("accuracy")


def judged(**splits: tuple[tuple[float, float, float], tuple[float, float, float]]) -> IntervalVerdict:
    """The verdict on splits with these barriers in the basin and accuracy deltas (value, low, high)."""
    summaries = {
        split: PathSummary(9.0, 9.0, barrier[0], 9.0, 9.0, delta[0], -0.9, 0.5)
        for split, (barrier, delta) in splits.items()
    }
    intervals = {
        split: {"barrier_in_basin": Interval(*barrier), "accuracy_delta": Interval(*delta)}
        for split, (barrier, delta) in splits.items()
    }
    verdict = connected_by_intervals(summaries, intervals, 0.1, -0.06)
    plain = connected(summaries, 0.1, -0.06)
    assert verdict.answer in (plain, "undecided")
    return verdict


FLAT, LEVEL = (0.01, 0.005, 0.02), (-0.01, -0.02, 0.0)
HIGH, LOST = (0.3, 0.2, 0.4), (-0.1, -0.12, -0.08)
UNSURE_BARRIER, UNSURE_DELTA = (0.09, 0.07, 0.12), (-0.07, -0.09, -0.05)


@pytest.mark.parametrize(
    ("test", "train", "answer", "reason"),
    [
        ((FLAT, LEVEL), (FLAT, LEVEL), "yes", "test barrier in basin 0.0100 (0.0050 to 0.0200), threshold 0.1"),
        ((HIGH, LEVEL), (FLAT, LEVEL), "no", "test barrier in basin 0.3000 (0.2000 to 0.4000), threshold 0.1"),
        ((FLAT, LOST), (FLAT, LEVEL), "no", "test accuracy delta -10.00% (-12.00% to -8.00%), threshold -6%"),
        ((UNSURE_BARRIER, LOST), (FLAT, LEVEL), "no", "test accuracy delta -10.00%"),
        ((FLAT, LEVEL), (FLAT, LOST), "apparent", "train_a accuracy delta -10.00%"),
        ((UNSURE_BARRIER, LEVEL), (FLAT, LEVEL), "undecided", "test barrier in basin 0.0900 (0.0700 to 0.1200)"),
        ((FLAT, UNSURE_DELTA), (HIGH, LEVEL), "undecided", "test accuracy delta -7.00% (-9.00% to -5.00%)"),
        ((FLAT, LEVEL), (UNSURE_BARRIER, LEVEL), "undecided", "train_a barrier in basin 0.0900"),
        (((0.1, 0.1, 0.1), LEVEL), (FLAT, LEVEL), "yes", "test barrier in basin 0.1000"),  # the threshold connects
        (((0.099, 0.101, 0.14), LEVEL), (FLAT, LEVEL), "undecided", "test barrier"),  # above its own value
    ],
)
def test_a_path_is_undecided_where_the_interval_crosses_its_threshold(
    test: tuple, train: tuple, answer: str, reason: str
) -> None:
    verdict = judged(test=test, train_a=train, train_b=(FLAT, LEVEL))
    assert verdict.answer == answer
    assert verdict.reading.sentence("accuracy").startswith(reason)


def test_without_test_data_any_break_disconnects_and_unseen_images_decide_nothing() -> None:
    assert judged(train_a=(UNSURE_BARRIER, LEVEL), train_b=(HIGH, LEVEL)).answer == "no"
    assert judged(train_a=(UNSURE_BARRIER, LEVEL), train_b=(FLAT, LEVEL)).answer == "undecided"
    assert judged(test=(FLAT, LEVEL), unseen=(HIGH, LOST)).answer == "yes"


NUMBERS = st.floats(-0.3, 0.3)
TRIPLES = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda three: (three[0], min(three[1:]), max(three[1:])))


@given(
    st.dictionaries(st.sampled_from(["test", "train_a", "train_b", "unseen"]), st.tuples(TRIPLES, TRIPLES), min_size=1)
)
def test_a_decided_verdict_is_always_that_of_the_values(splits: dict[str, tuple]) -> None:
    summaries = {
        name: PathSummary(9.0, 9.0, barrier[0], 9.0, 9.0, delta[0], -0.9, 0.5)
        for name, (barrier, delta) in splits.items()
    }
    assert judged(**splits).answer in (connected(summaries, 0.1, -0.06), "undecided")


def test_an_average_precision_without_interval_never_breaks_but_leaves_undecided() -> None:
    def answer(delta: float) -> IntervalVerdict:
        summary = PathSummary(0.0, 0.0, 0.0, 0.0, 0.0, delta, delta, 0.5)
        return connected_by_intervals(
            {"test": summary}, {"test": {"barrier_in_basin": Interval(0, 0, 0.01)}}, 0.1, -0.06
        )

    assert answer(-0.05).answer == "yes"
    verdict = answer(-0.07)
    assert verdict.answer == "undecided"
    sentence = verdict.reading.sentence("average_precision")
    assert sentence == "test average precision delta -7.00% (no interval), threshold -6%"


def walked(model: str, several: bool, engine: str) -> Path:
    """A path whose samples are kept, on two splits of several batches."""
    spec = NetworkSpec(model, 1, 12, 12, 4, output="logits" if several else "log_probabilities")
    a, b = build_network(spec, 1), build_network(spec, 2)
    images = torch.randn(1030, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(1030) % 4
    if several:
        labels = functional.one_hot(labels, 4) | functional.one_hot(labels.roll(1), 4)
    splits = {"test": (ResidentImages(images), labels), "train_a": (ResidentImages(images[:60]), labels[:60])}
    segment = Segment(a.state_dict(), b.state_dict())
    return measure_path(a, segment, Grid(alpha_grid(3), keep_samples=True), splits, "interpolate", engine=engine)


@pytest.mark.parametrize(("model", "several"), [("mlp_l1_w7_bn", False), ("mlp_l1_w7", True), ("resnet10", False)])
def test_both_engines_keep_the_samples_that_the_measures_are_means_of(model: str, several: bool) -> None:
    fast, exact = (walked(model, several, engine) for engine in ("fast", "exact"))
    assert (fast.engine, exact.engine) == ("fast", "exact")
    for path in (fast, exact):
        assert path.samples is not None
        for split, samples in path.samples.items():
            assert samples.losses.shape == (3, 1030 if split == "test" else 60)
            assert samples.losses.mean(axis=1, dtype=np.float64) == pytest.approx(path.losses[split], rel=1e-6)
            if several:
                assert samples.correct is None
            else:
                assert samples.correct.mean(axis=1) == pytest.approx(path.scores[split])
                assert samples.predicted.dtype == samples.labels.dtype == np.uint8
    assert fast.samples is not None
    np.testing.assert_allclose(fast.samples["test"].losses, exact.samples["test"].losses, rtol=1e-3, atol=1e-5)
    found = path_intervals(fast.alphas, fast.samples, BOOTSTRAP)
    assert set(found["test"]) == set(OF_LOSSES if several else (*OF_LOSSES, *OF_ACCURACIES))
    for name, interval in found["train_a"].items():
        assert interval.value == pytest.approx(getattr(fast.summaries["train_a"], name), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("several", [False, True])
def test_kept_samples_are_read_back_as_they_were(several: bool) -> None:
    path = walked("mlp_l1_w7", several, "fast")
    assert path.samples is not None
    alphas, samples = from_arrays(to_arrays(path.alphas, path.samples))
    assert path_intervals(alphas, samples, BOOTSTRAP) == path_intervals(path.alphas, path.samples, BOOTSTRAP)


def test_samples_are_kept_on_request_alone() -> None:
    network = build_network(NetworkSpec("mlp_l1_w4", 1, 2, 2, 2), 1)
    segment = Segment(network.state_dict(), network.state_dict())
    splits = {"test": (ResidentImages(torch.zeros(4, 1, 2, 2)), torch.zeros(4, dtype=torch.int64))}
    assert measure_path(network, segment, alpha_grid(2), splits, "interpolate").samples is None
