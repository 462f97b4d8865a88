"""The splits of BigEarthNet: which patches are for training, and which for testing."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.data.holdout import random80
from lmc_mlflow.data.readers.bigearthnet.store import PatchStore

Rows = NDArray[np.int64]
OFFICIAL: Mapping[str, int] = {"train": 0, "validation": 1, "test": 2}
"""Part of the makers' own split -> the number it is stored as, for each patch."""
NOT_IN_SPLIT = 255
VALIDATION = {"unused": ("train",), "train": ("train", "validation")}
"""What validation patches are for -> the parts of the official split that are trained on."""


def train_test(store: PatchStore, split: str, validation: str, split_seed: int) -> tuple[Rows, Rows]:
    """Choose the rows of the store for training and for testing, each sorted.

    Args:
        store: names the patches; its order is that of their names.
        split: random80: four fifths of all patches for training, the rest for testing (Hepburn et al.);
            official: as the data set's makers say.
        validation: official only; unused, or train: validation patches are trained on too.
        split_seed: random80 only.

    Raises:
        ValueError: unknown names, too few patches, or no official split in this archive.
    """
    parts = lookup(VALIDATION, validation, "validation")
    return lookup({"random80": _random80, "official": _official}, split, "test_split")(store, parts, split_seed)


def _random80(store: PatchStore, _parts: tuple[str, ...], split_seed: int) -> tuple[Rows, Rows]:
    if len(store.names) < 2:
        raise ValueError("bigearthnet: test_split=random80 needs at least 2 patches")
    return random80(len(store.names), split_seed)


def _official(store: PatchStore, parts: tuple[str, ...], _split_seed: int) -> tuple[Rows, Rows]:
    train = np.flatnonzero(np.isin(store.official, [OFFICIAL[part] for part in parts]))
    test = np.flatnonzero(store.official == OFFICIAL["test"])
    if len(train) == 0 or len(test) == 0:
        raise ValueError(
            f"bigearthnet: {store.root} has no official split ({store.record.version} with {len(train)} training and "
            f"{len(test)} test patches in it); choose test_split=random80, or put train.csv, val.csv and test.csv "
            "beside a v1.0 archive and prepare it anew"
        )
    return train, test
