"""Brings images to the device: all at once if they fit, or batch by batch, read ahead by a thread."""

import logging
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import psutil
import torch
from torch import Tensor

from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.data.pixels import ArraySource, Source
from lmc_mlflow.data.resized_crops import ResizingThreads, resize_boxes, resizing_threads
from lmc_mlflow.data.scaling import Constants, Scaling

READ_AHEAD = 2
"""Batches that are read before they are needed: memory is that of READ_AHEAD + 2 raw batches and a scaled one."""
COPY_BATCH = 1000
BYTES_PER_FLOAT = 4
ALIGNMENT = 64
"""Bytes at whose multiples PyTorch lets a tensor begin; products of one that begins elsewhere can round differently."""
logger = logging.getLogger(__name__)


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

    def batches(self, order: Tensor | None, batch_size: int, boxes: Tensor | None = None) -> Iterator[Tensor]:
        """Yield scaled batches on the device, as `Images` says; boxes are resized before pixels are scaled."""
        with resizing_threads(boxes) as threads:
            yield from self._batches(order, batch_size, boxes, threads)

    def _batches(
        self, order: Tensor | None, batch_size: int, boxes: Tensor | None, threads: ResizingThreads | None
    ) -> Iterator[Tensor]:
        chunks = torch.split(torch.arange(self.shape[0]) if order is None else order.cpu(), batch_size)
        boxes_of = [None] * len(chunks) if boxes is None else torch.split(boxes, batch_size)
        reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        ahead: deque[Future[Raw]] = deque()
        constants = [scaled.scaling.constants(self.device) for scaled in self.sources]
        try:
            for chunk, of_chunk in zip(chunks, boxes_of, strict=True):
                ahead.append(reader.submit(self._read, chunk, of_chunk, threads))
                if len(ahead) > READ_AHEAD:
                    yield self._on_device(ahead.popleft().result(), constants)
            while ahead:
                yield self._on_device(ahead.popleft().result(), constants)
        finally:
            reader.shutdown(wait=True, cancel_futures=True)

    def to(self, device: torch.device) -> "StreamedImages":
        """Stream the same images to another device."""
        return replace(self, device=device)

    def _read(self, positions: Tensor, boxes: Tensor | None, threads: ResizingThreads | None) -> Raw:
        """Read what each source holds of a batch, and resize its boxes."""
        found, places, start = [], [], 0
        for i, scaled in enumerate(self.sources):
            end = start + scaled.source.shape[0]
            members = ((positions >= start) & (positions < end)).nonzero().flatten()
            if len(members):
                raw = torch.from_numpy(scaled.source.take((positions[members] - start).numpy()))
                if boxes is not None and threads is not None:
                    raw = resize_boxes(raw, boxes[members], threads)
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

    They are streamed too, with a warning, where so much memory is not free. Both ways give the same numbers, to the
    last bit.
    """
    images = StreamedImages(sources, device)
    needed = num_bytes(images)
    if needed > memory_gb * 2**30:
        return images
    free = free_bytes(device)
    if needed > free:
        logger.warning(
            "images of %.1f GiB: %.1f GiB are free on %s, so they are read batch by batch",
            needed / 2**30, free / 2**30, device,
        )  # fmt: skip
        return images
    tensor = torch.empty(images.shape, device=device)
    start = 0
    for batch in images.batches(None, COPY_BATCH):
        tensor[start : start + len(batch)] = batch
        start += len(batch)
    return ResidentImages(tensor)


def move_together(
    first: tuple[ScaledSource, ...], second: tuple[ScaledSource, ...], device: torch.device, memory_gb: float
) -> tuple[Images, Images]:
    """Do as `move_to_device` does for two sets of images; where both lie on the device, `join` then copies nothing."""
    pieces = StreamedImages(first, device), StreamedImages(second, device)
    num_first, c, h, w = pieces[0].shape
    aligned = num_first * c * h * w * BYTES_PER_FLOAT % ALIGNMENT == 0
    if aligned and all(num_bytes(piece) <= memory_gb * 2**30 for piece in pieces):
        both = move_to_device(first + second, device, math.inf)
        if isinstance(both, ResidentImages):
            whole = both.tensor
            return ResidentImages(whole[:num_first], whole), ResidentImages(whole[num_first:], whole, num_first)
    return move_to_device(first, device, memory_gb), move_to_device(second, device, memory_gb)


def num_bytes(images: Images) -> int:
    """Count the bytes that images fill as float32."""
    return BYTES_PER_FLOAT * math.prod(images.shape)


def free_bytes(device: torch.device) -> int:
    """Measure the memory of a device that is free, or kept by this process and unused."""
    if device.type == "cpu":
        return int(psutil.virtual_memory().available)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def join(first: Images, second: Images) -> Images:
    """Concatenate the images of both: without a copy where they are streamed, or lie one behind the other."""
    if isinstance(first, ResidentImages) and isinstance(second, ResidentImages):
        end = first.start + len(first.tensor)
        if first.whole is not None and first.whole is second.whole and end == second.start:
            return ResidentImages(first.whole[first.start : end + len(second.tensor)], first.whole, first.start)
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
