"""Loads the data of a configuration: sides A and B and the test set, scaled and on the training device."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmc_mlflow.batches import Images
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.contract import UNKNOWN_SIDE
from lmc_mlflow.data.content import check_content, check_labels, check_resizing, check_translation
from lmc_mlflow.data.datasets import DATASETS, Dataset, dataset_row, flips_images, load_dataset
from lmc_mlflow.data.labelled import LabelledImages as LabelledImages
from lmc_mlflow.data.labelled import common_black
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.shifts.registry import rendering_of, shift_row, split_sides
from lmc_mlflow.data.shifts.renderings import Rendering
from lmc_mlflow.data.shifts.sides import Indices, Sides
from lmc_mlflow.data.streaming import ScaledSource, join, move_to_device, move_together
from lmc_mlflow.seeds import derive_seed

READ_IN_BATCHES = -1.0
"""A memory in GiB in which no image fits."""
SIDES = ("A", "B")
BOTH = "both"


@dataclass(frozen=True)
class ShiftedData:
    """A data set under a shift: what both sides train on and are tested on.

    Attributes:
        a: training images of side A.
        b: training images of side B.
        test: the test images; where the sides see other renderings, side A's and then side B's of all of them.
        sides: which training samples each side holds.
        classes: names of the classes, in the order of the labels.
        flips: whether training images are flipped at random.
        digest: of the whole data set, training and test, before any split or scaling.
        scalings: how side A's images are scaled, and side B's.
        translate: the largest random move of a training image, by a translation or a crop, in pixels.
        boxed: height and width of training images in which random boxes are resized; None: they are seen whole.
    """

    a: LabelledImages
    b: LabelledImages
    test: LabelledImages
    sides: Sides
    classes: tuple[str, ...]
    flips: bool
    digest: str
    scalings: tuple[Scaling, Scaling]
    translate: int = 0
    boxed: tuple[int, int] | None = None

    def side(self, name: str) -> LabelledImages:
        """Return side `A` or `B`, or `both`: one after the other, or once where they are one subset.

        Raises:
            ValueError: the side is that of a network of which nobody knows what it was trained on.
        """
        if name == BOTH:
            return _join_sides(self.a, self.b)
        if name == UNKNOWN_SIDE:
            raise ValueError(
                "this needs training images, and of an adopted network nobody has said what it was trained on; adopt "
                "it with trained_on=A, B or both of a shift"
            )
        return {"A": self.a, "B": self.b}[name]


def _join_sides(a: LabelledImages, b: LabelledImages) -> LabelledImages:
    if a.digest == b.digest:
        return a
    digest = _short_digest(f"{a.digest} {b.digest}")
    return LabelledImages(join(a.images, b.images), torch.cat([a.labels, b.labels]), digest, black=common_black(a, b))


@dataclass(frozen=True)
class _Subset:
    """Images of a side or of the test set before they are scaled and moved to the device."""

    sources: tuple[ScaledSource, ...]
    labels: NDArray[Any]
    digest: str


def load_shifted(
    config: DataConfig, device: torch.device, sides: Sides | None = None, together: bool = False
) -> ShiftedData:
    """Read, split, render, scale and move the data of a configuration, in this order.

    Args:
        config: what to load.
        device: where the tensors go.
        sides: the split to use instead of drawing it again (a logged `split.npz`).
        together: whether both sides lie in one tensor, so that joining copies nothing; either keeps both's memory.

    Raises:
        ValueError: whatever is wrong with the data set, the shift or the split.
    """
    rendering = rendering_of(config.shift)
    _check_row(config)
    dataset = load_dataset(config)
    check_content(config.dataset, dataset)
    if sides is None:
        sides = split_sides(config.shift, dataset.train_labels, len(dataset.classes), config.split_seed)
    _check_sides(config, dataset, sides)
    subsets, digest = _subsets(config, dataset, rendering, sides)
    a, b, test = subsets
    check_labels(config.dataset, [subset.labels for subset in subsets])
    check_translation(config, a.sources[0].source.shape)
    check_resizing(config, a.sources[0].source.full_scale)
    memory_gb = READ_IN_BATCHES if config.resizes else config.memory_gb
    side_a, side_b = _sides_on_device(a, b, device, memory_gb, together)
    return ShiftedData(
        a=side_a,
        b=side_b,
        test=replace(_on_device(test, device, config.memory_gb), classes=dataset.classes),
        sides=sides,
        classes=dataset.classes,
        flips=flips_images(config),
        digest=digest,
        scalings=(a.sources[0].scaling, b.sources[0].scaling),
        translate=config.largest_move(*a.sources[0].source.shape[2:]),
        boxed=a.sources[0].source.shape[2:] if config.resizes else None,
    )


def _check_row(config: DataConfig) -> None:
    """Look up the data set, and refuse a shift that does not fit it before anything is read."""
    row = dataset_row(config.dataset)
    chooses_bands = shift_row(config.shift).chooses_bands
    if row.in_bands and not chooses_bands:
        raise ValueError(
            f"{config.dataset}: shift={config.shift!r} does not say which bands to read; choose bands_<x>_<y>, as in "
            "bands_B02_B08"
        )
    if chooses_bands and not row.in_bands:
        names = ", ".join(name for name, other in DATASETS.items() if other.in_bands)
        raise ValueError(f"shift {config.shift!r} needs the bands of dataset={names}; choose another shift")


def _subsets(
    config: DataConfig, dataset: Dataset, rendering: Rendering | None, sides: Sides
) -> tuple[tuple[_Subset, _Subset, _Subset], str]:
    """Divide and render the images: side A, side B and the test set, and the digest of the whole data set."""
    train, test = dataset.train, dataset.test
    if rendering is not None:
        train, test = rendering.side_a(train), rendering.side_a(test)
    train_digest, test_digest = train.digest(dataset.train_labels), test.digest(dataset.test_labels)
    digest = _short_digest(f"{train_digest}{test_digest}")
    scaling = Scaling.for_config(config, train)

    def training_subset(chosen: Indices) -> _Subset:
        source = ScaledSource(train.rows(chosen), scaling)
        return _Subset((source,), dataset.train_labels[chosen], _digest_of_rows(train_digest, chosen))

    a = training_subset(sides.a)
    tested = _Subset((ScaledSource(test, scaling),), dataset.test_labels, test_digest)
    if rendering is None:
        return (a, a if sides.b is sides.a else training_subset(sides.b), tested), digest
    scaling_b = scaling
    if rendering.own_scale:  # another instrument has its own mean and deviation
        scaling_b = Scaling.for_config(config, rendering.side_b(dataset.train, config.split_seed))
    source = rendering.side_b(dataset.train.rows(sides.b), derive_seed(config.split_seed, "rendering/train"))
    labels = dataset.train_labels[sides.b]
    digest_b = _short_digest(f"{_digest_of_rows(train_digest, sides.b)} {source.digest(labels)}")
    b = _Subset((ScaledSource(source, scaling_b),), labels, digest_b)
    source = rendering.side_b(dataset.test, derive_seed(config.split_seed, "rendering/test"))
    tested_by_both = _Subset(
        (*tested.sources, ScaledSource(source, scaling_b)),
        np.concatenate([tested.labels, tested.labels]),
        _short_digest(f"{test_digest} {source.digest(tested.labels)}"),
    )
    return (a, b, tested_by_both), digest


def _check_sides(config: DataConfig, dataset: Dataset, sides: Sides) -> None:
    num_train, last = len(dataset.train_labels), max(sides.a.max(), sides.b.max())
    if last >= num_train:
        raise ValueError(f"split: names sample {last}, {config.dataset} has {num_train}; it is another data set")


def _on_device(subset: _Subset, device: torch.device, memory_gb: float) -> LabelledImages:
    return _labelled(move_to_device(subset.sources, device, memory_gb), subset, device)


def _sides_on_device(
    a: _Subset, b: _Subset, device: torch.device, memory_gb: float, together: bool
) -> tuple[LabelledImages, LabelledImages]:
    if b is a:
        side = _on_device(a, device, memory_gb)
        return side, side
    if not together:
        return _on_device(a, device, memory_gb), _on_device(b, device, memory_gb)
    of_a, of_b = move_together(a.sources, b.sources, device, memory_gb)
    return _labelled(of_a, a, device), _labelled(of_b, b, device)


def _labelled(images: Images, subset: _Subset, device: torch.device) -> LabelledImages:
    black = subset.sources[0].scaling.black()
    return LabelledImages(images, torch.from_numpy(subset.labels).to(device), subset.digest, black=black)


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _digest_of_rows(train_digest: str, chosen: Indices) -> str:
    """Compute the digest of a subset from the training set's digest and the indices, in order."""
    return hashlib.sha256(train_digest.encode() + np.ascontiguousarray(chosen).tobytes()).hexdigest()[:32]
