"""The files of a store of pictures, and pictures.json, which describes them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.store.files import Part, RowArray, write_whole

FORMAT = 1
RECORD = "pictures.json"
LABELS = "labels.npz"
PARTS = ("train", "test")
AGAIN = "remove the store and give the prepare_data command again"


@dataclass(frozen=True)
class PartRecord:
    """What pictures.json says of the pictures for training or testing.

    Attributes:
        num_pictures: in the part.
        chunks: sha256 of each chunk.
        counts: how often each of 256 values occurs, for each channel.
        content: the digest of pixels and labels, as of the same pictures in memory.
    """

    num_pictures: int
    chunks: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    content: str


@dataclass(frozen=True)
class PictureRecord:
    """All of pictures.json.

    Attributes:
        listing: digest of the names and sizes of the files that the pictures are from.
        image_size: that they were brought to; None: they all had one size.
        shape: (C, H, W) of every picture.
        classes: in the order of the labels.
        labels: sha256 of both parts' labels.
        parts: by name.
    """

    listing: str
    image_size: int | None
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    labels: str
    parts: Mapping[str, PartRecord]

    @property
    def num_pictures(self) -> int:
        """Count the pictures of both parts."""
        return sum(part.num_pictures for part in self.parts.values())

    def part(self, name: str) -> Part:
        """Describe the files of a part."""
        return picture_part(name, self.parts[name].num_pictures, self.shape)


def picture_part(name: str, num_pictures: int, shape: tuple[int, int, int]) -> Part:
    """Describe the part of a store that holds the pictures for training or testing."""
    return Part(name, num_pictures, (RowArray("", shape, "|u1"),))


def labels_digest(labels: Mapping[str, NDArray[np.int64]]) -> str:
    """Compute the sha256 of the labels of both parts."""
    return hashlib.sha256(b"|".join(np.ascontiguousarray(labels[name]).tobytes() for name in PARTS)).hexdigest()


def read_record(root: Path) -> PictureRecord | None:
    """Read pictures.json; None where there is none.

    Raises:
        ValueError: damaged, or of another format.
    """
    path = root / RECORD
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        if content.pop("format") != FORMAT:
            raise ValueError(f"imagefolder: {path} is of another format than {FORMAT}; {AGAIN}")
        parts = {name: _part(content["parts"][name]) for name in PARTS}
        channels, height, width = content["shape"]
        named = {"classes": tuple(content["classes"]), "shape": (channels, height, width), "parts": parts}
        return PictureRecord(**{**content, **named})
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError(f"imagefolder: {path} is damaged; {AGAIN}") from None


def _part(row: Mapping[str, Any]) -> PartRecord:
    return PartRecord(
        **{**row, "chunks": tuple(row["chunks"]), "counts": tuple(tuple(channel) for channel in row["counts"])}
    )


def write_record(root: Path, record: PictureRecord) -> None:
    """Replace pictures.json in one step."""
    write_whole(root / RECORD, json.dumps({"format": FORMAT, **asdict(record)}).encode())
