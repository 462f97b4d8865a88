"""Reads a folder of images with a labels.csv."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.data.holdout import random80
from lmc_mlflow.data.readers.pictures import in_order, read_pictures

SPLITS = ("train", "validation", "test")
WAY_OUT = "the header is file,label or file,labels, and split if you like"


@dataclass(frozen=True)
class Row:
    """One image: where it is, the names of its classes, and the part it belongs to."""

    file: Path
    names: tuple[str, ...]
    split: str


@dataclass(frozen=True)
class Table:
    """What labels.csv says; `columns` are its header."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(data_root: Path, image_size: int | None, split: str, validation: str, split_seed: int) -> Parts:
    """Read the images that data_root/labels.csv lists.

    Its columns: `file`, relative to data_root; `label`, one class, or `labels`, any number of them with
    `|` between; and, if the parts are given, `split`: train, validation or test. Other columns are ignored.
    Classes are in sorted order, as numbers where all are numbers.

    Args:
        data_root: the folder of labels.csv.
        image_size: height and width to bring every image to (bilinear); None: they are of one size.
        split: `official`: the column says; `random80`: drawn by split_seed, column or not; `auto`: the column
            says where there is one, else `random80`.
        validation: `unused`, or `train`: the validation images follow the training images.
        split_seed: of `random80`.

    Raises:
        ValueError: a table or an image that is missing or damaged, a row that cannot be understood, a part
            without images, a class that never occurs in training, or images of several sizes.
    """
    table = _read_rows(data_root / "labels.csv")
    train, test = _parts(table, split, validation, split_seed)
    classes = in_order(name for row in table.rows for name in row.names)
    train_labels, test_labels = (_labels(table, part, classes) for part in (train, test))
    learned = {name for i in train for name in table.rows[i].names}
    lone = [name for name in classes if name not in learned]
    if lone:
        raise ValueError(
            f"csv: {table.path}: never in training: {', '.join(lone[:5])}; give each class a training image, or take "
            "its rows out"
        )
    images = read_pictures([table.rows[i].file for i in (*train, *test)], image_size, "csv")
    return Parts(images[: len(train)], train_labels, images[len(train) :], test_labels, classes)


def _read_rows(path: Path) -> Table:
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin UTF-8 with a mark
            reader = csv.reader(file, strict=True)
            columns = tuple(name.strip() for name in next(reader, []))
            _check_columns(path, columns)
            rows = [_row(path, reader.line_num, columns, fields) for fields in reader if fields]
    except FileNotFoundError:
        raise ValueError(f"csv: {path} does not exist; data_root must hold labels.csv and the images") from None
    except PermissionError:
        raise ValueError(f"csv: {path} cannot be read: permission denied") from None
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"csv: {path} cannot be read as a table in UTF-8 ({error})") from None
    if not any(row.names for row in rows):
        raise ValueError(f"csv: {path} has no labelled rows; one row for each image")
    seen: set[str] = set()
    for row in rows:
        place = normpath(row.file)
        if place in seen:
            raise ValueError(f"csv: {path} lists {row.file} twice; one row for each image")
        seen.add(place)
        _check_file(row.file)
    return Table(path, columns, tuple(rows))


def _check_file(file: Path) -> None:
    try:
        if not file.is_file():
            raise ValueError(f"csv: {file} is listed in labels.csv and is no file; paths start at data_root")
    except PermissionError:
        raise ValueError(f"csv: {file} cannot be read: permission denied") from None


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    found = ",".join(columns)
    if len(set(columns)) != len(columns):
        raise ValueError(f"csv: {path} has a column twice: {found}; {WAY_OUT}")
    if "file" not in columns or ("label" in columns) == ("labels" in columns):
        raise ValueError(f"csv: {path} begins {found!r}, without file and one of label, labels; {WAY_OUT}")


def _row(path: Path, line: int, columns: Sequence[str], fields: Sequence[str]) -> Row:
    where = f"csv: {path}, line {line}"
    if len(fields) != len(columns):
        raise ValueError(f"{where}: {len(fields)} fields, the header has {len(columns)}; quote names with a comma")
    values = {column: field.strip() for column, field in zip(columns, fields, strict=True)}
    if not values["file"]:
        raise ValueError(f"{where}: file is empty; it names an image, relative to data_root")
    split = values.get("split", "train")
    if split not in SPLITS:
        raise ValueError(f"{where}: {unknown_name('split', split, SPLITS)}")
    if "label" in values:
        names = [values["label"]]
    else:
        names = [name.strip() for name in values["labels"].split("|")] if values["labels"] else []
    if "" in names:
        raise ValueError(f"{where}: an empty class name; write file,label with a name, or labels as in cat|dog")
    return Row(path.parent / values["file"], tuple(names), split)


def _parts(table: Table, split: str, validation: str, split_seed: int) -> tuple[list[int], list[int]]:
    """Which rows are for training and which for testing."""
    divided = "split" in table.columns
    of = {name: [i for i, row in enumerate(table.rows) if row.split == name] for name in SPLITS}
    if split == "official" and not divided:
        raise ValueError(f"csv: test_split=official, but {table.path} has no column split; leave test_split at auto")
    if validation == "train" and not of["validation"]:
        raise ValueError(f"csv: validation=train, but {table.path} has no validation rows; leave validation at unused")
    train = of["train"] + (of["validation"] if validation == "train" else [])
    test = of["test"]
    if split == "random80" or not divided:
        pooled = np.array(sorted(train + test), dtype=np.int64)
        first, rest = random80(len(pooled), split_seed)
        train, test = pooled[first].tolist(), pooled[rest].tolist()
    for name, part in (("train", train), ("test", test)):
        if not part:
            raise ValueError(f"csv: {table.path} gives no images for {name} ({len(table.rows)} rows); add some")
    return train, test


def _labels(table: Table, part: Sequence[int], classes: Sequence[str]) -> NDArray[np.int64] | NDArray[np.uint8]:
    index = {name: i for i, name in enumerate(classes)}
    if "label" in table.columns:
        return np.array([index[table.rows[i].names[0]] for i in part], dtype=np.int64)
    several = np.zeros((len(part), len(classes)), dtype=np.uint8)
    for n, i in enumerate(part):
        for name in table.rows[i].names:
            several[n, index[name]] = 1
    return several
