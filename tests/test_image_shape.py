"""Images of every data set are resized alike, and grey ones are repeated without a copy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from test_datasets import write_folder, write_image

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import load_dataset
from lmc_mlflow.data.image_shape import repeat_channels, resize_images
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.pixels import ArraySource

CPU = torch.device("cpu")


def rows_of(values: list[float], dtype: type) -> NDArray:
    """One square image whose rows are all these values."""
    return np.tile(np.array(values, dtype=dtype), (1, 1, len(values), 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_smaller_image_is_antialiased(dtype: type) -> None:
    # at half the size a pixel weighs its four neighbours 3/7, 3/7 and 1/7; what lies outside the image does not count
    small = resize_images(rows_of([0, 0, 70, 70], dtype), 2, "x")
    assert (small.dtype, small.shape) == (dtype, (1, 1, 2, 2))
    assert small[0, 0].tolist() == [pytest.approx([10, 60]), pytest.approx([10, 60])]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_larger_image_is_interpolated(dtype: type) -> None:
    # new centres lie at -1/4, 1/4, 3/4 and 5/4 of the way between the two old ones
    large = resize_images(rows_of([0, 100], dtype), 4, "x")
    assert large[0, 0, 2].tolist() == pytest.approx([0, 25, 75, 100])


def test_bytes_are_rounded_to_the_nearest() -> None:
    assert resize_images(rows_of([0, 10], np.uint8), 4, "x")[0, 0, 0].tolist() == [0, 3, 8, 10]


def test_an_image_that_is_not_square_becomes_square() -> None:
    wide = np.array([0, 0, 70, 70], dtype=np.uint8).reshape(1, 1, 1, 4)
    assert resize_images(wide, 2, "x")[0, 0].tolist() == [[10, 60], [10, 60]]


def test_images_that_have_the_size_stay_where_they_are() -> None:
    images = rows_of([1, 2, 3], np.uint8)
    assert resize_images(images, 3, "x") is images


def test_arrays_are_resized_as_pictures_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    for i, (part, name) in enumerate((p, c) for p in ("train", "test") for c in ("0", "1")):
        write_image(tmp_path / "f" / part / name / "0.png", 0)
        Image.fromarray(pixels[i]).save(tmp_path / "f" / part / name / "0.png")
    labels = np.array([0, 1])
    np.savez(
        tmp_path / "x.npz", train_images=pixels[:2], train_labels=labels, test_images=pixels[2:], test_labels=labels
    )
    folder = load_dataset(DataConfig(dataset="imagefolder", data_root=str(tmp_path / "f"), image_size=7))
    array = load_dataset(DataConfig(dataset="npz", data_root=str(tmp_path / "x.npz"), image_size=7))
    assert array.train.shape == (2, 3, 7, 7)
    assert (array.train.array == folder.train.array).all()
    assert (array.test.array == folder.test.array).all()


def test_digests_are_of_the_resized_images() -> None:
    plain, same, small = (load_shifted(DataConfig(image_size=size), CPU) for size in (None, 28, 14))
    assert (same.digest, same.a.digest, same.test.digest) == (plain.digest, plain.a.digest, plain.test.digest)
    assert not {small.digest, small.a.digest, small.test.digest} & {plain.digest, plain.a.digest, plain.test.digest}
    resized = load_dataset(DataConfig(image_size=14))
    assert resized.train.array.dtype == np.uint8
    assert small.test.digest == resized.test.digest(resized.test_labels)
    assert small.a.images.shape == (719, 1, 14, 14)


def test_images_are_resized_before_one_side_sees_them_corrupted() -> None:
    data = load_shifted(DataConfig(image_size=14, shift="corrupt_jpeg_3"), CPU)
    assert (data.a.images.shape, data.b.images.shape, data.test.images.shape) == (
        (719, 1, 14, 14),
        (719, 1, 14, 14),
        (710, 1, 14, 14),
    )


def test_pooled_images_are_resized_too() -> None:
    data = load_dataset(DataConfig(image_size=14, test_split="random80"))
    assert (data.train.shape, data.test.shape) == ((1437, 1, 14, 14), (360, 1, 14, 14))


def test_rows_of_several_sizes_need_image_size() -> None:
    with pytest.raises(ValueError, match=r"images of \(1, 8, 8\) and of \(1, 9, 8\) .*; give image_size=<pixels>"):
        load_dataset(DataConfig(dataset="own_nets:load_mixed_shapes"))
    mixed, plain = (
        load_dataset(DataConfig(dataset=f"own_nets:{name}", image_size=4)) for name in ("load_mixed_shapes", "load")
    )
    assert mixed.train.array.dtype == np.uint8
    assert not mixed.train.array[3].any()
    assert (np.delete(mixed.train.array, 3, axis=0) == np.delete(plain.train.array, 3, axis=0)).all()
    assert (mixed.test.array == plain.test.array).all()


def test_the_numbers_of_your_own_images_mean_the_same_in_every_type() -> None:
    found = [load_dataset(DataConfig(dataset=f"own_nets:{name}", image_size=4)) for name in ("load", "load_floats")]
    bytes_, floats = (data.train.array for data in found)
    assert (bytes_.dtype, floats.dtype) == (np.uint8, np.float32)
    assert np.abs(floats * 255 - bytes_).max() <= 1  # a byte is rounded along each axis


# channels


@pytest.fixture
def grey() -> ArraySource:
    return ArraySource(np.random.default_rng(1).integers(0, 256, (2500, 1, 3, 2), dtype=np.uint8))


def test_three_channels_share_the_memory_of_one(grey: ArraySource) -> None:
    shared = ArraySource(repeat_channels(grey.array, 3))
    assert shared.shape == (2500, 3, 3, 2)
    assert np.shares_memory(shared.array, grey.array)
    part = shared.rows(np.array([7, 3]))
    assert part.shape == (2, 3, 3, 2)
    assert part.array.strides[1] == 0
    assert (part.take(np.array([1, 0])) == np.repeat(grey.array[[3, 7]], 3, axis=1)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_three_channels_that_share_memory_are_those_of_a_copy(grey: ArraySource, dtype: type) -> None:
    images = grey.array.astype(dtype)
    shared, copied = ArraySource(repeat_channels(images, 3)), ArraySource(np.repeat(images, 3, axis=1))
    labels, some = np.arange(2500), np.array([2, 0])
    assert shared.digest(labels) == copied.digest(labels)
    for mine, theirs in zip(shared.statistics(), copied.statistics(), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12)
    assert shared.take(some).tobytes() == copied.take(some).tobytes()
    assert shared.take(some).flags.c_contiguous


@pytest.mark.parametrize("shift", ["label_5050", "rotate_90", "corrupt_blur_2", "own_nets:bright"])
def test_both_sides_see_grey_images_in_three_equal_channels(shift: str) -> None:
    plain, data = (load_shifted(DataConfig(shift=shift, channels=channels), CPU) for channels in ("1", "3"))
    for name in ("a", "b", "test"):
        before, after = getattr(plain, name), getattr(data, name)
        assert before.digest != after.digest
        for channel in range(3):
            assert torch.equal(after.images.tensor[:, channel], before.images.tensor[:, 0])


def test_channels_that_images_have_already_change_nothing(tmp_path: Path) -> None:
    root = str(write_folder(tmp_path / "grey"))
    for part in ("train", "test"):
        write_image(tmp_path / "colour" / part / "cat" / "0.png", (1, 2, 3))
        write_image(tmp_path / "colour" / part / "dog" / "0.png", (3, 2, 1))
    for where, channels in ((root, "1"), (str(tmp_path / "colour"), "3")):
        configs = [DataConfig("imagefolder", where, channels=wanted, shift="none") for wanted in ("auto", channels)]
        before, after = (load_shifted(config, CPU) for config in configs)
        assert (before.digest, before.test.digest) == (after.digest, after.test.digest)


def test_colour_is_not_thrown_away(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_image(tmp_path / part / "cat" / "0.png", (1, 2, 3))
    with pytest.raises(ValueError, match="channels=1: images of imagefolder have 3 channels, and making them grey"):
        load_dataset(DataConfig(dataset="imagefolder", data_root=str(tmp_path), channels="1"))


def test_two_channels_are_not_repeated(tmp_path: Path) -> None:
    images, labels = np.zeros((2, 4, 4, 2), dtype=np.uint8), np.array([0, 1])
    np.savez(tmp_path / "x.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    with pytest.raises(ValueError, match="channels=3: images of npz have 2 channels, and only grey ones are repeated"):
        load_dataset(DataConfig(dataset="npz", data_root=str(tmp_path), channels="3"))


@pytest.mark.parametrize("option", ["image_size=8", "channels=3"])
def test_patches_of_a_store_stay_as_they_were_prepared(option: str, tmp_path: Path) -> None:
    name, _, text = option.partition("=")
    value = int(text) if name == "image_size" else text
    config = DataConfig(dataset="bigearthnet", data_root=str(tmp_path), shift="bands_B02_B08", **{name: value})
    with pytest.raises(ValueError, match=f"{option}: bigearthnet is read from its store as it was prepared; leave"):
        load_dataset(config)
