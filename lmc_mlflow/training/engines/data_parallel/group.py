"""Joins a process to its group, and hands networks and images over to it."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.data.streaming import COPY_BATCH, StreamedImages
from lmc_mlflow.training.trainee import Trainee

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
"""Type of the devices -> PyTorch's name of how their processes talk to each other."""
PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others within a step."""


@dataclass(frozen=True)
class Group:
    """Processes that train together; the one of rank 0 is the command's.

    Attributes:
        devices: of each rank.
        folder: where the processes find each other.
        num_threads: CPU threads of each.
        deterministic: whether repeated runs are bit-equal on a GPU.
    """

    devices: tuple[torch.device, ...]
    folder: Path
    num_threads: int
    deterministic: bool


@dataclass(frozen=True)
class Failure:
    """Why a process has given up: its error in one line, and when (seconds of a clock that all processes share)."""

    error: str
    when: float


@contextmanager
def joined(group: Group, rank: int) -> Iterator[None]:
    """Belong to the group within the block; it begins when all processes have come."""
    device, report = group.devices[rank], sys.excepthook
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
    store = dist.FileStore(str(group.folder / "store"), len(group.devices))  # type: ignore[attr-defined]
    dist.init_process_group(
        BACKENDS[device.type], store=store, rank=rank, world_size=len(group.devices), timeout=PATIENCE
    )
    sys.excepthook = report  # PyTorch writes the rank before each line
    try:
        yield
    finally:
        dist.destroy_process_group()


def pack(content: Any) -> bytes:
    """Write anything with tensors as bytes (pipes of PyTorch's own would keep tensors in shared memory)."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def unpack(content: bytes, device: torch.device) -> Any:
    """Read what another process of the group has packed; its tensors are on the device."""
    return torch.load(io.BytesIO(content), map_location=device, weights_only=False)


def pack_trainees(trainees: Sequence[Trainee]) -> bytes:
    """Pack trainees; of images in memory the shape alone, `share_images` sends them."""
    outlines = {id(t.images): _outline(t.images) for t in trainees}
    return pack([replace(t, images=outlines[id(t.images)], traces=[]) for t in trainees])


def unpack_trainees(content: bytes, device: torch.device) -> list[Trainee]:
    """Unpack trainees, and move them to the device of this process."""
    trainees: list[Trainee] = unpack(content, torch.device("cpu"))
    outlines = {id(t.images): t.images for t in trainees}
    placed = {key: _placed(images, device) for key, images in outlines.items()}
    for t in trainees:
        t.network.to(device)
        t.optimizer.load_state_dict(t.optimizer.state_dict())  # moves each tensor where its rule wants it
        t.noise, t.labels, t.images = t.noise.on(device), t.labels.to(device), placed[id(t.images)]
        t.edge = None if t.edge is None else t.edge.to(device)
    return trainees


def share_images(trainees: Sequence[Trainee]) -> None:
    """Send the images in memory of rank 0 to all others, whose tensors are overwritten."""
    for images in {id(t.images): t.images for t in trainees}.values():
        if isinstance(images, ResidentImages):
            for part in torch.split(images.tensor, COPY_BATCH):
                dist.broadcast(part, 0)


def _outline(images: Images) -> Images:
    return ResidentImages(images.tensor.to("meta")) if isinstance(images, ResidentImages) else images


def _placed(images: Images, device: torch.device) -> Images:
    if isinstance(images, ResidentImages):
        return ResidentImages(torch.empty_like(images.tensor, device=device))
    assert isinstance(images, StreamedImages)
    return replace(images, device=device)
