"""Reads the patches of version 1.0: a folder for each patch, with 43 CORINE labels in a file beside its bands."""

import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lmc_mlflow.data.readers.bigearthnet.classes import CLASSES, CORINE
from lmc_mlflow.data.readers.bigearthnet.splits import NOT_IN_SPLIT, OFFICIAL

PATCH_NAME = re.compile(r"S2[A-D]_MSIL2A_\w+_\d+_\d+")
WITHOUT_LABEL = "without a label among the 19"
LISTS = {
    "on the snow list": "patches_with_seasonal_snow.csv",
    "on the cloud list": "patches_with_cloud_and_shadow.csv",
}
SPLIT_LISTS = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}
BATCH = 1000
COLUMNS: Mapping[str, int | None] = {
    name: None if target is None else CLASSES.index(target) for name, target in CORINE.items()
}


@dataclass(frozen=True, eq=False)
class Scan:
    """The patches that are kept, in sorted order, as in `archives.Archive`."""

    patches: tuple[str, ...]
    labels: NDArray[np.uint8]
    official: NDArray[np.uint8]
    dropped: dict[str, int]


def find_folder(root: Path) -> Path | None:
    """Find the folder whose subfolders are patches: root/BigEarthNet-v1.0, root itself, or none."""
    for folder in (root / "BigEarthNet-v1.0", root):
        if folder.is_dir():
            with os.scandir(folder) as entries:
                if any(PATCH_NAME.fullmatch(entry.name) and entry.is_dir() for entry in entries):
                    return folder
    return None


def scan_folder(root: Path, folder: Path) -> Scan:
    """Read every patch's labels, and drop patches on the makers' lists of snow and clouds, if root has these lists.

    Args:
        root: where the lists are.
        folder: whose subfolders are patches.

    Raises:
        ValueError: a labels file is missing or damaged, or has an unknown label; or no patch is left.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if PATCH_NAME.fullmatch(entry.name) and entry.is_dir())
    dropped: dict[str, int] = {}
    for reason, file in LISTS.items():
        listed = _listed(root / file)
        dropped[reason] = sum(name in listed for name in names)
        names = [name for name in names if name not in listed]
    labels = _read_labels(folder, names)
    kept: NDArray[np.bool_] = labels.max(axis=1, initial=0) > 0
    dropped[WITHOUT_LABEL] = int((~kept).sum())
    if not kept.any():
        raise ValueError(f"bigearthnet: {folder}: every patch is on a list or without a label; unpack the archive anew")
    patches = tuple(name for name, keep in zip(names, kept, strict=True) if keep)
    official = np.full(len(patches), NOT_IN_SPLIT, dtype=np.uint8)
    for part, file in SPLIT_LISTS.items():
        listed = _listed(root / file)
        official[[name in listed for name in patches]] = OFFICIAL[part]
    return Scan(patches, labels[kept], official, {reason: count for reason, count in dropped.items() if count > 0})


def _listed(path: Path) -> frozenset[str]:
    """Read patch names, one a line (a list of BigEarthNet-MM has the radar patch's name after a comma)."""
    if not path.is_file():
        return frozenset()
    return frozenset(line.split(",")[0].strip() for line in path.read_text().splitlines())


def _read_labels(folder: Path, names: list[str]) -> NDArray[np.uint8]:
    """Read labels (N, 19) in threads, because each file waits for the disk."""
    batches = [names[i : i + BATCH] for i in range(0, len(names), BATCH)]
    parts: list[NDArray[np.uint8]] = [np.zeros((0, len(CLASSES)), dtype=np.uint8)]
    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=len(names), desc="reading labels", unit="patch", leave=False, disable=None) as bar,
    ):
        for part in pool.map(lambda batch: np.stack([_labels_of(folder, name) for name in batch]), batches):
            parts.append(part)
            bar.update(len(part))
    return np.concatenate(parts)


def _labels_of(folder: Path, name: str) -> NDArray[np.uint8]:
    path = folder / name / f"{name}_labels_metadata.json"
    hot = np.zeros(len(CLASSES), dtype=np.uint8)
    try:
        found = json.loads(path.read_bytes())["labels"]
    except (OSError, ValueError, KeyError, TypeError):
        reason = "damaged" if path.exists() else "missing"
        raise ValueError(f"bigearthnet: {path} is {reason}; unpack that patch again, or remove its folder") from None
    for label in found:
        if label not in COLUMNS:
            raise ValueError(f"bigearthnet: {path}: label {label!r} is none of the 43 of version 1.0; unpack it again")
        column = COLUMNS[label]
        if column is not None:
            hot[column] = 1
    return hot
