"""Brings images to the device: all at once if they fit, or batch by batch, read ahead by a thread."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.data.pixels import ArraySource, Source
from lmc_mlflow.data.scaling import Scaling

READ_AHEAD = 2
"""Batches that are read before they are needed: memory is that of READ_AHEAD + 2 raw batches and a scaled one."""
COPY_BATCH = 1000
BYTES_PER_FLOAT = 4


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
        ahead: deque[Future[list[tuple[ScaledSource, Tensor, Tensor]]]] = deque()
        try:
            for chunk in chunks:
                ahead.append(reader.submit(self._read, chunk))
                if len(ahead) > READ_AHEAD:
                    yield self._on_device(ahead.popleft().result())
            while ahead:
                yield self._on_device(ahead.popleft().result())
        finally:
            reader.shutdown(wait=True, cancel_futures=True)

    def to(self, device: torch.device) -> "StreamedImages":
        """Stream the same images to another device."""
        return replace(self, device=device)

    def _read(self, positions: Tensor) -> list[tuple[ScaledSource, Tensor, Tensor]]:
        """Read what each source holds of a batch: raw images, and which of the batch they are."""
        found, start = [], 0
        for scaled in self.sources:
            end = start + scaled.source.shape[0]
            members = ((positions >= start) & (positions < end)).nonzero().flatten()
            if len(members):
                raw = torch.from_numpy(scaled.source.take((positions[members] - start).numpy()))
                found.append((scaled, raw.pin_memory() if self.device.type == "cuda" else raw, members))
            start = end
        return found

    def _on_device(self, found: list[tuple[ScaledSource, Tensor, Tensor]]) -> Tensor:
        images = [scaled.scaling.apply(raw.to(self.device, non_blocking=True)) for scaled, raw, _ in found]
        if len(images) == 1:
            return images[0]
        members = torch.cat([members for _, _, members in found])
        return torch.cat(images)[members.argsort().to(self.device)]


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
