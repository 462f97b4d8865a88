"""The two-sample test finds differences between the sides, and finds none where there are none."""

from collections.abc import Callable

import numpy as np
import pytest

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import load_dataset
from lmc_mlflow.data.shifts.corruptions import corrupt
from lmc_mlflow.data.shifts.registry import split_sides
from lmc_mlflow.data.shifts.two_sample import (
    SideSample,
    TwoSample,
    choose,
    label_divergence,
    two_sample,
)

Digits = Callable[[str], tuple[SideSample, SideSample]]


@pytest.fixture(scope="module")
def digits() -> Digits:
    dataset = load_dataset(DataConfig())
    labels = dataset.train_labels
    images = dataset.train.take(np.arange(len(labels)))

    def split(shift: str) -> tuple[SideSample, SideSample]:
        sides = split_sides(shift, labels, 10, split_seed=0)
        a, b = (SideSample(images[chosen], labels[chosen], chosen) for chosen in (sides.a, sides.b))
        return a, b

    return split


def noise_images(num_images: int, seed: int, labels: np.ndarray | None = None) -> np.ndarray:
    """Images (N, 1, 6, 6) of noise; the mean tells the class."""
    images = np.random.default_rng(seed).normal(size=(num_images, 1, 6, 6))
    return images if labels is None else images + 10 * labels[:, None, None, None]


def choose_and_test(side_a: SideSample, side_b: SideSample, num_samples: int, seed: int) -> TwoSample | None:
    """The two-sample test of the images that `choose` takes from both sides."""
    a, b = choose(side_a.labels, side_b.labels, side_a.samples, side_b.samples, num_samples, seed)
    return two_sample(side_a.take(a), side_b.take(b), seed)


def answer(side_a: SideSample, side_b: SideSample, num_samples: int = 400, seed: int = 0) -> TwoSample:
    found = choose_and_test(side_a, side_b, num_samples, seed)
    assert found is not None
    assert found.low <= found.accuracy <= found.high
    return found


def test_halves_of_one_data_set_do_not_differ(digits: Digits) -> None:
    found = answer(*digits("label_5050"), num_samples=1000)
    assert found.low < 0.5 < found.high
    assert found.num_samples == 1000


def test_a_label_shift_is_a_divergence_of_labels_and_not_of_images(digits: Digits) -> None:
    a, b = digits("label_2080")
    found = answer(a, b, num_samples=1000)
    assert found.low < 0.5 < found.high
    assert label_divergence(a.labels, b.labels, 10) == pytest.approx(0.278, abs=0.01)  # 20/80 vs 80/20
    assert found.num_samples <= 2 * 10 * 30  # a fifth of about 144 is the scarcer side's share of each class


@pytest.mark.parametrize(("kind", "severity"), [("blur", 3), ("noise", 1), ("contrast", 1), ("jpeg", 1)])
def test_a_worse_camera_is_seen(kind: str, severity: int, digits: Digits) -> None:
    a, b = digits("label_5050")
    worse = SideSample(corrupt(b.images, kind, severity, 0), b.labels, b.samples)
    assert answer(a, worse).low > 0.95


def test_the_same_images_on_both_sides_give_one_half_exactly(digits: Digits) -> None:
    found = answer(*digits("none"))
    assert (found.accuracy, found.low, found.high) == (0.5, 0.5, 0.5)  # of twins one is right


def test_the_same_images_under_a_corruption_are_told_apart(digits: Digits) -> None:
    a, b = digits("none")
    assert answer(a, SideSample(corrupt(b.images, "noise", 1, 0), b.labels, b.samples)).low > 0.95


def test_twins_that_are_not_kept_in_one_fold_pull_the_accuracy_below_one_half() -> None:
    labels, ids = np.zeros(150, dtype=np.int64), np.arange(150)
    a = SideSample(noise_images(150, 0), labels, ids)
    twins = SideSample(a.images + 0.01 * noise_images(150, 1), labels, ids)
    assert answer(a, twins).low > 0.4
    unknown = SideSample(twins.images, labels, ids + 150)  # the same images under other ids: grouping finds none
    assert answer(a, unknown).high < 0.4


def test_imbalance_of_classes_alone_is_not_seen() -> None:
    a, b = (np.repeat([0, 1], counts) for counts in ([160, 40], [40, 160]))  # the mean pixel alone would get 80 %
    found = answer(
        SideSample(noise_images(200, 2, a), a, np.arange(200)),
        SideSample(noise_images(200, 3, b), b, np.arange(200, 400)),
    )
    assert found.low < 0.5 < found.high
    assert found.num_samples == 160  # 40 of each class on each side


def test_a_shift_within_classes_is_seen_though_the_pooled_images_agree() -> None:
    labels = np.repeat([0, 1], 100)
    a = SideSample(noise_images(200, 4, labels), labels, np.arange(200))
    b = SideSample(noise_images(200, 5, 1 - labels), labels, np.arange(200, 400))  # classes look swapped
    assert answer(a, b).low > 0.9


