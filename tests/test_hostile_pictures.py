"""Pictures, tables and arrays that cannot be trusted: nothing is lost without a word, hangs, or starts."""

import logging
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import load_dataset
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.readers import imagefolder, pictures
from lmc_mlflow.data.readers.csv_table import read_table
from lmc_mlflow.data.readers.imagefolder import read_image_folder
from lmc_mlflow.data.readers.pictures import in_order, read_picture, read_pictures

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
COLOUR = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(bits: int, colours: int, width: int, height: int, rows: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_png(path: Path) -> None:
    """Colours of 16 bits that hold 0 to 4095."""
    path.write_bytes(png(16, 2, 8, 8, b"".join(b"\0" + np.full((8, 3), 4095, dtype=">u2").tobytes() for _ in range(8))))


def huge_png(path: Path) -> None:
    path.write_bytes(png(8, 0, 10**5, 10**5, b""))


def tiff(path: Path, bands: int, kind: str, **profile: Any) -> None:
    with rasterio.open(path, "w", "GTiff", 8, 8, bands, dtype=kind, **profile) as file:
        file.write(np.ones((bands, 8, 8), dtype=kind))


def eps(path: Path) -> None:
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")


def cut_png(path: Path) -> None:
    Image.fromarray(COLOUR).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:-14])


def deep_ppm(path: Path) -> None:
    path.write_bytes(b"P6 8 8 65535\n" + bytes(8 * 8 * 6))


@pytest.mark.filterwarnings("ignore")  # rasterio: no place on Earth
@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (deep_png, "have more than 8 bits"),
        (deep_ppm, "have more than 8 bits"),
        (lambda path: tiff(path, 3, "uint16", photometric="RGB"), "have more than 8 bits"),
        (lambda path: tiff(path, 1, "uint16"), "have more than 8 bits"),
        (lambda path: tiff(path, 2, "uint8"), "are neither one of grey nor three of colour"),
        (lambda path: tiff(path, 4, "uint8", photometric="RGB"), "are neither one of grey nor three of colour"),
        (lambda path: tiff(path, 5, "uint8"), "cannot be read as an image"),
        (eps, "cannot identify image file"),
        (huge_png, "exceeds limit"),
        (cut_png, "cannot be read as an image"),
        (lambda path: path.mkdir(), "it is no file"),
        (os.mkfifo, "it is no file"),
        (os.symlink, "cannot be read as an image"),
    ],
)
def test_a_picture_that_would_lose_something_is_refused_whatever_its_name(
    tmp_path: Path, write: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "x.png"
    if write is os.symlink:
        path.symlink_to(path)
    else:
        write(path)
    with pytest.raises(ValueError, match=reason) as caught:
        read_picture(path, None, "imagefolder")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    shape = np.zeros((8, 8, 4), dtype=np.uint8)
    shape[:4, :, 3] = 255
    Image.fromarray(shape).save(tmp_path / "alpha.png")
    read = read_picture(tmp_path / "alpha.png", None, "imagefolder")
    assert read[:, :4].max() == 0
    assert read[:, 4:].min() == 255
    grey = np.stack([GREY, np.where(GREY < 32, 255, 0).astype(np.uint8)], axis=2)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png", None, "imagefolder")[0].tolist()[7] == [255] * 8
    palette = Image.fromarray(GREY).convert("P")
    palette.save(tmp_path / "palette.png", transparency=bytes([0] * 8 + [255] * 248))  # warned once
    assert read_picture(tmp_path / "palette.png", None, "imagefolder").shape == (3, 8, 8)


def test_opaque_pixels_are_what_they_were(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).convert("RGBA").save(tmp_path / "opaque.png")
    assert np.array_equal(read_picture(tmp_path / "opaque.png", None, "csv"), COLOUR.transpose(2, 0, 1))


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(GREY).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "x.png", None, "csv")[0], np.rot90(GREY, -1))


def test_numbers_are_in_the_order_of_numbers() -> None:
    assert in_order(map(str, range(12))) == tuple(map(str, range(12)))
    assert in_order(["10", "9", "ten"]) == ("10", "9", "ten")
    assert in_order(["1", "01"]) == ("01", "1")


def write(path: Path, array: NDArray[np.uint8] = GREY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, "PNG")


def test_folders_of_numbers_and_rows_of_numbers_are_numbered_alike(tmp_path: Path) -> None:
    for i in range(12):
        write(tmp_path / "train" / str(i) / "0.png", GREY + i)
    write(tmp_path / "test" / "0.png")
    folder = read_image_folder(tmp_path / "train", None)
    assert folder.classes == tuple(map(str, range(12)))
    assert folder.images[:, 0, 0, 0].tolist() == folder.labels.tolist() == list(range(12))
    rows = [f"train/{i}/0.png,{i},train" for i in range(12)] + ["test/0.png,4,test"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,split", *rows]).replace("train/4/0.png,4,train\n", ""))
    with pytest.raises(ValueError, match="never in training: 4"):
        read_table(tmp_path, None, "auto", "unused", 0)
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    assert read_table(tmp_path, None, "auto", "unused", 0).classes == folder.classes


def test_what_begins_with_a_dot_is_left_out_and_a_folder_of_it_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "cat" / "0.png")
    write(tmp_path / ".ipynb_checkpoints" / "0.png")
    write(tmp_path / "cat" / ".hidden" / "0.png")
    (tmp_path / "cat" / "._0.png").write_bytes(b"Mac OS X")
    with caplog.at_level(logging.WARNING):
        folder = read_image_folder(tmp_path, None)
    assert folder.classes == ("cat",)
    assert len(folder.images) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"imagefolder: {tmp_path}/.ipynb_checkpoints is no class: its name begins with a dot"
    ]


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "cat" / "0.png")
    for name in ("one", "two"):
        (tmp_path / "cat" / name).symlink_to(tmp_path / "cat")
    with pytest.raises(ValueError, match="is a link to a folder above it; remove it"):
        read_image_folder(tmp_path, None)


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "cat").symlink_to(tmp_path / "elsewhere")
    assert read_image_folder(tmp_path / "all", None).classes == ("cat",)


