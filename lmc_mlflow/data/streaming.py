"""How do images reach the device without all of them being in memory? Read ahead, batch by batch."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.data.pixels import ArraySource, Scaling, Source

READ_AHEAD = 2
"""Batches that lie ready while one is trained on: memory is that of READ_AHEAD + 2 raw batches and a scaled one."""
COPY_BATCH = 1000
BYTES_PER_FLOAT = 4


@dataclass(frozen=True)
class Piece:
    """A source and how its images are scaled."""

    source: Source
    scaling: Scaling


@dataclass(frozen=True)
class StreamedImages:
    """The images of several pieces, one after the other; a thread reads ahead of the caller."""

    pieces: tuple[Piece, ...]
    device: torch.device

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W; N over all pieces."""
        _, c, h, w = self.pieces[0].source.shape
        return sum(piece.source.shape[0] for piece in self.pieces), c, h, w

    def batches(self, order: Tensor | None, batch_size: int) -> Iterator[Tensor]:
        """See `Images`."""
        parts = torch.split(torch.arange(self.shape[0]) if order is None else order.cpu(), batch_size)
        reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        ahead: deque[Future[list[tuple[Piece, Tensor, Tensor]]]] = deque()
        try:
            for part in parts:
                ahead.append(reader.submit(self._read, part))
                if len(ahead) > READ_AHEAD:
                    yield self._on_device(ahead.popleft().result())
            while ahead:
                yield self._on_device(ahead.popleft().result())
        finally:
            reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, positions: Tensor) -> list[tuple[Piece, Tensor, Tensor]]:
        """What each piece holds of a batch: raw images and their places in it."""
        found, start = [], 0
        for piece in self.pieces:
            end = start + piece.source.shape[0]
            places = ((positions >= start) & (positions < end)).nonzero().flatten()
            if len(places):
                raw = piece.source.take(positions[places] - start)
                found.append((piece, raw.pin_memory() if self.device.type == "cuda" else raw, places))
            start = end
        return found

    def _on_device(self, found: list[tuple[Piece, Tensor, Tensor]]) -> Tensor:
        scaled = [piece.scaling.apply(raw.to(self.device, non_blocking=True)) for piece, raw, _ in found]
        if len(scaled) == 1:
            return scaled[0]
        places = torch.cat([places for _, _, places in found])
        return torch.cat(scaled)[places.argsort().to(self.device)]


def settle(pieces: tuple[Piece, ...], device: torch.device, memory_gb: float) -> Images:
    """All images on the device if they fill no more than `memory_gb` as float32, else read batch by batch.

    Both hand out the same numbers, to the last bit.
    """
    images = StreamedImages(pieces, device)
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
    """The images of both, one after the other."""
    if isinstance(first, ResidentImages) and isinstance(second, ResidentImages):
        return ResidentImages(torch.cat([first.tensor, second.tensor]))
    pieces = _pieces(first) + _pieces(second)
    device = next(part.device for part in (first, second) if isinstance(part, StreamedImages))
    return StreamedImages(pieces, device)


def _pieces(images: Images) -> tuple[Piece, ...]:
    if isinstance(images, StreamedImages):
        return images.pieces
    assert isinstance(images, ResidentImages)
    channels = images.shape[1]
    as_it_is = Scaling(1.0, (0.0,) * channels, (1.0,) * channels)
    return (Piece(ArraySource(images.tensor.cpu().numpy()), as_it_is),)
