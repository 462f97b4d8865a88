"""Data sets are read from small files in the real formats by the public loaders."""

import hashlib
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, MNIST
from torchvision.transforms import functional as transforms

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import DATASETS, Dataset, load_dataset
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.data.pixels import ArraySource
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.shifts.sides import Sides

CPU = torch.device("cpu")
NOWHERE = "http://127.0.0.1:9/"
"""An address that refuses every download at once."""


def load(dataset: str, root: Path, image_size: int | None = None) -> Dataset:
    return load_dataset(DataConfig(dataset=dataset, data_root=str(root), image_size=image_size))


def write_idx(path: Path, array: np.ndarray) -> None:
    """MNIST's own format: 0, 0, type 8 (unsigned byte), number of axes, the axes as big-endian integers, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, name: str = "MNIST") -> None:
    """Three training images full of 1, 2, 3 with labels 7, 0, 9, and two test images full of 4, 5 with labels 5, 6."""
    raw = root / name / "raw"
    full = np.ones((28, 28), dtype=np.uint8)
    write_idx(raw / "train-images-idx3-ubyte", np.stack([full, 2 * full, 3 * full]))
    write_idx(raw / "train-labels-idx1-ubyte", np.array([7, 0, 9]))
    write_idx(raw / "t10k-images-idx3-ubyte", np.stack([4 * full, 5 * full]))
    write_idx(raw / "t10k-labels-idx1-ubyte", np.array([5, 6]))


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five training batches of one image and a test batch; torchvision is told their md5."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name: str, content: dict) -> str:
        data = pickle.dumps(content, protocol=2)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    def batch(red: int, label: int) -> dict:
        planes = np.repeat(np.array([red, 100, 200], dtype=np.uint8), 32 * 32)[None]
        planes[0, 1] = 77  # first row, second column, red
        return {"data": planes, "labels": [label]}

    train = [[f"data_batch_{i}", write(f"data_batch_{i}", batch(i, i - 1))] for i in range(1, 6)]
    test = [["test_batch", write("test_batch", batch(9, 9))]]
    names = {"label_names": [f"thing{i}" for i in range(10)]}
    meta = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", names)}
    for attribute, value in {"train_list": train, "test_list": test, "meta": meta, "url": NOWHERE + "c.tar.gz"}.items():
        monkeypatch.setattr(CIFAR10, attribute, value)


def write_image(path: Path, value: int | tuple[int, int, int], size: int = 8) -> Path:
    """A plain image of one grey value or one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(value, int) else "RGB", (size, size), value).save(path)
    return path