def test_the_result_depends_on_its_seed_alone(digits: Digits) -> None:
    a, b = digits("label_5050")
    b = SideSample(corrupt(b.images, "blur", 1, 0), b.labels, b.samples)
    found = [answer(a, b, 200, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_the_interval_narrows_with_the_square_root_of_the_samples(digits: Digits) -> None:
    few, many = (answer(*digits("label_5050"), num_samples=number) for number in (200, 800))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.25)


def test_bytes_and_scaled_floats_give_the_same_answer(digits: Digits) -> None:
    a, b = digits("none")
    scaled = [SideSample((side.images / 255).astype(np.float32), side.labels, side.samples) for side in (a, b)]
    assert answer(scaled[0], scaled[1]).accuracy == 0.5


def test_multi_hot_labels_are_one_stratum() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (60, 19), dtype=np.uint8)
    a = SideSample(noise_images(60, 6), labels, np.arange(60))
    b = SideSample(noise_images(60, 7) + 5, labels[::-1], np.arange(60))
    found = answer(a, b, num_samples=80)
    assert found.num_samples == 80
    assert found.low > 0.9


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 5), (12, 40, 40)])
def test_images_of_any_size_have_features(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).normal(size=(60, *shape))
    labels = np.zeros(60, dtype=np.int64)
    a = SideSample(images, labels, np.arange(60))
    b = SideSample(images + 9, labels, np.arange(60))
    assert answer(a, b).accuracy == 1


def test_constant_images_give_one_half() -> None:
    labels = np.zeros(60, dtype=np.int64)
    a = SideSample(np.zeros((60, 1, 6, 6), dtype=np.uint8), labels, np.arange(60))
    assert answer(a, SideSample(a.images, labels, np.arange(60, 120))).accuracy == 0.5


@pytest.mark.parametrize(("num_images", "num_scenes"), [(24, 24), (0, 1), (40, 20)])
def test_too_little_data_has_no_answer(num_images: int, num_scenes: int) -> None:
    labels, samples = np.zeros(num_images, dtype=np.int64), np.arange(num_images) % num_scenes
    side = SideSample(noise_images(num_images, 0), labels, samples)
    assert choose_and_test(side, side, 1000, 0) is None


def test_sides_without_a_common_class_have_no_answer() -> None:
    a, b = (SideSample(noise_images(60, 0), np.full(60, c), np.arange(60)) for c in (0, 1))
    assert choose_and_test(a, b, 1000, 0) is None


def test_sides_that_cannot_be_compared_are_refused() -> None:
    labels = np.repeat([0, 1], 30)
    a = SideSample(noise_images(60, 0), labels, np.arange(60))
    with pytest.raises(ValueError, match="different numbers of a class"):
        two_sample(a, SideSample(a.images, np.zeros_like(labels), a.samples), 0)
    with pytest.raises(ValueError, match=r"images of side A are \(1, 6, 6\), of side B \(1, 6, 5\)"):
        two_sample(a, SideSample(a.images[..., :5], labels, a.samples), 0)


def test_choose_takes_of_each_class_what_the_scarcer_side_holds() -> None:
    labels_a, labels_b = np.repeat([0, 1, 2], [8, 2, 5]), np.repeat([0, 1, 3], [4, 6, 5])
    a, b = choose(labels_a, labels_b, np.arange(15), np.arange(15, 30), 1000, 0)
    assert np.bincount(labels_a[a]).tolist() == np.bincount(labels_b[b]).tolist() == [4, 2]
    assert len(set(a)) == len(set(b)) == 6


@pytest.mark.parametrize(("num_samples", "counts"), [(60, [20, 10]), (31, [10, 5]), (7, [2, 1]), (0, []), (1, [])])
def test_choose_keeps_to_its_budget_in_proportion(num_samples: int, counts: list[int]) -> None:
    labels = np.repeat([0, 1], [200, 100])
    a, b = choose(labels, labels, np.arange(300), np.arange(300, 600), num_samples, 0)
    assert np.bincount(labels[a]).tolist() == np.bincount(labels[b]).tolist() == counts


def test_choose_takes_the_same_samples_of_sides_that_share_them() -> None:
    labels = np.arange(300) % 3
    a, b = choose(labels, labels[::-1], np.arange(300), np.arange(300)[::-1], 100, 0)
    assert sorted(a) == sorted(299 - b)  # side B holds them in reverse
    other, _ = choose(labels, labels, np.arange(300), np.arange(300), 100, 1)
    assert sorted(a) != sorted(other)


@pytest.mark.parametrize(
    ("labels_a", "labels_b", "bits"),
    [
        ([0, 1, 1], [1, 0, 1], 0.0),
        ([0, 0], [1, 1, 1], 1.0),
        ([0] * 20 + [1] * 80, [0] * 80 + [1] * 20, 0.2781),  # 1 - H(0.2) = 1 - 0.7219
        ([0, 1], [2, 3], 1.0),
        ([[1, 0], [0, 0]], [[0, 0], [1, 0]], 0.0),
        ([[1, 0], [1, 0]], [[0, 0], [0, 0]], 0.5),  # always against never, and never twice: (1 + 0) / 2
    ],
)
def test_label_divergence_in_bits(labels_a: list, labels_b: list, bits: float) -> None:
    found = label_divergence(np.array(labels_a), np.array(labels_b), 4 if np.ndim(labels_a) == 1 else 2)
    assert found == pytest.approx(bits, abs=5e-5)
    assert label_divergence(np.array(labels_b), np.array(labels_a), 4) == found
