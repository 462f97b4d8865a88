"""Opens and verifies a store of pictures."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.data.readers.picture_store.changes import changed_picture
from lmc_mlflow.data.readers.picture_store.listing import list_folder
from lmc_mlflow.data.readers.picture_store.record import (
    AGAIN,
    LABELS,
    PARTS,
    PictureRecord,
    labels_digest,
    read_record,
)
from lmc_mlflow.data.store.files import DEFAULT_FOLDER, pixels_file, progress_file
from lmc_mlflow.data.store.rows import altered_chunk


@dataclass(frozen=True, eq=False)
class PictureStore:
    """A store of pictures, opened for reading; pixels stay on the disk until they are asked for.

    Attributes:
        root: its folder.
        record: what it holds.
        labels: (N,) of `train` and of `test`.
    """

    root: Path
    record: PictureRecord
    labels: dict[str, NDArray[np.int64]]


def find_pictures(root: Path) -> PictureStore | None:
    """Open the store of pictures in a folder, or in lmc_store below it; None where there is none.

    Raises:
        ValueError: it is unfinished, not whole, or made from other pictures than the folder holds now.
    """
    folders = (root, root / DEFAULT_FOLDER)
    folder = next((path for path in folders if read_record(path) is not None), None)
    if folder is None:
        for path in folders:
            if any(progress_file(path, name).is_file() for name in PARTS):
                raise ValueError(
                    f"imagefolder: the store in {path} is unfinished; give the same prepare_data command again to go "
                    "on, or remove it"
                )
        return None
    record = read_record(folder)
    assert record is not None
    for name in PARTS:
        if not record.part(name).is_whole(folder):
            raise ValueError(
                f"imagefolder: {pixels_file(folder, name)} is missing or of the wrong size; repair it with: "
                f"{RUN} prepare_data -P dataset=imagefolder -P data_root={root}"
            )
    labels = _labels(folder, record)
    if (root / "train").is_dir():
        _check_pictures(root, folder, record)
    return PictureStore(folder, record, labels)


def _check_pictures(root: Path, folder: Path, record: PictureRecord) -> None:
    """Check that the pictures of a folder are those of the store."""
    listing = list_folder(root)
    if listing.digest != record.listing:
        raise ValueError(
            f"imagefolder: pictures were added to {root}, removed or changed since the store in {folder} was made; "
            f"{AGAIN}"
        )
    changed = changed_picture(listing, folder, record)
    if changed is not None:
        raise ValueError(f"imagefolder: {changed} was changed since the store in {folder} was made; {AGAIN}")


def _labels(folder: Path, record: PictureRecord) -> dict[str, NDArray[np.int64]]:
    path = folder / LABELS
    try:
        with np.load(path) as content:
            labels = {name: content[name] for name in PARTS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"imagefolder: {path} is missing or damaged; {AGAIN}") from None
    if labels_digest(labels) != record.labels:
        raise ValueError(f"imagefolder: {path} was altered after it was made; {AGAIN}")
    return labels


def verify_pictures(store: PictureStore) -> None:
    """Read a store again and compare every chunk with its checksum.

    Raises:
        ValueError: naming the file and the chunk that differ.
    """
    record = store.record
    with tqdm(total=record.num_pictures, desc="verifying", unit="picture", leave=False, disable=None) as bar:
        for name in PARTS:
            path = pixels_file(store.root, name)
            altered = altered_chunk(np.load(path, mmap_mode="r"), record.parts[name].chunks, bar.update)
            if altered is not None:
                chunk, first, last = altered
                raise ValueError(
                    f"imagefolder: {path}: chunk {chunk} (pictures {first} to {last}) differs from its checksum; "
                    f"{AGAIN}"
                )
