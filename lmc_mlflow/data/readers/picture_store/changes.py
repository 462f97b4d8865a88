"""Finds a picture whose pixels are no longer those of a store, though its file has the same name and size."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lmc_mlflow.data.readers.picture_store.listing import Listing
from lmc_mlflow.data.readers.picture_store.reader import PictureReader
from lmc_mlflow.data.readers.picture_store.record import LABELS, PARTS, PictureRecord
from lmc_mlflow.data.readers.pictures import without_size_warnings
from lmc_mlflow.data.store.files import pixels_file

MOST = 1000
"""Pictures that are compared: where more are newer than the store, the whole folder was copied or moved."""


def changed_picture(listing: Listing, store: Path, record: PictureRecord) -> Path | None:
    """Compare the pictures that were put there since decoding began with those of the store.

    Where none has changed, the store counts as new, so that they are not compared again.

    Args:
        listing: of the files, the same as those of the store.
        store: its folder, whole.
        record: of the store.

    Returns:
        The first file that has other pixels or is no picture now; None where there is none.
    """
    began = (store / LABELS).stat().st_ctime_ns
    newer = [(name, int(i)) for name in PARTS for i in np.flatnonzero(listing.changed_ns[name] >= began)]
    if not newer:
        return None
    places: list[int] = np.unique(np.linspace(0, len(newer) - 1, min(len(newer), MOST)).astype(int)).tolist()
    chosen = [newer[i] for i in places]
    reader = PictureReader(listing.root, record.image_size, record.shape)
    stored = {name: np.load(pixels_file(store, name), mmap_mode="r") for name in PARTS}
    items = {name: listing.items(name) for name in PARTS}

    def is_same(place: tuple[str, int]) -> bool:
        name, i = place
        try:
            (pixels,) = reader.read(items[name][i], name)
        except ValueError:
            return False
        return np.array_equal(pixels, stored[name][i])

    with (
        without_size_warnings(),
        ThreadPoolExecutor() as pool,
        tqdm(total=len(chosen), desc="comparing pictures", leave=False, disable=None) as bar,
    ):
        for same, (name, i) in zip(pool.map(is_same, chosen), chosen, strict=True):
            if not same:
                pool.shutdown(cancel_futures=True)
                return listing.parts[name].files[i]
            bar.update()
    with suppress(OSError):  # a store that may only be read is compared each time
        os.utime(store / LABELS)
    return None