def write_folder(root: Path, names: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Two grey training images and one test image a class, all of 8 x 8 and all different."""
    for i, name in enumerate(names):
        write_image(root / "train" / name / "0.png", 10 * i)
        write_image(root / "train" / name / "1.png", 10 * i + 1)
        write_image(root / "test" / name / "0.png", 10 * i + 2)
    return root


# digits


def test_digits_are_grey_images_of_28_by_28_in_ten_classes() -> None:
    digits = load_dataset(DataConfig(dataset="digits"))
    assert digits.train.array.shape == (1442, 1, 28, 28)
    assert digits.test.array.shape == (355, 1, 28, 28)
    assert digits.train.array.dtype == digits.test.array.dtype == np.uint8
    assert digits.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert not DATASETS["digits"].flips


def test_every_fifth_digit_of_a_class_is_held_out() -> None:
    digits = load_dataset(DataConfig(dataset="digits"))
    # scikit-learn holds 178, 182, 177, 183, 181, 182, 181, 179, 174 and 180 of them: a fifth, rounded down
    assert np.bincount(digits.test_labels).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    assert np.bincount(digits.train_labels).tolist() == [143, 146, 142, 147, 145, 146, 145, 144, 140, 144]


def test_no_digit_is_in_both_sets() -> None:
    digits = load_dataset(DataConfig(dataset="digits"))
    everything = np.concatenate([digits.train.array, digits.test.array]).reshape(1797, -1)
    assert len(np.unique(everything, axis=0)) == 1797


def test_a_full_ink_pixel_of_digits_is_255() -> None:
    # the raw images count ink from 0 to 16
    digits = load_dataset(DataConfig(dataset="digits"))
    assert digits.train.array.max() == 255
    assert digits.train.array.min() == 0


# mnist


def test_mnist_is_read_from_its_own_files(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    mnist = load("mnist", tmp_path)
    assert mnist.train.array.shape == (3, 1, 28, 28)
    assert mnist.train.array[:, 0, 27, 27].tolist() == [1, 2, 3]
    assert mnist.train_labels.tolist() == [7, 0, 9]
    assert mnist.test.array[:, 0, 0, 0].tolist() == [4, 5]
    assert mnist.test_labels.tolist() == [5, 6]
    assert mnist.classes == tuple("0123456789")
    assert not DATASETS["mnist"].flips


@pytest.mark.parametrize("left", [0, 3, 10, 16, 1000], ids=lambda left: f"{left}_bytes_left")
def test_a_cut_mnist_file_is_refused_naming_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    monkeypatch.setattr(MNIST, "mirrors", [NOWHERE])
    write_mnist(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ValueError, match=rf"mnist: .*data_root='{tmp_path}'"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("kind", [0, 9, 10, 11, 13], ids=lambda kind: f"type_{kind}")
def test_an_mnist_file_with_a_damaged_header_is_refused(tmp_path: Path, kind: int) -> None:
    write_mnist(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    content = bytearray(file.read_bytes())
    content[2] = kind  # 8 means unsigned bytes
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"mnist: .*data_root='{tmp_path}'"):
        load("mnist", tmp_path)


def test_an_mnist_that_is_neither_here_nor_to_be_downloaded_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MNIST, "mirrors", [NOWHERE])
    with pytest.raises(ValueError, match=rf"not whole under data_root='{tmp_path}'.*put its files there"):
        load("mnist", tmp_path)


# cifar10


def test_fashion_mnist_is_read_from_the_same_format_in_its_own_folder(tmp_path: Path) -> None:
    write_mnist(tmp_path, "FashionMNIST")
    fashion = load("fashion_mnist", tmp_path)
    assert fashion.train.array[:, 0, 27, 27].tolist() == [1, 2, 3]
    assert fashion.test_labels.tolist() == [5, 6]
    assert fashion.classes[9] == "Ankle boot"
    assert not DATASETS["fashion_mnist"].flips


def test_cifar100_is_read_with_its_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()

    def write(name: str, content: dict) -> str:
        data = pickle.dumps(content, protocol=2)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    planes = np.repeat(np.array([1, 2, 3], dtype=np.uint8), 32 * 32)[None]
    parts = {
        name: {"data": planes, "fine_labels": [fine], "coarse_labels": [0]}
        for name, fine in (("train", 42), ("test", 99))
    }
    names = {"fine_label_names": [f"thing{i}" for i in range(100)]}
    meta = {"filename": "meta", "key": "fine_label_names", "md5": write("meta", names)}
    for attribute, value in {
        "train_list": [["train", write("train", parts["train"])]],
        "test_list": [["test", write("test", parts["test"])]],
        "meta": meta,
        "url": NOWHERE + "c.tar.gz",
    }.items():
        monkeypatch.setattr(CIFAR100, attribute, value)
    cifar = load("cifar100", tmp_path)
    assert cifar.train.array[0, :, 5, 5].tolist() == [1, 2, 3]
    assert (cifar.train_labels.tolist(), cifar.test_labels.tolist()) == ([42], [99])
    assert len(cifar.classes) == 100
    assert DATASETS["cifar100"].flips


def test_cifar10_is_read_from_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    cifar = load("cifar10", tmp_path)
    assert cifar.train.array.shape == (5, 3, 32, 32)
    assert cifar.train.array[:, 0, 31, 31].tolist() == [1, 2, 3, 4, 5]
    assert cifar.train.array[0, :, 0, 0].tolist() == [1, 100, 200]
    assert cifar.train.array[0, :, 0, 1].tolist() == [77, 100, 200]
    assert cifar.train_labels.tolist() == [0, 1, 2, 3, 4]
    assert cifar.test.array[0, :, 31, 0].tolist() == [9, 100, 200]
    assert cifar.test_labels.tolist() == [9]
    assert cifar.classes[:2] == ("thing0", "thing1")
    assert DATASETS["cifar10"].flips


def test_a_changed_cifar10_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    file = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"cifar10: not whole under data_root='{tmp_path}'"):
        load("cifar10", tmp_path)


# imagefolder


def test_a_folder_of_images_has_a_class_for_each_folder_in_sorted_order(tmp_path: Path) -> None:
    folder = load("imagefolder", write_folder(tmp_path, ("dog", "cat")))
    assert folder.classes == ("cat", "dog")
    assert folder.train.array.shape == (4, 1, 8, 8)
    assert folder.train.array[:, 0, 0, 0].tolist() == [10, 11, 0, 1]
    assert folder.train_labels.tolist() == [0, 0, 1, 1]
    assert folder.test.array[:, 0, 0, 0].tolist() == [12, 2]
    assert folder.test_labels.tolist() == [0, 1]


def test_png_jpeg_and_bmp_are_read_alike(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for ending in ("png", "jpeg", "JPG", "bmp"):
            write_image(tmp_path / split / "cat" / f"image.{ending}", 128)
    folder = load("imagefolder", tmp_path)
    assert folder.train.array.shape == (4, 1, 8, 8)
    assert (folder.train.array == 128).all()


def test_colour_images_keep_their_channels_in_the_order_red_green_blue(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_image(tmp_path / split / "cat" / "0.png", (1, 2, 3))
    folder = load("imagefolder", tmp_path)
    assert folder.train.array.shape == (1, 3, 8, 8)
    assert folder.train.array[0, :, 4, 4].tolist() == [1, 2, 3]


def test_grey_among_colour_becomes_colour(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_image(tmp_path / split / "cat" / "0.png", 50)
        write_image(tmp_path / split / "cat" / "1.png", (1, 2, 3))
    folder = load("imagefolder", tmp_path)
    assert folder.train.array[:, :, 0, 0].tolist() == [[50, 50, 50], [1, 2, 3]]


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_of_several_sizes_are_refused_without_image_size(tmp_path: Path, split: str) -> None:
    write_image(write_folder(tmp_path) / split / "dog" / "wide.png", 0, size=12)
    with pytest.raises(ValueError, match=r"wide\.png is \(12, 12\), .*0\.png is \(8, 8\); give image_size=<pixels>"):
        load("imagefolder", tmp_path)


def test_images_of_several_sizes_are_brought_to_image_size(tmp_path: Path) -> None:
    write_image(write_folder(tmp_path) / "train" / "dog" / "wide.png", 99, size=12)
    folder = load("imagefolder", tmp_path, image_size=4)
    assert folder.train.array.shape == (5, 1, 4, 4)
    assert folder.test.array.shape == (2, 1, 4, 4)
    assert (folder.train.array[-1] == 99).all()


def test_test_images_of_another_size_than_the_training_images_are_refused(tmp_path: Path) -> None:
    for split, size in (("train", 8), ("test", 6)):
        write_image(tmp_path / split / "cat" / "0.png", 0, size)
    with pytest.raises(ValueError, match=r"\(1, 8, 8\), test images \(1, 6, 6\); give image_size=<pixels>"):
        load("imagefolder", tmp_path)


def test_classes_that_differ_between_train_and_test_are_refused(tmp_path: Path) -> None:
    write_image(write_folder(tmp_path) / "test" / "cow" / "0.png", 0)
    with pytest.raises(ValueError, match=r"train and .*test hold different classes: cow"):
        load("imagefolder", tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpeg", "bmp"])
def test_a_cut_image_is_refused_by_name(tmp_path: Path, ending: str) -> None:
    file = write_image(write_folder(tmp_path) / "train" / "cat" / f"cut.{ending}", 3)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"{file} cannot be read as an image .*; replace or remove it"):
        load("imagefolder", tmp_path)


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    file = write_folder(tmp_path) / "train" / "cat" / "empty.png"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{file} cannot be read as an image"):
        load("imagefolder", tmp_path)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_pixels_of_more_than_eight_bits_are_refused_and_not_clipped(tmp_path: Path, kind: type) -> None:
    file = write_folder(tmp_path) / "train" / "cat" / "deep.tiff"
    Image.fromarray(np.full((8, 8), 1000, dtype=kind)).save(file)
    with pytest.raises(ValueError, match=rf"{file} cannot be read as an image .*more than 8 bits"):
        load("imagefolder", tmp_path)


def test_a_folder_without_images_says_where_to_put_them(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match=r"train holds no images; put them into .*train/<class>/"):
        load("imagefolder", tmp_path)


def test_a_class_without_images_is_refused_by_name(tmp_path: Path) -> None:
    (write_folder(tmp_path) / "train" / "cow").mkdir()
    with pytest.raises(ValueError, match="cow holds no images; put some there, or remove the folder"):
        load("imagefolder", tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent/train is no folder; data_root must hold train/<class>/"):
        load("imagefolder", tmp_path / "absent")


@pytest.mark.parametrize("inside", ["train", "train/cat", "train/cat/more"])
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, inside: str) -> None:
    locked = write_folder(tmp_path) / inside
    locked.mkdir(exist_ok=True)
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        pytest.skip("root may read everything")
    try:
        with pytest.raises(ValueError, match=rf"{locked} cannot be read: permission denied"):
            load("imagefolder", tmp_path)
    finally:
        locked.chmod(0o700)


# digests


def test_the_content_digest_changes_with_one_pixel() -> None:
    images, labels = np.zeros((2, 1, 3, 3), dtype=np.uint8), np.array([0, 1])
    changed = images.copy()
    changed[1, 0, 2, 2] = 1
    assert len(ArraySource(images).digest(labels)) == 32
    assert ArraySource(images).digest(labels) == ArraySource(images.copy()).digest(labels.copy())
    assert ArraySource(images).digest(labels) != ArraySource(changed).digest(labels)


def test_the_content_digest_changes_with_labels_order_and_shape() -> None:
    images, labels = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2), np.array([0, 1])
    digests = {
        ArraySource(images).digest(labels),
        ArraySource(images).digest(np.array([1, 0])),
        ArraySource(images[::-1]).digest(labels),
        ArraySource(images.reshape(2, 1, 1, 4)).digest(labels),
    }
    assert len(digests) == 4


# scaling


def all_training_images(data: ShiftedData) -> torch.Tensor:
    return torch.cat([data.a.images.tensor, data.b.images.tensor])


def test_centered_colours_are_worked_by_hand(tmp_path: Path) -> None:
    # red 0, 0, 255, 255: mean 1/2, deviation 1/2. green always 51: deviation 0, left at 0.
    # blue 0, 0, 0, 255: mean 1/4, deviation sqrt(3)/4, so 0 -> -1/sqrt(3) and 255 -> sqrt(3).
    for name, first, second in (("cat", (0, 51, 0), (255, 51, 0)), ("dog", (0, 51, 0), (255, 51, 255))):
        write_image(tmp_path / "train" / name / "0.png", first, size=2)
        write_image(tmp_path / "train" / name / "1.png", second, size=2)
        write_image(tmp_path / "test" / name / "0.png", (255, 51, 255), size=2)
    data = load_shifted(DataConfig(dataset="imagefolder", data_root=str(tmp_path)), CPU)
    low, high = -(3**-0.5), 3**0.5
    expected = torch.tensor([[-1.0, 0.0, low], [-1.0, 0.0, low], [1.0, 0.0, low], [1.0, 0.0, high]])
    found = all_training_images(data)[:, :, 1, 1]
    order = np.lexsort((found[:, 2], found[:, 0]))
    torch.testing.assert_close(found[order], expected)
    torch.testing.assert_close(data.test.images.tensor[0, :, 0, 0], torch.tensor([1.0, 0.0, high]))


def test_centered_gives_mean_0_and_deviation_1_over_all_training_images() -> None:
    data = load_shifted(DataConfig(dataset="digits", shift="label_2080"), CPU)
    values = all_training_images(data).double()
    assert len(values) == 1442
    assert values.mean().item() == pytest.approx(0, abs=1e-6)
    assert values.std(unbiased=False).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("normalization", "ends"), [("half", (-1.0, 1.0)), ("unit", (0.0, 1.0))])
def test_black_and_white_are_the_ends_of_the_interval(normalization: str, ends: tuple[float, float]) -> None:
    data = load_shifted(DataConfig(dataset="digits", normalization=normalization), CPU)
    images = all_training_images(data)
    assert (images.min().item(), images.max().item()) == ends


@pytest.mark.parametrize("normalization", ["centered", "half", "unit"])
def test_scaling_is_bit_for_bit_that_of_torchvision(normalization: str) -> None:
    bytes_ = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    scaling = Scaling.of(normalization, ArraySource(bytes_))
    ours = scaling.apply(torch.from_numpy(bytes_))
    for image, mine in zip(bytes_, ours, strict=True):
        theirs = transforms.to_tensor(Image.fromarray(image.transpose(1, 2, 0)))
        if normalization != "unit":
            theirs = transforms.normalize(theirs, list(scaling.mean), list(scaling.deviation))
        assert torch.equal(mine, theirs)


def test_scaling_leaves_the_bytes_as_they_were() -> None:
    images = torch.full((1, 1, 2, 2), 200, dtype=torch.uint8)
    Scaling.of("half", ArraySource(images.numpy())).apply(images)
    assert (images == 200).all()


# a logged split


@pytest.mark.parametrize("shift", ["label_5050", "label_2080", "none"])
def test_a_logged_split_gives_the_same_data_again(tmp_path: Path, shift: str) -> None:
    config = DataConfig(dataset="digits", shift=shift)
    first = load_shifted(config, CPU)
    np.savez(tmp_path / "split.npz", A=first.sides.a, B=first.sides.b)
    with np.load(tmp_path / "split.npz", allow_pickle=False) as arrays:
        again = load_shifted(config, CPU, Sides(arrays["A"], arrays["B"]))
    assert again.digest == first.digest
    for name in ("a", "b", "test"):
        before, after = getattr(first, name), getattr(again, name)
        assert after.digest == before.digest
        assert torch.equal(after.images.tensor, before.images.tensor)
        assert torch.equal(after.labels, before.labels)


def test_both_sides_have_digests_of_their_own() -> None:
    data = load_shifted(DataConfig(dataset="digits"), CPU)
    assert len({data.a.digest, data.b.digest, data.test.digest, data.digest}) == 4


def test_a_split_of_a_larger_data_set_is_refused() -> None:
    sides = Sides(np.array([0, 1442]), np.array([1]))
    with pytest.raises(ValueError, match="names sample 1442, digits has 1442; it is another data set"):
        load_shifted(DataConfig(dataset="digits"), CPU, sides)
