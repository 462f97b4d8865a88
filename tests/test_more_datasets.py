"""Readers of archives give hand-worked images and labels, from small archives in the real layouts."""

import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.data.holdout import random80
from lmc_mlflow.data.readers.csv_table import read_table
from lmc_mlflow.data.readers.moons import read_moons
from lmc_mlflow.data.readers.npz import read_npz
from lmc_mlflow.data.readers.tiny_imagenet import read_tiny_imagenet

BIGEARTHNET = 480_038
Colour = int | tuple[int, int, int]


def write_image(path: Path, value: Colour, size: int = 8) -> Path:
    """A plain image of one grey value or one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(value, int) else "RGB", (size, size), value).save(path)
    return path


def refuse_to_open(path: Path) -> Path:
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    return path


# random80


def test_four_fifths_of_the_paper_s_patches_are_for_training() -> None:
    train, test = random80(BIGEARTHNET, split_seed=0)
    assert (len(train), len(test)) == (384_030, 96_008)


@pytest.mark.parametrize(("num_samples", "num_train"), [(0, 0), (1, 0), (4, 3), (5, 4), (10, 8), (99, 79), (35, 28)])
def test_the_training_part_is_rounded_down(num_samples: int, num_train: int) -> None:
    assert len(random80(num_samples, split_seed=3)[0]) == num_train


def test_every_sample_is_in_one_part_in_ascending_order() -> None:
    train, test = random80(1000, split_seed=7)
    assert sorted([*train, *test]) == list(range(1000))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    assert train.dtype == test.dtype == np.int64


def test_the_parts_depend_on_the_split_seed_alone() -> None:
    np.random.default_rng(1).permutation(10)
    assert random80(10, split_seed=0)[1].tolist() == [0, 7]
    assert random80(10, split_seed=0)[1].tolist() == [0, 7]
    assert random80(10, split_seed=1)[1].tolist() == [2, 7]


# moons


def test_moons_are_points_of_the_plane_as_images_of_one_pixel() -> None:
    moons = read_moons()
    assert moons.train_images.shape == moons.test_images.shape == (1000, 2, 1, 1)
    assert moons.train_images.dtype == np.float32
    assert moons.train_labels.dtype == np.int64
    assert moons.classes == ("upper moon", "lower moon")


def test_both_moons_hold_as_many_points() -> None:
    moons = read_moons()
    assert np.bincount(moons.train_labels).tolist() == np.bincount(moons.test_labels).tolist() == [500, 500]


def test_each_moon_lies_about_its_half_circle() -> None:
    # Upper: radius 1 about (0, 0). Lower: radius 1 about (1, 1/2). Noise 0.1; five deviations are never left.
    moons = read_moons()
    points = moons.train_images[:, :, 0, 0]
    for label, centre, side in ((0, (0, 0), 1), (1, (1, 0.5), -1)):
        found = points[moons.train_labels == label] - np.array(centre)
        distance = np.hypot(found[:, 0], found[:, 1]) - 1
        assert np.abs(distance).max() < 0.5
        assert distance.std() == pytest.approx(0.1, abs=0.01)
        assert (side * found[:, 1]).min() > -0.5
        assert side * found[:, 1].mean() == pytest.approx(2 / np.pi, abs=0.03)  # mean height of a half circle


def test_moons_are_the_same_at_every_call_and_no_test_point_is_trained_on() -> None:
    first, again = read_moons(), read_moons()
    np.random.default_rng(0).normal(size=3)
    assert np.array_equal(first.train_images, again.train_images)
    assert np.array_equal(first.test_images, again.test_images)
    everything = np.concatenate([first.train_images, first.test_images])[:, :, 0, 0]
    assert len(np.unique(everything, axis=0)) == 2000


def test_moons_are_easy_but_not_for_a_straight_line() -> None:
    moons = read_moons()
    train, test = moons.train_images[:, :, 0, 0], moons.test_images[:, :, 0, 0]
    line = LogisticRegression().fit(train, moons.train_labels).score(test, moons.test_labels)
    neighbours = KNeighborsClassifier().fit(train, moons.train_labels).score(test, moons.test_labels)
    assert 0.8 < line < 0.95
    assert neighbours > 0.99


# tiny_imagenet

WORDS = "n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane, hoisting device\nn04\tegg, not of the two hundred\n"


def write_tiny_imagenet(root: Path, size: int = 64) -> Path:
    """Three classes named out of order; the colour of an image says what it is."""
    folder = root / "tiny-imagenet-200"
    for i, wnid in enumerate(("n01", "n02", "n03")):
        write_image(folder / "train" / wnid / "images" / f"{wnid}_0.JPEG", (50 * i, 128, 255), size)
        write_image(folder / "train" / wnid / "images" / f"{wnid}_1.JPEG", 10 * i, size)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t44\n")
    for i in range(2):
        write_image(folder / "val" / "images" / f"val_{i}.JPEG", 100 + i, size)
        write_image(folder / "test" / "images" / f"test_{i}.JPEG", 7, size)
    (folder / "val" / "val_annotations.txt").write_text(
        "val_0.JPEG\tn03\t0\t32\t44\t62\nval_1.JPEG\tn01\t52\t55\t57\t59\n"
    )
    (folder / "wnids.txt").write_text("n03\nn01\nn02\n")
    (folder / "words.txt").write_text(WORDS)
    return root


def test_tiny_imagenet_is_read_as_its_archive_unpacks(tmp_path: Path) -> None:
    tiny = read_tiny_imagenet(write_tiny_imagenet(tmp_path))
    assert tiny.train_images.shape == (6, 3, 64, 64)
    assert tiny.train_images.dtype == np.uint8
    assert tiny.train_labels.tolist() == [0, 0, 1, 1, 2, 2]
    # a JPEG of one colour is off by a little in its colour
    assert np.abs(tiny.train_images[[0, 2, 4], 0].astype(int) - np.array([0, 50, 100])[:, None, None]).max() <= 2
    assert np.abs(tiny.train_images[0, :, 5, 5].astype(int) - [0, 128, 255]).max() <= 2


def test_tiny_imagenet_is_tested_on_its_validation_images(tmp_path: Path) -> None:
    tiny = read_tiny_imagenet(write_tiny_imagenet(tmp_path))
    assert tiny.test_images.shape == (2, 3, 64, 64)
    assert tiny.test_images[:, 0, 0, 0].tolist() == [100, 101]
    assert tiny.test_labels.tolist() == [2, 0]


def test_grey_images_of_tiny_imagenet_have_three_equal_channels(tmp_path: Path) -> None:
    tiny = read_tiny_imagenet(write_tiny_imagenet(tmp_path))
    assert tiny.train_images[[1, 3, 5], :, 9, 9].tolist() == [[0, 0, 0], [10, 10, 10], [20, 20, 20]]


def test_a_class_is_named_by_its_first_word_and_its_id_where_two_share_it(tmp_path: Path) -> None:
    assert read_tiny_imagenet(write_tiny_imagenet(tmp_path)).classes == ("goldfish", "crane (n02)", "crane (n03)")


def test_data_root_may_be_the_unpacked_folder_itself(tmp_path: Path) -> None:
    outer = read_tiny_imagenet(write_tiny_imagenet(tmp_path))
    inner = read_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    assert np.array_equal(outer.train_images, inner.train_images)
    assert np.array_equal(outer.test_labels, inner.test_labels)


def test_a_missing_tiny_imagenet_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"tiny_imagenet: neither {tmp_path}/tiny-imagenet-200 nor {tmp_path} holds"):
        read_tiny_imagenet(tmp_path)


@pytest.mark.parametrize("name", ["words.txt", "val/val_annotations.txt"])
def test_a_missing_text_file_of_tiny_imagenet_is_named(tmp_path: Path, name: str) -> None:
    file = write_tiny_imagenet(tmp_path) / "tiny-imagenet-200" / name
    file.unlink()
    with pytest.raises(ValueError, match=f"tiny_imagenet: {file} is missing; unpack the archive again"):
        read_tiny_imagenet(tmp_path)


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
@pytest.mark.parametrize("content", [b"", b"\n", b"n01\xff\n"], ids=["empty", "blank", "no_utf8"])
def test_a_damaged_text_file_of_tiny_imagenet_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    file = write_tiny_imagenet(tmp_path) / "tiny-imagenet-200" / name
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"tiny_imagenet: {file} is empty or damaged"):
        read_tiny_imagenet(tmp_path)


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "train/n01/images"])
def test_what_may_not_be_read_of_tiny_imagenet_is_named(tmp_path: Path, name: str) -> None:
    path = refuse_to_open(write_tiny_imagenet(tmp_path) / "tiny-imagenet-200" / name)
    try:
        with pytest.raises(ValueError, match=f"tiny_imagenet: {path} cannot be read: permission denied"):
            read_tiny_imagenet(tmp_path)
    finally:
        path.chmod(0o700)


def test_an_id_without_words_is_refused(tmp_path: Path) -> None:
    (write_tiny_imagenet(tmp_path) / "tiny-imagenet-200" / "words.txt").write_text("n01\tgoldfish\n")
    with pytest.raises(ValueError, match=r"words\.txt has no words for n02 of wnids\.txt"):
        read_tiny_imagenet(tmp_path)


@pytest.mark.parametrize("line", ["val_1.JPEG\tn04\t0\t0\t1\t1", "val_1.JPEG"])
def test_an_annotation_of_an_unknown_class_is_refused_by_its_line(tmp_path: Path, line: str) -> None:
    folder = write_tiny_imagenet(tmp_path) / "tiny-imagenet-200"
    (folder / "val" / "val_annotations.txt").write_text(f"val_0.JPEG\tn03\n{line}\n")
    with pytest.raises(ValueError, match=r"val_annotations\.txt, line 2: '(n04)?' is no id of wnids\.txt"):
        read_tiny_imagenet(tmp_path)


def test_a_validation_image_and_its_annotation_belong_together(tmp_path: Path) -> None:
    images = write_tiny_imagenet(tmp_path) / "tiny-imagenet-200" / "val" / "images"
    extra = write_image(images / "val_2.JPEG", 0, 64)
    with pytest.raises(ValueError, match=rf"{extra} is an image without annotation \(1 such\)"):
        read_tiny_imagenet(tmp_path)
    extra.unlink()
    (images / "val_1.JPEG").unlink()
    with pytest.raises(ValueError, match=r"val_1\.JPEG is an annotation without its image \(1 such\)"):
        read_tiny_imagenet(tmp_path)


def test_a_class_of_tiny_imagenet_without_images_is_refused(tmp_path: Path) -> None:
    (write_tiny_imagenet(tmp_path) / "tiny-imagenet-200" / "wnids.txt").write_text("n01\nn04\n")
    with pytest.raises(ValueError, match=r"train/n04/images holds no \.JPEG files; unpack the archive again"):
        read_tiny_imagenet(tmp_path)


def test_a_cut_image_of_tiny_imagenet_is_named(tmp_path: Path) -> None:
    file = write_tiny_imagenet(tmp_path) / "tiny-imagenet-200" / "train" / "n02" / "images" / "n02_1.JPEG"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match=rf"tiny_imagenet: {file} cannot be read as an image"):
        read_tiny_imagenet(tmp_path)


def test_an_image_of_another_size_in_tiny_imagenet_is_named(tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path) / "tiny-imagenet-200"
    file = write_image(folder / "val" / "images" / "val_1.JPEG", 0, 32)
    with pytest.raises(ValueError, match=rf"{file} is \(32, 32\), not \(64, 64\) as the first"):
        read_tiny_imagenet(tmp_path)


# npz


def arrays_of(labels: tuple[list, list, list], shape: tuple[int, ...] = (4, 4)) -> dict[str, np.ndarray]:
    """Image i of all is full of i; training comes first, then validation, then test."""
    found, start = {}, 0
    for part, values in zip(("train", "val", "test"), labels, strict=True):
        numbers = np.arange(start, start + len(values), dtype=np.uint8)
        found[f"{part}_images"] = np.ones(shape, dtype=np.uint8) * numbers.reshape(-1, *(1 for _ in shape))
        found[f"{part}_labels"] = np.array(values)
        start += len(values)
    return found


GREY = arrays_of(([[0], [2], [1]], [[1], [0]], [[2]]))


def write_npz(root: Path, arrays: dict[str, np.ndarray], **others: np.ndarray) -> Path:
    file = root / "set.npz"
    np.savez(file, **{**arrays, **others})
    return file


def test_an_npz_file_in_the_layout_of_medmnist_is_read(tmp_path: Path) -> None:
    found = read_npz(write_npz(tmp_path, GREY), "unused")
    assert found.train_images.shape == (3, 1, 4, 4)
    assert found.train_images[:, 0, 3, 3].tolist() == [0, 1, 2]
    assert found.train_labels.tolist() == [0, 2, 1]
    assert found.train_labels.dtype == np.int64
    assert (found.test_images[:, 0, 0, 0].tolist(), found.test_labels.tolist()) == ([5], [2])
    assert found.classes == ("0", "1", "2")


def test_validation_images_follow_the_training_images_where_they_are_wanted(tmp_path: Path) -> None:
    found = read_npz(write_npz(tmp_path, GREY), "train")
    assert found.train_images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert found.train_labels.tolist() == [0, 2, 1, 1, 0]
    assert found.test_labels.tolist() == [2]


def test_a_folder_of_one_npz_file_stands_for_the_file(tmp_path: Path) -> None:
    write_npz(tmp_path, GREY)
    (tmp_path / "README.txt").write_text("not it")
    assert read_npz(tmp_path, "unused").train_labels.tolist() == [0, 2, 1]


def test_channels_come_first(tmp_path: Path) -> None:
    images = np.zeros((2, 3, 4, 3), dtype=np.uint8)
    images[1, 2, 3] = (7, 8, 9)
    labels = np.array([0, 1])
    file = write_npz(tmp_path, {}, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    found = read_npz(file, "unused")
    assert found.train_images.shape == (2, 3, 3, 4)
    assert found.train_images[1, :, 2, 3].tolist() == [7, 8, 9]


def test_labels_may_be_a_plain_list_of_numbers_of_any_size(tmp_path: Path) -> None:
    plain = {name: array.reshape(-1).astype(np.uint8) for name, array in GREY.items() if name.endswith("labels")}
    assert read_npz(write_npz(tmp_path, GREY, **plain), "unused").train_labels.tolist() == [0, 2, 1]


def test_rows_of_zeros_and_ones_are_several_labels_an_image(tmp_path: Path) -> None:
    arrays = arrays_of(([[0, 1, 1], [0, 0, 0]], [[1, 0, 0]], [[1, 1, 1]]))
    found = read_npz(write_npz(tmp_path, arrays), "train")
    assert found.train_labels.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert found.train_labels.dtype == np.uint8
    assert found.classes == ("0", "1", "2")


def test_a_class_of_unused_validation_images_is_a_class(tmp_path: Path) -> None:
    arrays = arrays_of(([[0], [1]], [[2]], [[1]]))
    assert read_npz(write_npz(tmp_path, arrays), "unused").classes == ("0", "1", "2")


def test_validation_arrays_may_be_missing_where_nobody_asks_for_them(tmp_path: Path) -> None:
    file = write_npz(tmp_path, {name: array for name, array in GREY.items() if not name.startswith("val")})
    assert read_npz(file, "unused").train_labels.tolist() == [0, 2, 1]
    with pytest.raises(ValueError, match=r"has no val_images, val_labels among .*; leave validation at unused"):
        read_npz(file, "train")


def test_missing_arrays_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    file = write_npz(tmp_path, {}, x_train=np.zeros(1), test_labels=np.zeros(1))
    with pytest.raises(ValueError, match=rf"npz: {file} has no train_images, train_labels, test_images among .*'x_tra"):
        read_npz(file, "unused")


def test_a_missing_npz_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"npz: .*absent\.npz does not exist; data_root must be an \.npz file or"):
        read_npz(tmp_path / "absent.npz", "unused")


@pytest.mark.parametrize(("names", "found"), [((), "none"), (("a.npz", "b.npz"), "a.npz, b.npz")])
def test_a_folder_must_hold_one_npz_file(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"exactly one \.npz file, found {found}; give data_root=<the file>"):
        read_npz(tmp_path, "unused")


@pytest.mark.parametrize("left", [0, 3, 200, 900])
def test_a_cut_npz_file_is_refused(tmp_path: Path, left: int) -> None:
    file = write_npz(tmp_path, GREY)
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ValueError, match=rf"npz: {file} cannot be read \(the file: .*\); replace it"):
        read_npz(file, "unused")


def test_an_npz_file_with_a_changed_pixel_is_refused(tmp_path: Path) -> None:
    file = write_npz(tmp_path, GREY)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"\x01" * 16, b"\x01" * 15 + b"\x02"))
    with pytest.raises(ValueError, match=rf"npz: {file} cannot be read \(train_images: Bad CRC-32"):
        read_npz(file, "unused")


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"cannot be read \(the file: it is one array, saved by numpy\.save\)"):
        read_npz(tmp_path / "a.npy", "unused")


def test_an_npz_file_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    file = write_npz(tmp_path, GREY, train_labels=np.array([{}, 1, 2], dtype=object))
    with pytest.raises(ValueError, match=r"cannot be read \(train_labels: it holds Python objects"):
        read_npz(file, "unused")


def test_an_npz_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    file = refuse_to_open(write_npz(tmp_path, GREY))
    with pytest.raises(ValueError, match=f"npz: {file} cannot be read: permission denied"):
        read_npz(file, "unused")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train_images", np.zeros((3, 4, 4)), "train_images is float64, not uint8; store pixels as whole numbers"),
        ("test_images", np.zeros((1, 4), np.uint8), r"test_images has shape \(1, 4\); images are \(N, H, W\) or"),
        ("test_images", np.zeros((1, 4, 4, 28), np.uint8), r"shape \(1, 4, 4, 28\); .* at most 16 channels"),
        ("test_images", np.zeros((1, 5, 4), np.uint8), r"test_images are \(1, 5, 4\), train_images are \(1, 4, 4\)"),
        ("train_images", np.zeros((2, 4, 4), np.uint8), "train_images holds 2 images and train_labels 3 labels"),
        ("test_labels", np.zeros(0, np.int64), "test_images holds 1 images and test_labels 0 labels"),
        ("train_labels", np.zeros(3), "train_labels is float64; labels are whole numbers"),
        ("test_labels", np.array(["cat"]), "test_labels is <U3; labels are whole numbers"),
        ("test_labels", np.zeros((1, 2), np.int64), r"test_labels has shape \(1, 2\), train_labels \(3, 1\)"),
        ("train_labels", np.array([0, 4, 2]), "labels are 0, 2, 4; classes are numbered 0, 1, ... without a gap"),
        ("train_labels", np.array([-1, 0, 1]), "labels are -1, 0, 1, 2; classes are numbered"),
    ],
)
def test_arrays_that_are_no_images_or_labels_are_refused(
    tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    arrays = {key: value for key, value in GREY.items() if not key.startswith("val")}
    file = write_npz(tmp_path, {**arrays, name: array})
    with pytest.raises(ValueError, match=message) as caught:
        read_npz(file, "unused")
    assert str(caught.value).startswith(f"npz: {file}: ")


def test_several_labels_must_be_zeros_and_ones(tmp_path: Path) -> None:
    arrays = arrays_of(([[0, 1], [0, 2]], [[1, 0]], [[1, 1]]))
    with pytest.raises(ValueError, match=r"train_labels of shape \(2, 2\) must hold zeros and ones alone"):
        read_npz(write_npz(tmp_path, arrays), "unused")


# csv


def write_table(root: Path, text: str, values: dict[str, Colour]) -> Path:
    for name, value in values.items():
        write_image(root / name, value)
    (root / "labels.csv").write_text(text)
    return root


def read(
    root: Path, image_size: int | None = None, split: str = "auto", validation: str = "unused", split_seed: int = 0
) -> Parts:
    return read_table(root, image_size, split, validation, split_seed)


SPLIT_TABLE = """file,label,split
a/0.png,dog,train
a/1.png,cat,train
b/2.png,dog,validation
b/3.png,cat,test
"""
FOUR = {"a/0.png": 10, "a/1.png": 11, "b/2.png": 12, "b/3.png": 13}


def test_a_table_says_which_image_is_of_which_class_and_for_what(tmp_path: Path) -> None:
    found = read(write_table(tmp_path, SPLIT_TABLE, FOUR))
    assert found.classes == ("cat", "dog")
    assert found.train_images.shape == (2, 1, 8, 8)
    assert found.train_images[:, 0, 0, 0].tolist() == [10, 11]
    assert (found.train_labels.tolist(), found.test_labels.tolist()) == ([1, 0], [0])
    assert found.train_labels.dtype == np.int64
    assert found.test_images[:, 0, 7, 7].tolist() == [13]


def test_validation_rows_follow_the_training_rows_where_they_are_wanted(tmp_path: Path) -> None:
    found = read(write_table(tmp_path, SPLIT_TABLE, FOUR), validation="train", split="official")
    assert found.train_images[:, 0, 0, 0].tolist() == [10, 11, 12]
    assert found.train_labels.tolist() == [1, 0, 1]
    assert found.test_labels.tolist() == [0]


def table_of_ten(root: Path, header: str = "file,label", ending: str = "") -> Path:
    """Ten images, the i-th full of i, of classes cat and dog in turn."""
    rows = [f"{i}.png,{('cat', 'dog')[i % 2]}{ending}" for i in range(10)]
    return write_table(root, "\n".join([header, *rows]), {f"{i}.png": i for i in range(10)})


def test_a_table_without_parts_is_split_by_the_split_seed(tmp_path: Path) -> None:
    found = read(table_of_ten(tmp_path), split_seed=0)  # random80 of ten: 0 and 7 are for testing
    assert found.train_images[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6, 8, 9]
    assert found.train_labels.tolist() == [1, 0, 1, 0, 1, 0, 0, 1]
    assert found.test_images[:, 0, 0, 0].tolist() == [0, 7]
    assert found.test_labels.tolist() == [0, 1]
    assert read(tmp_path, split_seed=1).test_images[:, 0, 0, 0].tolist() == [2, 7]


def test_random80_passes_over_the_parts_that_a_table_gives(tmp_path: Path) -> None:
    found = read(table_of_ten(tmp_path, "file,label,split", ",train"), split="random80")
    assert found.test_images[:, 0, 0, 0].tolist() == [0, 7]


def test_several_labels_stand_between_bars_and_may_be_none(tmp_path: Path) -> None:
    text = "file,labels,split\n0.png,sea|forest,train\n1.png,,train\n2.png, town | sea ,train\n3.png,town,test\n"
    found = read(write_table(tmp_path, text, {f"{i}.png": i for i in range(4)}))
    assert found.classes == ("forest", "sea", "town")
    assert found.train_labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    assert found.train_labels.dtype == np.uint8
    assert found.test_labels.tolist() == [[0, 0, 1]]


def test_columns_that_nobody_knows_a_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    text = '\ufefflabel,photographer,file,split\ncat,"Ada, L.",0.png,train\n\ncat,Bo,1.png,test\n'
    found = read(write_table(tmp_path, text, {"0.png": 1, "1.png": 2}))
    assert (found.train_images[0, 0, 0, 0], found.test_images[0, 0, 0, 0]) == (1, 2)
    assert found.classes == ("cat",)


def test_grey_among_colour_becomes_colour_across_the_parts(tmp_path: Path) -> None:
    found = read(write_table(tmp_path, SPLIT_TABLE, {**FOUR, "b/3.png": (1, 2, 3)}))
    assert found.train_images[:, :, 0, 0].tolist() == [[10, 10, 10], [11, 11, 11]]
    assert found.test_images[0, :, 0, 0].tolist() == [1, 2, 3]


def test_images_of_several_sizes_need_image_size(tmp_path: Path) -> None:
    write_image(write_table(tmp_path, SPLIT_TABLE, FOUR) / "b/3.png", 99, size=12)
    with pytest.raises(ValueError, match=r"csv: .*3\.png is \(12, 12\), .*0\.png is \(8, 8\); give image_size"):
        read(tmp_path)
    found = read(tmp_path, image_size=4)
    assert found.train_images.shape == (2, 1, 4, 4)
    assert (found.test_images == 99).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("file,label", "path,label", "begins 'path,label,split', without file and one of label, labels; the header is"),
        ("file,label", "file,class", "begins 'file,class,split', without file and one of label, labels"),
        ("label,split", "label,labels", "begins 'file,label,labels', without file and one of label, labels"),
        ("label,split", "label,label", "has a column twice: file,label,label"),
        ("3.png,cat,test", "3.png,cat,tset", r"line 5: split 'tset' is unknown \(did you mean 'test'\?\); choose from"),
        ("3.png,cat,test", "3.png,cat", "line 5: 2 fields, the header has 3; quote names with a comma"),
        ("3.png,cat,test", "3.png,cat,big,test", "line 5: 4 fields, the header has 3"),
        ("3.png,cat,test", "3.png,,test", "line 5: an empty class name"),
        ("b/3.png,", ",", "line 5: file is empty"),
        ("b/3.png", "./a/0.png", r"lists .*a/0\.png twice; one row for each image"),
        ("3.png,cat,test", "3.png,cow,test", "never in training: cow; give each class a training image"),
        ("3.png,cat,test", "3.png,cat,train", r"gives no images for test \(4 rows\)"),
        ("cat,train", '"cat,train', "cannot be read as a table in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_table(tmp_path, SPLIT_TABLE.replace(old, new), FOUR)
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"csv: {tmp_path}/labels.csv")


def test_a_name_between_bars_must_not_be_empty(tmp_path: Path) -> None:
    write_table(tmp_path, "file,labels\n0.png,sea||town\n", {"0.png": 0})
    with pytest.raises(ValueError, match="line 2: an empty class name"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["file,label\n", "file,labels\n0.png,\n"])
def test_a_table_without_labels_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"labels\.csv has no labelled rows"):
        read(write_table(tmp_path, text, {"0.png": 0}))


def test_a_class_of_unused_validation_rows_alone_is_refused_and_learned_where_they_are_used(tmp_path: Path) -> None:
    write_table(tmp_path, SPLIT_TABLE.replace("dog,validation", "cow,validation"), FOUR)
    with pytest.raises(ValueError, match="never in training: cow"):
        read(tmp_path)
    assert read(tmp_path, validation="train").train_labels.tolist() == [2, 0, 1]


def test_an_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    (write_table(tmp_path, SPLIT_TABLE, FOUR) / "b/3.png").unlink()
    with pytest.raises(ValueError, match=rf"csv: {tmp_path}/b/3\.png is listed in labels\.csv and is no file"):
        read(tmp_path)


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (write_table(tmp_path, SPLIT_TABLE, FOUR) / "b/3.png").write_text("hello")
    with pytest.raises(ValueError, match=rf"csv: {tmp_path}/b/3\.png cannot be read as an image"):
        read(tmp_path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels\.csv does not exist; data_root must hold labels\.csv and the images"):
        read(tmp_path / "absent")


def test_a_table_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    file = refuse_to_open(write_table(tmp_path, SPLIT_TABLE, FOUR) / "labels.csv")
    with pytest.raises(ValueError, match=f"csv: {file} cannot be read: permission denied"):
        read(tmp_path)


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path, "", FOUR)
    (tmp_path / "labels.csv").write_bytes(SPLIT_TABLE.replace("dog", "Bär").encode("latin-1"))
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read as a table in UTF-8"):
        read(tmp_path)


def test_options_that_ask_for_what_a_table_does_not_give_are_refused(tmp_path: Path) -> None:
    table_of_ten(tmp_path)
    with pytest.raises(ValueError, match=r"test_split=official, but .* has no column split; leave test_split at auto"):
        read(tmp_path, split="official")
    with pytest.raises(ValueError, match=r"validation=train, but .* has no validation rows; leave validation at"):
        read(tmp_path, validation="train")


# docs/datasets.md


def test_the_data_set_that_the_documents_add_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, test = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "datasets.md").read_text(), re.DOTALL)
    module = ModuleType("lmc_mlflow.data.readers.clips")
    exec(reader, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    scope: dict[str, Any] = {}
    exec(test, scope)
    scope["test_a_clip_keeps_its_pixels_and_its_word"](tmp_path)
    (tmp_path / "test_words.npy").unlink()
    with pytest.raises(ValueError, match=r"clips: .*test_words\.npy is missing"):
        module.read_clips(tmp_path)
