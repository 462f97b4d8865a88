"""Agreement, ensembles and calibration equal their definitions: hand-worked numbers, naive loops, scikit-learn."""

import itertools
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from lmc_mlflow.predictions.agreement import pair_shares
from lmc_mlflow.predictions.calibration import (
    entropy,
    mutual_information,
    weighted_ace,
    weighted_aurc,
    weighted_auroc,
    weighted_ece,
)
from lmc_mlflow.predictions.combination import majority_vote, mean_probabilities
from lmc_mlflow.predictions.ensembles import score_ensemble
from lmc_mlflow.predictions.sizes import accuracy_by_size, scores_by_size
from lmc_mlflow.predictions.temperature_scaling import scale_prediction

# Three samples and five members with the counts of Hepburn et al., Appendix E: of 10 pairs a sample, 30 in all,
# 12 agree and are wrong and 7 differ and are both wrong. Class 0 is right everywhere.
TOY = np.array([[1, 1, 1, 1, 2], [1, 1, 1, 2, 0], [1, 1, 1, 0, 0]]).T
TOY_LABELS = np.zeros(3, dtype=np.int64)


def naive(votes: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """WA, WD, and WD as the formula is printed, by the double loop over pairs of members."""
    agree = both = printed = total = 0.0
    for i, j in itertools.combinations(range(len(votes)), 2):
        for n, label in enumerate(labels):
            x, y = votes[i, n], votes[j, n]
            total += 1
            agree += x == y != label
            if x != y:
                both += x != label and y != label
                printed += (int(x != label) + int(y != label)) / 2
    return agree / total, both / total, printed / total


def means(votes: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[float, float, float]:
    shares = pair_shares(votes, labels, num_classes)
    return (
        shares.wrong_agreement.mean(),
        shares.wrong_disagreement.mean(),
        shares.wrong_disagreement_printed.mean(),
    )


def test_the_paper_s_toy_numbers() -> None:
    assert means(TOY, TOY_LABELS, 3) == pytest.approx((12 / 30, 7 / 30, 12 / 30))


@given(
    st.integers(2, 7).flatmap(
        lambda m: st.tuples(
            st.lists(st.lists(st.integers(0, 3), min_size=m, max_size=m), min_size=1, max_size=6),
            st.integers(0, 2**31),
        )
    )
)
def test_counting_equals_the_double_loop(case: tuple[list[list[int]], int]) -> None:
    votes = np.array(case[0]).T
    labels = np.random.default_rng(case[1]).integers(0, 4, size=votes.shape[1])
    assert means(votes, labels, 4) == pytest.approx(naive(votes, labels))


def test_printed_disagreement_and_agreement_add_up_to_the_mean_error() -> None:
    # Why Table III fits the worked example only: with the printed formula WA + WD would be the members' mean error.
    rng = np.random.default_rng(0)
    votes, labels = rng.integers(0, 5, size=(6, 50)), rng.integers(0, 5, size=50)
    agree, _, printed = means(votes, labels, 5)
    assert agree + printed == pytest.approx((votes != labels).mean())


def test_a_hundred_members_on_ten_thousand_samples_take_milliseconds() -> None:
    rng = np.random.default_rng(0)
    votes, labels = rng.integers(0, 10, size=(100, 10_000)), rng.integers(0, 10, size=10_000)
    best = min(_seconds(votes, labels) for _ in range(3))
    assert best < 0.25  # tens of milliseconds on an idle machine; the loop over pairs takes seconds


def _seconds(votes: np.ndarray, labels: np.ndarray) -> float:
    started = time.perf_counter()
    pair_shares(votes, labels, 10)
    return time.perf_counter() - started


def test_agreement_needs_two_members() -> None:
    with pytest.raises(ValueError, match="at least two"):
        pair_shares(TOY[:1], TOY_LABELS, 3)


def test_a_tied_vote_goes_to_the_class_with_the_higher_mean_probability() -> None:
    votes = np.array([[0, 2], [1, 2], [1, 0], [0, 1]])
    probabilities = np.array([[0.3, 0.4, 0.3], [0.5, 0.4, 0.1]])
    assert majority_vote(votes, probabilities).tolist() == [1, 2]


def test_probabilities_are_averaged_not_log_probabilities() -> None:
    logs = np.log(np.array([[[0.9, 0.1]], [[0.3, 0.7]]], dtype=np.float32))
    assert mean_probabilities(logs) == pytest.approx(np.array([[0.6, 0.4]]))


def random_members(m: int = 5, n: int = 300, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(m, n, k)) * 2
    labels = rng.integers(0, k, size=n)
    logits[:, np.arange(n), labels] += 1.5
    return (logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))).astype(np.float32), labels


