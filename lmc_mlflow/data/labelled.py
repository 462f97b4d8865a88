"""Scaled images with their labels, and how they go to another device."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmc_mlflow.batches import Images, ResidentImages, send
from lmc_mlflow.config.data import DataConfig


@dataclass(frozen=True)
class LabelledImages:
    """Scaled images, labels (N,) int64 or (N, K) uint8 on one device, the digest of what they are, names of classes.

    `black` is what a raw 0 is in each channel; empty where images that are scaled in several ways lie together.
    """

    images: Images
    labels: Tensor
    digest: str
    classes: tuple[str, ...] = ()
    black: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "LabelledImages":
        """Give the same images and labels on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def move_all(named: Mapping[str, LabelledImages], device: torch.device) -> dict[str, LabelledImages]:
    """Give images on another device, under their names; what has several, or is part of one whole, is copied once."""
    different = {id(one): one for one in named.values()}
    wholes = {id(own.whole): own.whole for own in map(_resident, different.values()) if own and own.whole is not None}
    copies = {key: whole.to(device) for key, whole in wholes.items()}

    def move(one: LabelledImages) -> LabelledImages:
        own = _resident(one)
        copy = copies.get(id(own.whole)) if own else None
        images = one.images.to(device) if own is None or copy is None else own.of_copy(copy)
        return replace(one, images=images, labels=one.labels.to(device))

    moved = {key: move(one) for key, one in different.items()}
    return {name: moved[id(one)] for name, one in named.items()}


def _resident(one: LabelledImages) -> ResidentImages | None:
    return one.images if isinstance(one.images, ResidentImages) else None


def common_black(a: LabelledImages, b: LabelledImages) -> tuple[float, ...]:
    """Return what a raw 0 is in each channel of both; empty where that differs."""
    return a.black if a.black == b.black else ()


def edge_of(config: DataConfig, images: LabelledImages) -> Tensor | None:
    """Return (C, 1, 1) what comes in where these images are moved: None, which is 0, or black where they are cropped.

    Raises:
        ValueError: they are cropped, and black is not the same in all of them.
    """
    if not config.crops:
        return None
    if not images.black:
        raise ValueError(
            f"augmentation={config.augmentation}: images that are scaled in two ways lie together, so black is no one "
            "number; choose flip_translate"
        )
    return send(torch.tensor(images.black), images.labels.device)[:, None, None]
