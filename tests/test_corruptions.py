"""Corruptions give hand-worked pixels, the same for every chunk size, and do not change their input."""

import numpy as np
import pytest

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import load_dataset
from lmc_mlflow.data.shifts import corruptions
from lmc_mlflow.data.shifts.corruptions import CORRUPTIONS, corrupt, rotate

Pixels = np.ndarray


@pytest.fixture(scope="module")
def digits() -> Pixels:
    return load_dataset(DataConfig()).train.take(np.arange(100))


def constant(value: int, channels: int = 1) -> Pixels:
    return np.full((2, channels, 16, 16), value, dtype=np.uint8)


def test_contrast_shrinks_distances_from_the_mean_of_each_image_and_channel() -> None:
    images = np.array([[[[100, 200]], [[0, 40]]], [[[255, 255]], [[10, 11]]]], dtype=np.uint8)
    # Means 150 and 20; 255 and 10.5. At severity 3 the factor is 0.4: 150 -+ 20, 20 -+ 8, 10.5 -+ 0.2.
    assert corrupt(images, "contrast", 3, 0).tolist() == [[[[130, 170]], [[12, 28]]], [[[255, 255]], [[10, 11]]]]


def test_brightness_adds_its_shift_and_stops_at_white() -> None:
    images = np.array([[[[0, 1, 100, 250]]]], dtype=np.uint8)
    assert corrupt(images, "brightness", 3, 0).tolist() == [[[[38, 39, 138, 255]]]]  # 255 * 0.15 = 38.25
    assert corrupt(images, "brightness", 2, 0).tolist() == [[[[26, 27, 126, 255]]]]  # 25.5, up for even and odd


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.04), (5, 0.10)])
def test_noise_has_its_deviation(severity: int, deviation: float) -> None:
    grey = np.full((100, 1, 32, 32), 128, dtype=np.uint8)
    added = corrupt(grey, "noise", severity, 0).astype(float) - 128
    # 102,400 draws: the deviation's own standard error is 0.2 % of it; rounding adds 1/12 to the variance.
    assert added.std() == pytest.approx(255 * deviation, rel=0.01)
    assert added.mean() == pytest.approx(0, abs=0.3)


def test_noise_depends_on_its_seed_alone(digits: Pixels) -> None:
    noisy = [corrupt(digits, "noise", 1, seed) for seed in (0, 0, 1)]
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])
    assert np.array_equal(corrupt(digits[:7], "noise", 1, 0), noisy[0][:7])  # whatever follows
    grey = np.full((2, 1, 16, 16), 128, dtype=np.uint8)
    two = corrupt(grey, "noise", 1, 0)
    assert not np.array_equal(two[0], two[1])  # every image its own


@pytest.mark.parametrize("value", [0, 77, 255])
def test_blur_leaves_a_constant_image_alone(value: int) -> None:
    assert np.array_equal(corrupt(constant(value), "blur", 5, 0), constant(value))  # up to its edges


def test_blur_spreads_an_impulse_as_a_gaussian() -> None:
    impulse = np.zeros((1, 1, 11, 11), dtype=np.uint8)
    impulse[0, 0, 5, 5] = 255
    spread = corrupt(impulse, "blur", 5, 0)[0, 0]
    assert np.array_equal(spread, spread.T)
    assert np.array_equal(spread, spread[::-1, ::-1])
    # sigma 1: the weights exp(-x^2 / 2) sum to 2.50663, so the middle keeps 255 / 2.50663^2 = 40.58,
    # its neighbour exp(-1/2) of that (24.61) and the diagonal one exp(-1) (14.93).
    assert spread[5, 5:8].tolist() == [41, 25, 5]
    assert spread[6, 6] == 15