def test_a_folder_that_is_not_named_in_utf_8_is_refused(tmp_path: Path) -> None:
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/B\xe4r/0.png")))
    with pytest.raises(ValueError, match=r"the folder 'B\\udce4r' of .* is not named in UTF-8; rename it"):
        read_image_folder(tmp_path, None)


def test_pictures_that_memory_cannot_hold_are_refused_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "cat" / "0.png")
    with pytest.raises(ValueError, match=r"1 images of 1,000,000,000,000 bytes would fill 1,862\.6 GiB, .* are free"):
        read_image_folder(tmp_path, 10**6)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 100}))
    monkeypatch.setattr(pictures, "ThreadPoolExecutor", None)
    with pytest.raises(ValueError, match="give a smaller image_size"):
        read_image_folder(tmp_path, None)


@pytest.mark.parametrize("name", ["labels.csv", "x.npz"])
def test_a_table_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    dataset = name.removeprefix("labels.").removeprefix("x.")
    root = tmp_path if dataset == "csv" else tmp_path / name
    with pytest.raises(ValueError, match="is no file"):
        load_dataset(DataConfig(dataset=dataset, data_root=str(root)))


def arrays(images: NDArray[Any], labels: NDArray[Any], test: NDArray[Any] | None = None) -> dict[str, NDArray[Any]]:
    test = labels if test is None else test
    return {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": test}


RANDOM = np.random.default_rng(0).integers(0, 255, (8, 6, 6), dtype=np.uint8)
TWO = np.arange(8) % 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (arrays(np.zeros((8, 6, 6), dtype=np.uint8), TWO), "all training images are equal"),
        (arrays(RANDOM, TWO * 0), "there is one class alone, 0"),
        (arrays(RANDOM, TWO, TWO + np.eye(8, dtype=int)[1]), "never in training, but in the test set: 2"),
        (arrays(RANDOM[:, :0, :0], TWO), "images of 0 x 0 have no pixels"),
        (arrays(np.stack([RANDOM] * 3, axis=1), TWO), r"has shape \(8, 3, 6, 6\), which looks like \(N, C, H, W\)"),
    ],
)
def test_data_that_teach_nothing_are_refused_before_anything_is_trained(
    tmp_path: Path, content: dict[str, NDArray[Any]], reason: str
) -> None:
    np.savez(tmp_path / "x.npz", **content)
    config = DataConfig(dataset="npz", data_root=str(tmp_path / "x.npz"), shift="subset_0.5")
    with pytest.raises(ValueError, match=reason):
        load_shifted(config, torch.device("cpu"))


def test_a_folder_is_decoded_once_and_again_when_a_picture_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def counted(files: Sequence[Path], *rest: Any) -> Any:
        decoded.append(len(files))
        return read_pictures(files, *rest)

    monkeypatch.setattr(imagefolder, "read_pictures", counted)
    for part in ("one", "two", "three"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("RGB", (4, 4), "black").save(tmp_path / part / name / "0.bmp")
    first = imagefolder.read_image_folder(tmp_path / "one", None)
    assert imagefolder.read_image_folder(tmp_path / "one", None).images is first.images
    assert imagefolder.read_image_folder(tmp_path / "one", 2).images.shape == (2, 3, 2, 2)
    assert decoded == [2, 2]
    changed = tmp_path / "one" / "a" / "0.bmp"
    size, before = changed.stat().st_size, changed.stat().st_mtime_ns
    Image.new("RGB", (4, 4), "white").save(changed)
    os.utime(changed, ns=(before + 1, before + 1))
    assert changed.stat().st_size == size
    again = imagefolder.read_image_folder(tmp_path / "one", 2)
    assert again.images[0].min() == 255
    for part in ("two", "three"):
        imagefolder.read_image_folder(tmp_path / part, None)
    imagefolder.read_image_folder(tmp_path / "one", 2)  # two others came between
    assert decoded == [2] * 6
    monkeypatch.setattr(imagefolder, "KEPT_BYTES", 95)
    Image.new("RGB", (4, 4), "white").save(tmp_path / "two" / "a" / "1.bmp")
    for _ in range(2):
        imagefolder.read_image_folder(tmp_path / "two", None)
    assert decoded == [2] * 6 + [3, 3]  # too large to keep
