"""Opens an unpacked archive of BigEarthNet in any of its three layouts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmc_mlflow.data.readers.bigearthnet.classes import CLASSES
from lmc_mlflow.data.readers.bigearthnet.readers import GeoTiffReader, LmdbReader, PatchReader
from lmc_mlflow.data.readers.bigearthnet.resampling import Pixels
from lmc_mlflow.data.readers.bigearthnet.splits import NOT_IN_SPLIT, OFFICIAL
from lmc_mlflow.data.readers.bigearthnet.version_one import WITHOUT_LABEL, find_folder, scan_folder

METADATA = "metadata.parquet"


@dataclass(frozen=True, eq=False)
class Archive:
    """The patches of an archive in sorted order; pixels are read one by one."""

    version: str
    patches: tuple[str, ...]
    labels: NDArray[np.uint8]
    """(N, 19), 1 where the class occurs."""
    official: NDArray[np.uint8]
    """(N,): 0 train, 1 validation, 2 test, 255 not in the official split."""
    dropped: dict[str, int]
    """Why patches of the archive are not among these, and how many."""
    reader: PatchReader

    def read(self, patch: str, band: str) -> Pixels:
        """Read the pixels (n, n) in the band's native size.

        Raises:
            ValueError: missing or damaged, or not what a band looks like.
        """
        return self.reader.read(patch, band)


def open_archive(root: Path) -> Archive:
    """Open the archive in a folder, as it unpacks: version 2.0 (GeoTIFFs), its LMDB encoding, or version 1.0.

    Raises:
        ValueError: none of the three, or its metadata are damaged.
    """
    if not root.is_dir():
        raise ValueError(f"bigearthnet: {root} is no folder; give data_root=<folder of the unpacked archive>")
    if (root / METADATA).is_file():
        database = next((path.parent for path in sorted([*root.glob("data.mdb"), *root.glob("*/data.mdb")])), None)
        if database is not None:  # preferred: reads many times faster, and holds the same pixels
            return _described(root, "v2.0 (LMDB)", LmdbReader(database.resolve()))
        if (root / "BigEarthNet-S2").is_dir():
            return _described(root, "v2.0", GeoTiffReader((root / "BigEarthNet-S2").resolve(), by_product=True))
        raise ValueError(
            f"bigearthnet: {root} holds {METADATA}, but neither BigEarthNet-S2/ nor an LMDB folder with data.mdb; "
            "unpack BigEarthNet-S2.tar.zst there"
        )
    folder = find_folder(root)
    if folder is None:
        raise ValueError(
            f"bigearthnet: {root} holds no archive: neither {METADATA} with BigEarthNet-S2/ (v2.0) or an LMDB folder, "
            "nor BigEarthNet-v1.0/; give data_root=<folder of the unpacked archive>"
        )
    scan = scan_folder(root, folder)
    reader = GeoTiffReader(folder.resolve(), by_product=False)
    return Archive("v1.0", scan.patches, scan.labels, scan.official, scan.dropped, reader)


def _described(root: Path, version: str, reader: PatchReader) -> Archive:
    """Describe the patches that metadata.parquet lists."""
    path = root / METADATA
    try:
        table = pd.read_parquet(path, columns=["patch_id", "labels", "split"])
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are ValueErrors
        reason = " ".join(str(error).split())
        raise ValueError(f"bigearthnet: {path} cannot be read ({reason}); download it again") from None
    table = table.sort_values("patch_id").reset_index(drop=True)
    if table["patch_id"].duplicated().any():
        twice = table["patch_id"][table["patch_id"].duplicated()].iloc[0]
        raise ValueError(f"bigearthnet: {path} lists patch {twice} twice; download it again")
    labels = np.zeros((len(table), len(CLASSES)), dtype=np.uint8)
    named = table["labels"].explode().dropna()
    columns = pd.Index(CLASSES).get_indexer(pd.Index(named))
    if (columns < 0).any():
        unknown = named.iloc[int(np.argmax(columns < 0))]
        raise ValueError(f"bigearthnet: {path}: label {unknown!r} is none of the 19 classes; download it again")
    labels[named.index.to_numpy(), columns] = 1
    unknown_splits = set(table["split"].dropna()) - set(OFFICIAL)
    if unknown_splits:
        raise ValueError(f"bigearthnet: {path}: split {sorted(unknown_splits)[0]!r} is none of {', '.join(OFFICIAL)}")
    official = table["split"].map(OFFICIAL).fillna(NOT_IN_SPLIT).to_numpy().astype(np.uint8)
    kept: NDArray[np.bool_] = labels.max(axis=1) > 0
    if not kept.any():
        raise ValueError(f"bigearthnet: {path} lists no patch with a label; download it again")
    dropped = {WITHOUT_LABEL: int((~kept).sum())} if not kept.all() else {}
    patches = tuple(table["patch_id"][kept])
    return Archive(version, patches, labels[kept], official[kept], dropped, reader)
