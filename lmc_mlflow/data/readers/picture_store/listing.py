"""Lists the pictures of an image folder, and finds out their shape from their headers."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lmc_mlflow.data.readers.imagefolder import FolderFiles, check_parts, list_image_folder
from lmc_mlflow.data.readers.picture_store.record import PARTS
from lmc_mlflow.data.readers.pictures import picture_shape, without_size_warnings

Shape = tuple[int, int, int]
COLOUR = 3


@dataclass(frozen=True, eq=False)
class Listing:
    """The files below train/ and test/ of a folder.

    Attributes:
        root: the folder.
        parts: `train` and `test`.
        digest: of the names and sizes of all files.
        changed_ns: (N,) of each part, when each file was changed or put there, in nanoseconds since 1970.
    """

    root: Path
    parts: dict[str, FolderFiles]
    digest: str
    changed_ns: dict[str, NDArray[np.int64]]

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        return self.parts["train"].classes

    def items(self, part: str) -> list[str]:
        """List the files of a part as they are named below it."""
        return [os.path.relpath(path, self.root / part) for path in self.parts[part].files]


def list_folder(root: Path) -> Listing:
    """List the files below `root`/train/<class>/ and `root`/test/<class>/.

    Raises:
        ValueError: no such folders, no images, different classes, or a file that is not there.
    """
    parts = {name: list_image_folder(root / name) for name in PARTS}
    check_parts(root, parts["train"].classes, parts["test"].classes, (), ())
    digest = hashlib.sha256()
    changed_ns = {name: np.zeros(len(part.files), dtype=np.int64) for name, part in parts.items()}
    for name, part in parts.items():
        for i, path in enumerate(part.files):
            try:
                found = path.stat()
            except OSError as error:
                raise ValueError(
                    f"imagefolder: {path} cannot be read ({error.strerror}); replace or remove it"
                ) from None
            digest.update(os.fsencode(f"{name}/{os.path.relpath(path, root / name)}\0{found.st_size}\n"))
            changed_ns[name][i] = found.st_ctime_ns  # st_mtime is kept by what moves, copies or unpacks a file
    return Listing(root, parts, digest.hexdigest(), changed_ns)


def shape_of(listing: Listing, image_size: int | None) -> Shape:
    """Find out the shape (C, H, W) that all pictures have in a store, as those in memory would; reads headers alone.

    Args:
        listing: of the files.
        image_size: height and width that they are brought to; None: they must be of one size.

    Raises:
        ValueError: a file that is no picture, or pictures of several sizes.
    """
    found = {name: _common_shape(part.files, image_size) for name, part in listing.parts.items()}
    check_parts(listing.root, (), (), found["train"], found["test"])
    return found["train"]


def _common_shape(files: tuple[Path, ...], image_size: int | None) -> Shape:
    with without_size_warnings(), ThreadPoolExecutor() as pool:
        read = pool.map(lambda path: picture_shape(path, "imagefolder"), files)
        shapes = list(tqdm(read, total=len(files), desc="reading headers", unit="img", leave=False, disable=None))
    channels = max(shape[0] for shape in shapes)
    if image_size is not None:
        return channels, image_size, image_size
    for path, shape in zip(files, shapes, strict=True):
        if shape[1:] != shapes[0][1:]:
            raise ValueError(
                f"imagefolder: {path} is {shape[1:]}, {files[0]} is {shapes[0][1:]}; give image_size=<pixels>"
            )
    return channels, *shapes[0][1:]
