"""Reads patches as the rows of a store: pixels of full size, and their sums."""

# It runs in worker processes, so nothing here imports torch, which would cost each of them seconds and memory.

from dataclasses import dataclass

import numpy as np

from lmc_mlflow.data.readers.bigearthnet.readers import PatchReader
from lmc_mlflow.data.readers.bigearthnet.resampling import to_full_size
from lmc_mlflow.data.store.conversion import Rows


@dataclass(frozen=True)
class FullSizeReader:
    """Reads patches of an archive, and brings them to 120 x 120."""

    patches: PatchReader

    def read(self, item: str, part: str) -> Rows:
        """Read the pixels (120, 120) of a patch in a band, and their sum and sum of squares (2,)."""
        pixels = to_full_size(self.patches.read(item, part))
        wide = pixels.astype(np.uint32)
        sums = np.array([wide.sum(dtype=np.int64), np.square(wide).sum(dtype=np.int64)])
        return pixels, sums
