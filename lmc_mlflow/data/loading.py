"""How does a data configuration become sides A and B and the test set, ready for the training device?"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmc_mlflow.batches import Images
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import Dataset, load_dataset
from lmc_mlflow.data.pixels import Scaling, Source
from lmc_mlflow.data.shifts.registry import rendering_of, split_sides
from lmc_mlflow.data.shifts.renderings import Rendering
from lmc_mlflow.data.shifts.sides import Indices, Sides
from lmc_mlflow.data.streaming import Piece, join, settle
from lmc_mlflow.seeds import derive_seed

SIDES = ("A", "B")
BOTH = "both"


@dataclass(frozen=True)
class LabelledImages:
    """Scaled images, labels (N,) int64 or (N, K) uint8 on one device, and where they came from."""

    images: Images
    labels: Tensor
    digest: str

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ShiftedData:
    """A data set under a shift: what both sides train on and are tested on."""

    a: LabelledImages
    b: LabelledImages
    test: LabelledImages
    sides: Sides
    classes: tuple[str, ...]
    flips: bool
    digest: str
    """Of the whole data set, training and test, before any split or scaling."""
    translate: int = 0
    """The largest random translation of a training image in pixels."""

    def side(self, name: str) -> LabelledImages:
        """Side `A` or `B`, or `both`: one after the other, or once where they are one subset."""
        if name == BOTH:
            return _together(self.a, self.b)
        return {"A": self.a, "B": self.b}[name]


def _together(a: LabelledImages, b: LabelledImages) -> LabelledImages:
    if a.digest == b.digest:
        return a
    digest = hashlib.sha256(f"{a.digest} {b.digest}".encode()).hexdigest()[:32]
    return LabelledImages(join(a.images, b.images), torch.cat([a.labels, b.labels]), digest)


def load_shifted(config: DataConfig, device: torch.device, sides: Sides | None = None) -> ShiftedData:
    """Load, split, render, scale and move the data of a configuration.

    Args:
        config: what to load.
        device: where the tensors go.
        sides: the split to use instead of making it anew (a logged `split.npz`).

    Raises:
        ValueError: whatever is wrong with the data set, the shift or the split.
    """
    dataset = load_dataset(config)
    num_train = len(dataset.train_labels)
    if sides is None:
        sides = split_sides(config.shift, dataset.train_labels, len(dataset.classes), config.split_seed)
    elif max(sides.a.max(), sides.b.max()) >= num_train:
        raise ValueError(
            f"split: names sample {max(sides.a.max(), sides.b.max())}, {config.dataset} has {num_train}; "
            "it is another data set"
        )
    parts = _Parts(config, dataset, device, rendering_of(config.shift))
    side_a = parts.train(sides.a, "A")
    _, _, height, width = side_a.images.shape
    if config.translates and config.translate_pixels >= min(height, width):
        raise ValueError(
            f"translate_pixels={config.translate_pixels}: images of {height} x {width} leave the picture; give less"
        )
    return ShiftedData(
        a=side_a,
        b=side_a if sides.b is sides.a and parts.rendering is None else parts.train(sides.b, "B"),
        test=parts.test(),
        sides=sides,
        classes=dataset.classes,
        flips=dataset.flips if config.augmentation == "auto" else config.augmentation in ("flip", "flip_translate"),
        digest=parts.digest,
        translate=config.translate_pixels if config.translates else 0,
    )


class _Parts:
    """Renders, scales and digests the parts of one data set under one shift."""

    def __init__(self, config: DataConfig, dataset: Dataset, device: torch.device, rendering: Rendering | None) -> None:
        self.rendering = rendering
        self._dataset = dataset
        self._device = device
        self._config = config
        seed = config.split_seed
        train, test = dataset.train, dataset.test
        if rendering is not None:
            train, test = rendering.side_a(train), rendering.side_a(test)
        self._train, self._test = train, test
        self._train_digest = train.digest(dataset.train_labels)
        self._test_digest = test.digest(dataset.test_labels)
        self.digest = hashlib.sha256(f"{self._train_digest}{self._test_digest}".encode()).hexdigest()[:32]
        self._scale = Scaling.of(config.normalization, train)
        self._scale_b = self._scale
        if rendering is not None and rendering.own_scale:  # another instrument has its own mean and deviation
            self._scale_b = Scaling.of(config.normalization, rendering.side_b(dataset.train, seed))

    def train(self, chosen: Indices, side: str) -> LabelledImages:
        digest = subset_digest(self._train_digest, chosen)
        labels = self._dataset.train_labels[chosen]
        self._refuse_unlabelled(labels, f"side {side}")
        if side == "B" and self.rendering is not None:
            seed = derive_seed(self._config.split_seed, "rendering/train")
            source = self.rendering.side_b(self._dataset.train.rows(chosen), seed)
            pieces = (Piece(source, self._scale_b),)
            return self._labelled(pieces, labels, self._rendered(digest, source, labels))
        return self._labelled((Piece(self._train.rows(chosen), self._scale),), labels, digest)

    def test(self) -> LabelledImages:
        """The test images; where the sides see other renderings, side A's and then side B's of all of them."""
        pieces, labels, digest = [Piece(self._test, self._scale)], self._dataset.test_labels, self._test_digest
        self._refuse_unlabelled(labels, "the test set")
        if self.rendering is not None:
            seed = derive_seed(self._config.split_seed, "rendering/test")
            source = self.rendering.side_b(self._dataset.test, seed)
            pieces.append(Piece(source, self._scale_b))
            digest = self._rendered(digest, source, labels)
            labels = np.concatenate([labels, labels])
        return self._labelled(tuple(pieces), labels, digest)

    def _refuse_unlabelled(self, labels: NDArray[Any], part: str) -> None:
        if labels.ndim == 2 and not labels.any():
            raise ValueError(
                f"{self._config.dataset}: none of the {len(labels)} images of {part} has a label, which leaves average "
                "precision undefined; choose another split, shift or data set"
            )

    def _rendered(self, digest: str, source: Source, labels: NDArray[Any]) -> str:
        return hashlib.sha256(f"{digest} {source.digest(labels)}".encode()).hexdigest()[:32]

    def _labelled(self, pieces: tuple[Piece, ...], labels: NDArray[Any], digest: str) -> LabelledImages:
        images = settle(pieces, self._device, self._config.memory_gb)
        return LabelledImages(images, torch.from_numpy(labels).to(self._device), digest)


def subset_digest(train_digest: str, chosen: Indices) -> str:
    """Digest of a subset: of the training set's digest and the indices, in order."""
    return hashlib.sha256(train_digest.encode() + np.ascontiguousarray(chosen).tobytes()).hexdigest()[:32]
