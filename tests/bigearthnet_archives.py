"""Writes small BigEarthNet archives in their real layouts on disk, a thousand patches in seconds."""

import json
from collections.abc import Sequence
from pathlib import Path

import lmdb
import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from safetensors.numpy import save

from lmc_mlflow.data.readers.bigearthnet.bands import BANDS
from lmc_mlflow.data.readers.bigearthnet.classes import CLASSES, CORINE

ALL = tuple(BANDS)
PRODUCT = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
SPLITS = ("train", "train", "validation", "test")
"""Patch i is in part i modulo 4."""
LIST_OF_SPLIT = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}


def patch_names(num_patches: int) -> list[str]:
    """Return the names of patches, sorted; rows and columns are within one product."""
    return [f"{PRODUCT}_{i // 90:03d}_{i % 90:02d}" for i in range(num_patches)]


def patch_labels(row: int) -> list[str]:
    """Return one or two of the 19 classes, in turns, so that each occurs."""
    return sorted({CLASSES[row % 19], CLASSES[row * 7 % 19]})


def patch_pixels(row: int, band: str, seed: int = 0) -> NDArray[np.uint16]:
    """Make pixels in native size: noise around a level that depends on band, patch and first label."""
    size = BANDS[band].size
    index = ALL.index(band)
    generator = np.random.default_rng([seed, row, index])
    level = 400 + 60 * index + 40 * (row % 19)
    return (level + generator.integers(0, 200, (size, size))).astype(np.uint16)


def write_v2(root: Path, num_patches: int, bands: Sequence[str] = ALL, seed: int = 0) -> list[str]:
    """Write version 2.0 (reBEN): metadata.parquet and one folder of GeoTIFFs for each patch, grouped by product."""
    names = patch_names(num_patches)
    write_metadata(root, names)
    for row, name in enumerate(names):
        _write_patch(root / "BigEarthNet-S2" / PRODUCT / name, row, name, bands, seed)
    return names


def write_v1(root: Path, num_patches: int, bands: Sequence[str] = ALL, seed: int = 0, below: str = "") -> list[str]:
    """Write version 1.0: one folder for each patch with GeoTIFFs and CORINE labels, and the official split.

    `below` is "BigEarthNet-v1.0" as it unpacks, or empty.
    """
    names = patch_names(num_patches)
    corine = {target: name for name, target in CORINE.items()}
    for row, name in enumerate(names):
        folder = root / below / name
        _write_patch(folder, row, name, bands, seed)
        labels = {"labels": [corine[label] for label in patch_labels(row)], "acquisition_date": "2017-06-13 10:10:31"}
        (folder / f"{name}_labels_metadata.json").write_text(json.dumps(labels))
    for part, file in LIST_OF_SPLIT.items():
        rows = [name for row, name in enumerate(names) if SPLITS[row % 4] == part]
        (root / file).write_text("".join(f"{name}\n" for name in rows))
    return names


def write_lmdb(
    root: Path, num_patches: int, bands: Sequence[str] = ALL, seed: int = 0, below: str = "Encoded-BigEarthNet"
) -> list[str]:
    """Write the LMDB database that rico-hdl makes of version 2.0, next to metadata.parquet."""
    names = patch_names(num_patches)
    write_metadata(root, names)
    with (
        lmdb.open(str(root / below), map_size=max(1 << 24, num_patches << 18)) as database,
        database.begin(write=True) as transaction,
    ):
        for row, name in enumerate(names):
            transaction.put(name.encode(), save({band: patch_pixels(row, band, seed) for band in bands}))
    return names


def write_metadata(root: Path, names: Sequence[str]) -> None:
    """Write metadata.parquet of version 2.0."""
    root.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(
        {
            "patch_id": names,
            "labels": [patch_labels(row) for row in range(len(names))],
            "split": [SPLITS[row % 4] for row in range(len(names))],
            "country": "Austria",
            "s1_name": names,
            "s2v1_name": names,
            "contains_seasonal_snow": False,
            "contains_cloud_or_shadow": False,
        }
    )
    table.sample(frac=1, random_state=0).to_parquet(root / "metadata.parquet")


def write_tiff(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write a band as the makers do: uncompressed, in UTM, 1.2 km wide."""
    metres = 1200 / pixels.shape[1]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=pixels.shape[0],
        width=pixels.shape[1],
        count=1,
        dtype=pixels.dtype,
        crs="EPSG:32633",
        transform=rasterio.Affine(metres, 0, 404400, 0, -metres, 5342400),
    ) as file:
        file.write(pixels, 1)


def _write_patch(folder: Path, row: int, name: str, bands: Sequence[str], seed: int) -> None:
    folder.mkdir(parents=True)
    for band in bands:
        write_tiff(folder / f"{name}_{band}.tif", patch_pixels(row, band, seed))
