"""Brings images to the device: all at once if they fit, or batch by batch, read ahead by a thread."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.data.pixels import ArraySource, Source
from lmc_mlflow.data.scaling import Constants, Scaling

READ_AHEAD = 2
"""Batches that are read before they are needed: memory is that of READ_AHEAD + 2 raw batches and a scaled one."""
COPY_BATCH = 1000
BYTES_PER_FLOAT = 4


Raw = tuple[list[tuple[int, Tensor]], Tensor]
"""The raw images of a batch that each source holds, with the number of the source, and where each image stands."""


@dataclass(frozen=True)
class ScaledSource:
    """A source and how its images are scaled."""

    source: Source
    scaling: Scaling


@dataclass(frozen=True)
class StreamedImages:
    """The images of several sources, one after the other; a thread reads ahead of the caller."""

    sources: tuple[ScaledSource, ...]
    device: torch.device

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return N, C, H, W; N over all sources."""
        _, c, h, w = self.sources[0].source.shape
        return sum(scaled.source.shape[0] for scaled in self.sources), c, h, w

    def batches(self, order: Tensor | None, batch_size: int) -> Iterator[Tensor]:
        """Yield scaled batches on the device, as `Images` says."""
        chunks = torch.split(torch.arange(self.shape[0]) if order is None else order.cpu(), batch_size)
        reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        ahead: deque[Future[Raw]] = deque()
        constants = [scaled.scaling.constants(self.device) for scaled in self.sources]
        try:
            for chunk in chunks:
                ahead.append(reader.submit(self._read, chunk))
                if len(ahead) > READ_AHEAD:
                    yield self._on_device(ahead.popleft().result(), constants)
            while ahead:
                yield self._on_device(ahead.popleft().result(), constants)
        finally:
            reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, positions: Tensor) -> Raw:
        """Read what each source holds of a batch."""
        found, places, start = [], [], 0
        for i, scaled in enumerate(self.sources):
            end = start + scaled.source.shape[0]
            members = ((positions >= start) & (positions < end)).nonzero().flatten()
            if len(members):
                raw = torch.from_numpy(scaled.source.take((positions[members] - start).numpy()))
                found.append((i, self._pinned(raw)))
                places.append(members)
            start = end
        return found, self._pinned(torch.cat(places).argsort())

    def _pinned(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory() if self.device.type == "cuda" else tensor  # here, in the thread that reads ahead

    def _on_device(self, read: Raw, constants: list[Constants | None]) -> Tensor:
        found, places = read
        images = [
            self.sources[i].scaling.apply(raw.to(self.device, non_blocking=True), constants[i]) for i, raw in found
        ]
        return images[0] if len(images) == 1 else torch.cat(images)[places.to(self.device, non_blocking=True)]


def move_to_device(sources: tuple[ScaledSource, ...], device: torch.device, memory_gb: float) -> Images:
    """Copy all images to the device if they fill at most `memory_gb` as float32; otherwise stream them in batches.

    Both ways give the same numbers, to the last bit.
    """
    images = StreamedImages(sources, device)
    n, c, h, w = images.shape
    if BYTES_PER_FLOAT * n * c * h * w > memory_gb * 2**30:
        return images
    tensor = torch.empty(images.shape, device=device)
    start = 0
    for batch in images.batches(None, COPY_BATCH):
        tensor[start : start + len(batch)] = batch
        start += len(batch)
    return ResidentImages(tensor)


def join(first: Images, second: Images) -> Images:
    """Concatenate the images of both, without copying streamed ones into memory."""
    if isinstance(first, ResidentImages) and isinstance(second, ResidentImages):
        return ResidentImages(torch.cat([first.tensor, second.tensor]))
    device = next(images.device for images in (first, second) if isinstance(images, StreamedImages))
    return StreamedImages(_sources(first) + _sources(second), device)


def _sources(images: Images) -> tuple[ScaledSource, ...]:
    if isinstance(images, StreamedImages):
        return images.sources
    assert isinstance(images, ResidentImages)
    channels = images.shape[1]
    unchanged = Scaling(1.0, (0.0,) * channels, (1.0,) * channels)
    return (ScaledSource(ArraySource(images.tensor.cpu().numpy()), unchanged),)