def test_scores_are_those_of_scikit_learn_and_of_their_definitions() -> None:
    logs, labels = random_members()
    scores = score_ensemble(logs, labels, 0, 0.95, np.random.default_rng(0))
    p = np.exp(logs.astype(np.float64)).mean(axis=0)
    correct = p.argmax(axis=1) == labels
    expected = {
        "mean_prediction_accuracy": correct.mean(),
        "member_accuracy": np.mean([(member.argmax(axis=1) == labels).mean() for member in logs]),
        "mean_log_prediction_accuracy": (logs.sum(axis=0).argmax(axis=1) == labels).mean(),
        "nll": log_loss(labels, p / p.sum(axis=1, keepdims=True)),
        "brier": ((p - np.eye(4)[labels]) ** 2).sum(axis=1).mean(),
        "auroc_max_probability": roc_auc_score(correct, p.max(axis=1)),
        "auroc_entropy": roc_auc_score(correct, (p * np.log(p)).sum(axis=1)),
    }
    for name, value in expected.items():
        assert scores[name].value == pytest.approx(value, abs=1e-6), name
        assert scores[name].low == scores[name].value == scores[name].high


def test_rows_with_the_same_probabilities_for_other_classes_are_ties_to_the_entropy() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1478, 10)) * 3
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    moved = rng.permuted(p, axis=1)
    assert (entropy(p) == entropy(moved)).all()  # the plain sum differs in the last bit for 699 of 1,478
    score = -np.r_[entropy(p), entropy(moved)]
    correct = np.r_[np.ones(1478, dtype=bool), np.zeros(1478, dtype=bool)]
    assert weighted_auroc(score, correct, np.ones((1, 2956)))[0] == 0.5


@pytest.mark.parametrize(("log_probability", "expected"), [(-1000.0, 1000.0), (-np.inf, np.inf)])
def test_the_loss_of_a_sample_has_no_upper_limit(log_probability: float, expected: float) -> None:
    logs = np.array([[[0.0, log_probability]], [[0.0, log_probability]]], dtype=np.float32)
    scores = score_ensemble(logs, np.array([1]), 20, 0.95, np.random.default_rng(0))
    assert scores["nll"].value == expected  # it was 708.4
    assert scores["nll"].high == expected


def test_one_sure_member_bounds_the_loss_of_an_ensemble() -> None:
    logs = np.array([[[0.0, -1000.0]], [[-1000.0, 0.0]]], dtype=np.float32)
    nll = score_ensemble(logs, np.array([1]), 0, 0.95, np.random.default_rng(0))["nll"]
    assert nll.value == pytest.approx(np.log(2))


@pytest.mark.parametrize("shape", [(0, 5, 3), (1, 5, 3), (2, 0, 3)])
def test_an_ensemble_without_members_or_samples_is_refused_in_one_line(shape: tuple[int, int, int]) -> None:
    empty, labels = np.zeros(shape, dtype=np.float32), np.zeros(shape[1], dtype=np.int64)
    rng = np.random.default_rng(0)
    message = f"predictions of {shape[0]} members on {shape[1]} test samples: an ensemble needs at least"
    with pytest.raises(ValueError, match=message):
        score_ensemble(empty, labels, 0, 0.95, rng)
    if shape[0] != 1:
        with pytest.raises(ValueError, match=message):
            mean_probabilities(empty)
        for by_size in (accuracy_by_size, scores_by_size):
            with pytest.raises(ValueError, match=message):
                by_size(empty, labels, 2, rng)


