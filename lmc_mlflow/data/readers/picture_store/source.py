"""The pictures of a store as a source of raw pixels."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmc_mlflow.data.pixels import DIGESTED_AT_ONCE, Indices, digest_of_images, statistics_of_counts
from lmc_mlflow.data.readers.picture_store.record import PARTS
from lmc_mlflow.data.readers.picture_store.store import PictureStore
from lmc_mlflow.data.store.files import pixels_file
from lmc_mlflow.data.store.rows import gather


@dataclass(frozen=True, eq=False)
class PictureSource:
    """Pictures of a store, numbered through both of its parts: first those for training, then those for testing.

    Statistics and digest are those of the same pictures in memory, to the last bit.

    Attributes:
        store: whose pictures they are.
        chosen: (N,) their numbers.
        channels: in which grey pictures are repeated; otherwise those of the store.
    """

    store: PictureStore
    chosen: Indices
    channels: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return N, C, H, W."""
        _, height, width = self.store.record.shape
        return len(self.chosen), self.channels, height, width

    @property
    def full_scale(self) -> float:
        """Return 255."""
        return 255.0

    def take(self, rows: Indices) -> NDArray[Any]:
        """Read the pictures (n, C, H, W) of these rows."""
        where = self.chosen[rows]
        found = np.empty((len(where), *self.store.record.shape), dtype=np.uint8)
        start = 0
        for pixels in self._mapped:
            members = np.flatnonzero((where >= start) & (where < start + len(pixels)))
            if len(members) == len(where):
                found = gather(pixels, where - start, "imagefolder")
            elif len(members):
                found[members] = gather(pixels, where[members] - start, "imagefolder")
            start += len(pixels)
        return found if found.shape[1] == self.channels else np.repeat(found, self.channels, axis=1)

    def rows(self, chosen: Indices) -> "PictureSource":
        """Return the source that holds these pictures alone, in this order; nothing is read."""
        return replace(self, chosen=self.chosen[chosen])

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Compute mean and deviation as `Source` says; of a whole part from the counts that the store keeps."""
        part = self._whole_part()
        if part is not None:
            counts = np.array(self.store.record.parts[part].counts)
        else:
            counts = np.zeros((self.store.record.shape[0], 256), dtype=np.int64)
            for block in replace(self, channels=len(counts))._blocks():
                counts += [np.bincount(block[:, c].reshape(-1), minlength=256) for c in range(len(counts))]
        found = [statistics_of_counts(of_channel) for of_channel in counts]
        times = self.channels // len(found)
        return tuple(mean for mean, _ in found) * times, tuple(deviation for _, deviation in found) * times

    def digest(self, labels: NDArray[Any]) -> str:
        """Compute the digest of pixels and labels; of a whole part it is kept in the store."""
        part = self._whole_part()
        as_stored = part is not None and self.channels == self.store.record.shape[0]
        if part is not None and as_stored and np.array_equal(labels, self.store.labels[part]):
            return self.store.record.parts[part].content
        return digest_of_images(self.shape, self._blocks(), labels)

    def _whole_part(self) -> str | None:
        start = 0
        for name in PARTS:
            end = start + self.store.record.parts[name].num_pictures
            if np.array_equal(self.chosen, np.arange(start, end)):
                return name
            start = end
        return None

    def _blocks(self) -> Iterator[NDArray[Any]]:
        for start in range(0, len(self.chosen), DIGESTED_AT_ONCE):
            yield self.take(np.arange(start, min(start + DIGESTED_AT_ONCE, len(self.chosen))))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the mapped pixels, which would travel to another process as a copy of the whole store."""
        return {name: value for name, value in vars(self).items() if name != "_mapped"}

    @cached_property
    def _mapped(self) -> "list[np.memmap[Any, Any]]":
        return [np.load(pixels_file(self.store.root, name), mmap_mode="r") for name in PARTS]
