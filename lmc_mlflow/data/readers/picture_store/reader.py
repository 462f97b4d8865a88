"""Reads one picture of an image folder as a store holds it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmc_mlflow.data.readers.pictures import read_picture, without_size_warnings
from lmc_mlflow.data.store.conversion import Rows


@dataclass(frozen=True)
class PictureReader:
    """Reads the pictures of an image folder in one size and with one number of channels."""

    root: Path
    image_size: int | None
    shape: tuple[int, int, int]

    def read(self, item: str, part: str) -> Rows:
        """Read one picture (C, H, W); a ValueError names the file."""
        path = self.root / part / item
        with without_size_warnings():
            found = read_picture(path, self.image_size, "imagefolder")
        if found.shape[0] == 1:
            found = np.repeat(found, self.shape[0], axis=0)
        if found.shape != self.shape:
            raise ValueError(
                f"imagefolder: {path} is {found.shape}, where its header says {self.shape}; replace or remove it"
            )
        return (found,)
