"""Writes the papers' data sets at toy size, in their real formats on disk: scikit-learn's digits in other sizes."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from bigearthnet_archives import write_v2
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10, CIFAR100

NUM_TRAIN, NUM_TEST = 80, 40


def digits(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Give uint8 images (N, size, size) and labels of the digits for training and then for testing."""
    found = load_digits()
    count = NUM_TRAIN + NUM_TEST
    wide = np.kron(found.images[:count] * 15.9, np.ones((size // 8, size // 8)))
    rest = size - wide.shape[1]
    return np.pad(wide, ((0, 0), (rest // 2, rest - rest // 2), (rest // 2, rest - rest // 2))).astype(
        np.uint8
    ), found.target[:count]


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write MNIST's own format: 0, 0, type 8 (unsigned byte), number of axes, their lengths, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path) -> None:
    """Write the four files of MNIST."""
    images, labels = digits(28)
    for name, chosen in (("train", slice(0, NUM_TRAIN)), ("t10k", slice(NUM_TRAIN, None))):
        write_idx(root / "MNIST" / "raw" / f"{name}-images-idx3-ubyte", images[chosen])
        write_idx(root / "MNIST" / "raw" / f"{name}-labels-idx1-ubyte", labels[chosen])


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write CIFAR-10 and CIFAR-100 as their archives unpack; torchvision is told their digests."""
    images, labels = digits(32)
    rows = np.repeat(images.reshape(len(images), 1, -1), 3, axis=1).reshape(len(images), -1)

    def write(path: Path, content: dict[str, object]) -> list[str]:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = pickle.dumps(content, protocol=2)
        path.write_bytes(data)
        return [path.name, hashlib.md5(data).hexdigest()]

    def batch(chosen: slice, key: str) -> dict[str, object]:
        return {"data": rows[chosen], key: labels[chosen].tolist()}

    ten, hundred = root / CIFAR10.base_folder, root / CIFAR100.base_folder
    fifth = NUM_TRAIN // 5
    train = [write(ten / f"data_batch_{i + 1}", batch(slice(i * fifth, (i + 1) * fifth), "labels")) for i in range(5)]
    last = slice(NUM_TRAIN, None)
    names = [str(i) for i in range(10)]
    for cls, lists in (
        (CIFAR10, (train, [write(ten / "test_batch", batch(last, "labels"))])),
        (
            CIFAR100,
            (
                [write(hundred / "train", batch(slice(0, NUM_TRAIN), "fine_labels"))],
                [write(hundred / "test", batch(last, "fine_labels"))],
            ),
        ),
    ):
        monkeypatch.setattr(cls, "train_list", lists[0])
        monkeypatch.setattr(cls, "test_list", lists[1])
        key = str(CIFAR10.meta["key"] if cls is CIFAR10 else CIFAR100.meta["key"])
        name = str(cls.meta["filename"])
        _, md5 = write(root / cls.base_folder / name, {key: names if cls is CIFAR10 else names * 10})
        monkeypatch.setattr(cls, "meta", {"filename": name, "key": key, "md5": md5})


def write_tiny_imagenet(root: Path) -> None:
    """Write two classes of Tiny ImageNet with their validation images."""
    folder = root / "tiny-imagenet-200"
    images, labels = digits(64)
    for place, wnid in enumerate(("n01", "n02")):
        (folder / "train" / wnid / "images").mkdir(parents=True)
        for i in np.flatnonzero(labels == place):
            Image.fromarray(images[i]).convert("RGB").save(folder / "train" / wnid / "images" / f"{wnid}_{i}.JPEG")
    (folder / "val" / "images").mkdir(parents=True)
    lines = []
    for i in range(4):
        Image.fromarray(images[i]).convert("RGB").save(folder / "val" / "images" / f"val_{i}.JPEG")
        lines.append(f"val_{i}.JPEG\tn0{1 + i % 2}\t0\t0\t63\t63\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("n01\nn02\n")
    (folder / "words.txt").write_text("n01\tgoldfish\nn02\tcrane\n")


def write_pictures(root: Path) -> None:
    """Write a folder of pictures: two classes, to train on and to test."""
    images, labels = digits(64)
    for part, places in (("train", range(NUM_TRAIN)), ("test", range(NUM_TRAIN, NUM_TRAIN + NUM_TEST))):
        for i in places:
            if labels[i] < 2:
                (root / part / str(labels[i])).mkdir(parents=True, exist_ok=True)
                Image.fromarray(images[i]).convert("RGB").save(root / part / str(labels[i]) / f"{i}.png")


def write_all(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write every data set of the papers into one folder."""
    write_mnist(root)
    write_cifar(root, monkeypatch)
    write_tiny_imagenet(root)
    write_pictures(root / "pictures")
    write_v2(root, 24, bands=("B02", "B03", "B04", "B08", "B11"))
    return root