def test_ece_on_paper() -> None:
    # Bins of width 1/2: confidences 0.6, 0.8 (one right) and 0.4 (right): |1.4 - 1| + |0.4 - 1| over 3 samples.
    confidence, correct = np.array([0.6, 0.8, 0.4]), np.array([True, False, True])
    assert weighted_ece(confidence, correct, np.ones((1, 3)), num_bins=2)[0] == pytest.approx((0.4 + 0.6) / 3)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    confidence, correct = np.array([0.5, 0.9]), np.array([True, True])
    assert weighted_ece(confidence, correct, np.ones((1, 2)), num_bins=2)[0] == pytest.approx((0.5 + 0.1) / 2)


def test_auroc_counts_ties_half_and_is_no_number_without_errors() -> None:
    score, correct = np.array([1.0, 1.0, 2.0]), np.array([True, False, True])
    assert weighted_auroc(score, correct, np.ones((1, 3)))[0] == pytest.approx((0.5 + 1) / 2)
    assert np.isnan(weighted_auroc(score, np.ones(3, dtype=bool), np.ones((1, 3)))[0])
    assert np.isnan(weighted_auroc(score[:0], correct[:0], np.ones((2, 0)))).tolist() == [True, True]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_weights_mean_repeated_samples(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, correct = rng.integers(0, 5, size=20) / 10, rng.random(20) < 0.5
    counts = rng.integers(0, 3, size=20)
    again = np.repeat(np.arange(20), counts)
    if len(again) == 0 or len(set(correct[again])) < 2:
        return
    weights = counts[None].astype(float)
    assert weighted_auroc(score, correct, weights)[0] == pytest.approx(roc_auc_score(correct[again], score[again]))
    ones = np.ones((1, len(again)))
    repeated = weighted_ece(score[again], correct[again], ones)[0]
    assert weighted_ece(score, correct, weights)[0] == pytest.approx(repeated)


def test_entropy_of_certain_and_uniform_predictions() -> None:
    assert entropy(np.array([[1.0, 0.0], [0.5, 0.5]])) == pytest.approx([0, np.log(2)])


def test_the_bootstrap_interval_of_an_accuracy_is_the_binomial_one() -> None:
    logs, labels = random_members(m=2, n=2000)
    scores = score_ensemble(logs, labels, 2000, 0.95, np.random.default_rng(0))
    score = scores["mean_prediction_accuracy"]
    half = 1.96 * np.sqrt(score.value * (1 - score.value) / 2000)
    assert score.low == pytest.approx(score.value - half, abs=0.003)
    assert score.high == pytest.approx(score.value + half, abs=0.003)
    for name, interval in scores.items():
        assert interval.low <= interval.value <= interval.high, name


def test_the_same_seed_gives_the_same_interval() -> None:
    logs, labels = random_members()
    first, second = (score_ensemble(logs, labels, 100, 0.9, np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_accuracy_by_size_begins_with_the_members_and_ends_with_the_ensemble() -> None:
    logs, labels = random_members()
    sizes = accuracy_by_size(logs, labels, 200, np.random.default_rng(0))
    members = {round(float((member.argmax(axis=1) == labels).mean()), 12) for member in logs}
    assert {round(float(a), 12) for a in sizes["mean_prediction"][:, 0]} == members
    scores = score_ensemble(logs, labels, 0, 0.95, np.random.default_rng(0))
    assert set(sizes["mean_prediction"][:, -1]) == {scores["mean_prediction_accuracy"].value}
    assert set(sizes["majority_vote"][:, -1]) == {scores["majority_vote_accuracy"].value}


def test_mutual_information_adaptive_error_and_area_are_those_of_torch_uncertainty() -> None:
    metrics = pytest.importorskip("torch_uncertainty.metrics.classification")
    logs, labels = random_members(n=400)
    scores = score_ensemble(logs, labels, 0, 0.95, np.random.default_rng(0))
    members = torch.from_numpy(np.exp(logs.astype(np.float64)))
    mean, truth = members.mean(dim=0), torch.from_numpy(labels)
    information = metrics.MutualInformation()
    information.update(members.transpose(0, 1))
    assert scores["mutual_information"].value == pytest.approx(float(information.compute()), abs=1e-6)
    error = metrics.AdaptiveCalibrationError(task="multiclass", num_classes=4, num_bins=15)
    error.update(mean, truth)
    assert scores["ace"].value == pytest.approx(float(error.compute()), abs=1e-5)
    area = metrics.AURC()
    area.update(mean, truth)
    rates = area.partial_compute()  # theirs is the trapezoids' area from coverage 1 / N on, ours the mean
    trapezoids = float(area.compute()) * (1 - 1 / 400) + float(rates[0] + rates[-1]) / 2 / 400
    assert scores["aurc"].value == pytest.approx(trapezoids, abs=1e-6)


def test_members_that_agree_have_no_mutual_information_and_certain_ones_that_differ_have_that_of_a_coin() -> None:
    one = np.log(np.array([[[0.9, 0.1]]], dtype=np.float32))
    assert mutual_information(np.repeat(one, 3, axis=0), np.exp(one[0].astype(np.float64))) == pytest.approx([0])
    with np.errstate(divide="ignore"):
        sure = np.log(np.array([[[1, 0]], [[0, 1]]], dtype=np.float32))
    assert mutual_information(sure, np.array([[0.5, 0.5]])) == pytest.approx([np.log(2)])


@given(st.integers(0, 2**31), st.integers(1, 40))
def test_the_area_and_the_adaptive_error_are_those_of_plain_loops(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    score, correct = rng.permutation(n) / n, rng.random(n) < 0.5
    weights = rng.integers(0, 3, size=(2, n)).astype(np.float64)
    weights[:, 0] += 1
    areas = weighted_aurc(score, correct, weights)
    for row, area in zip(weights, areas, strict=True):
        drawn = [bool(correct[i]) for i in np.argsort(-score) for _ in range(int(row[i]))]
        risks = [drawn[: k + 1].count(False) / (k + 1) for k in range(len(drawn))]
        assert area == pytest.approx(sum(risks) / len(risks))
    bins = np.array_split(np.argsort(score), 15)
    gap = sum(abs(sum(score[i] - correct[i] for i in part)) for part in bins) / n
    assert weighted_ace(score, correct, np.ones((1, n)))[0] == pytest.approx(gap)


def test_a_temperature_that_others_have_chosen_mends_what_was_too_sure() -> None:
    logs, labels = random_members(m=1, n=3000)
    sharp = 5 * np.repeat(logs, 2, axis=0)  # an average of different ones has no one temperature
    sharp -= np.log(np.exp(sharp).sum(axis=2, keepdims=True))
    scaled = scale_prediction(sharp, labels, 0.3, np.random.default_rng(0))
    assert scaled is not None
    assert (scaled.num_samples, scaled.temperature > 1.5) == (2100, True)
    scores = {name: float(value[0]) for name, value in scaled.weighted(np.ones((1, 2100))).items()}
    for name in ("nll", "ece", "brier"):
        assert scores[f"{name}_calibrated"] < scores[f"{name}_uncalibrated"], name
    order = np.random.default_rng(0).permutation(3000)
    p = np.exp(sharp.astype(np.float64)).mean(axis=0)
    others = np.sort(order[900:])
    assert scores["nll_uncalibrated"] == pytest.approx(-np.log(p[others, labels[others]]).mean())
    powers = p[others] ** (1 / scaled.temperature)
    calibrated = powers / powers.sum(axis=1, keepdims=True)
    assert scores["nll_calibrated"] == pytest.approx(-np.log(calibrated[np.arange(2100), labels[others]]).mean())
    best = min(
        np.exp(np.linspace(-2, 3, 2001)),
        key=lambda t: (
            -np.log((p ** (1 / t) / (p ** (1 / t)).sum(1, keepdims=True))[order[:900], labels[order[:900]]]).mean()
        ),
    )
    assert scaled.temperature == pytest.approx(best, rel=0.01)


def test_a_temperature_needs_samples_on_both_sides() -> None:
    logs, labels = random_members(n=3)
    assert scale_prediction(logs, labels, 0.0, np.random.default_rng(0)) is None
    assert scale_prediction(logs, labels, 0.1, np.random.default_rng(0)) is None
    assert scale_prediction(logs, labels, 0.4, np.random.default_rng(0)) is not None