def test_blur_takes_images_smaller_than_its_reach() -> None:
    assert corrupt(constant(9)[..., :1, :2], "blur", 5, 0).tolist() == [[[[9, 9]]]] * 2


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_hardly_touches_a_constant_image(channels: int) -> None:
    images = constant(77, channels)
    assert np.abs(corrupt(images, "jpeg", 5, 0).astype(int) - images).max() <= 3


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_kind_does_more_at_each_severity(kind: str, digits: Pixels) -> None:
    errors = [np.abs(corrupt(digits, kind, severity, 0).astype(float) - digits).mean() for severity in range(1, 6)]
    assert errors[0] > 0
    assert errors == sorted(set(errors))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [*CORRUPTIONS, "rotate"])
def test_chunks_change_nothing_and_the_input_stays(kind: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, channels, 12, 9), dtype=np.uint8)
    before = images.copy()
    images.setflags(write=False)

    def run() -> Pixels:
        return rotate(images, 20) if kind == "rotate" else corrupt(images, kind, 4, 0)

    whole = run()
    for chunk_values in (1, 12 * 9 * channels * 3):
        monkeypatch.setattr(corruptions, "CHUNK_VALUES", chunk_values)
        assert np.array_equal(run(), whole)
    assert np.array_equal(images, before)
    assert whole.dtype == np.uint8
    assert whole.shape == images.shape


def test_no_images_stay_none() -> None:
    assert corrupt(constant(0)[:0], "blur", 1, 0).shape == (0, 1, 16, 16)


def test_rotation_by_90_degrees_is_counter_clockwise_as_in_numpy(digits: Pixels) -> None:
    assert np.array_equal(rotate(digits, 90), np.rot90(digits, axes=(2, 3)))
    assert np.array_equal(rotate(digits, -90), np.rot90(digits, k=3, axes=(2, 3)))


@pytest.mark.parametrize("degrees", [0, 360, -720])
def test_whole_turns_change_nothing(degrees: float, digits: Pixels) -> None:
    assert np.array_equal(rotate(digits, degrees), digits)


def test_a_small_rotation_has_the_direction_of_a_large_one() -> None:
    right = np.zeros((1, 1, 21, 21), dtype=np.uint8)
    right[0, 0, 10, 18] = 255  # 8 to the right of the centre; by 30 degrees: 6.93 right and 4 up
    turned = rotate(right, 30)[0, 0]
    assert np.unravel_index(turned.argmax(), turned.shape) == (6, 17)


def test_a_rotation_brings_zeros_in_from_outside_and_keeps_the_size() -> None:
    assert rotate(constant(200), 45)[:, :, 0, 0].tolist() == [[0], [0]]
    wide = np.full((1, 1, 5, 11), 200, dtype=np.uint8)
    turned = rotate(wide, 90)[0, 0]
    assert turned.shape == (5, 11)
    assert turned[2].tolist() == [0, 0, 0, 200, 200, 200, 200, 200, 0, 0, 0]  # a bar of width 5, cut at the top


@pytest.mark.parametrize(
    ("kind", "severity", "message"),
    [
        (
            "blurr",
            1,
            r"corruption 'blurr' is unknown \(did you mean 'blur'\?\); choose from blur, brightness, contrast",
        ),
        ("blur", 0, "corruption 'blur': severity 0 is unknown; choose from 1, 2, 3, 4, 5"),
        ("noise", 6, "severity 6 is unknown"),
    ],
)
def test_a_corruption_that_there_is_not_says_what_there_is(kind: str, severity: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrupt(constant(0), kind, severity, 0)


def test_a_constant_is_known_without_images() -> None:
    assert corruptions.constant_of("jpeg", 1) == 80
    assert corruptions.constant_of("blur", 5) == 1.0


def test_jpeg_of_two_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"images have 2 channels; JPEG takes 1 \(grey\) or 3 \(colour\)"):
        corrupt(constant(0, channels=2), "jpeg", 1, 0)


def test_an_angle_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="rotation by nan degrees"):
        rotate(constant(0), float("nan"))
