"""Loads further test sets for trained networks: corrupted or rotated renderings of their own, or other data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.other_data import TEST
from lmc_mlflow.data.arrays import Parts
from lmc_mlflow.data.datasets import DATASETS, Dataset, dataset_row, load_dataset
from lmc_mlflow.data.image_shape import shape_images
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.data.pixels import ArraySource, Source
from lmc_mlflow.data.readers.imagefolder import read_image_folder
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.shifts.registry import SHIFTS, rendering_of, renders_tests
from lmc_mlflow.data.streaming import ScaledSource, move_to_device
from lmc_mlflow.own_code import is_own, plugins
from lmc_mlflow.seeds import derive_seed


@dataclass(frozen=True)
class OtherTest:
    """A further test set.

    Attributes:
        images: scaled as the networks' own are, with their labels.
        config: of the data set that they are of.
        rendering: how they were changed, as in `rotate_30`; empty: they are as they were read.
    """

    images: LabelledImages
    config: DataConfig
    rendering: str = ""


@dataclass(frozen=True)
class Raw:
    """Images of a further test set before they are scaled, and the names of their classes in the order of labels."""

    source: Source
    labels: NDArray[Any]
    classes: tuple[str, ...]
    config: DataConfig
    rendering: str = ""


def check_other_tests(names: Mapping[str, str]) -> None:
    """Check that there is something behind every name, before anything is read.

    Args:
        names: split -> what was given for it.

    Raises:
        ValueError: a name that is no test set; lists what there is.
    """
    for given in names.values():
        if renders_tests(given):
            rendering_of(given)
        elif given != TEST and not _is_dataset(given) and not Path(given).exists():
            if len(Path(given).parts) > 1:
                raise ValueError(f"test_on={given}: there is no such folder or file")
            forms = [row.form for row in SHIFTS.values() if row.renders_tests]
            datasets = [name for name, row in DATASETS.items() if not row.in_bands]
            raise unknown_name("test_on", given, [TEST, *forms, *datasets, *plugins("dataset"), "<folder>"])


def load_other_tests(
    config: DataConfig, names: Mapping[str, str], own: LabelledImages, device: torch.device
) -> dict[str, OtherTest]:
    """Load test sets, and scale them by the constants with which the networks were trained.

    What is random in a rendering is drawn as for side B of a shift of that name, so that `corrupt_noise_3` is what
    the side B of that shift is tested on. Where another data set has the same classes in another order, its labels
    are those of the networks; classes of other names are taken in their order.

    Args:
        config: of the data that the networks were trained on, as it is here.
        names: split -> what was given for it, from `OtherDataConfig.names`.
        own: their logged test set.
        device: where the tensors go.

    Returns:
        Split -> test set; `test` is the logged one itself.

    Raises:
        ValueError: no such data, images of another shape, or another number of classes.
    """
    check_other_tests(names)
    found = {split: OtherTest(own, config) for split, given in names.items() if given == TEST}
    if len(found) == len(names):
        return found
    dataset, rendering = load_dataset(config), rendering_of(config.shift)
    train, test = dataset.train, dataset.test
    if rendering is not None:
        train, test = rendering.side_a(train), rendering.side_a(test)
    scaling = Scaling.for_config(config, train)
    for split, given in names.items():
        if given == TEST:
            continue
        raw = _read(given, config, test, dataset)
        _check(given, raw, config.dataset, test, dataset)
        scaled = ScaledSource(raw.source, replace(scaling, full_scale=raw.source.full_scale))
        labels = labels_in_order(raw, dataset.classes)
        images = move_to_device((scaled,), device, config.memory_gb)
        labelled = LabelledImages(images, torch.from_numpy(labels).to(device), raw.source.digest(labels))
        found[split] = OtherTest(labelled, raw.config, raw.rendering)
    return {split: found[split] for split in names}


def _is_dataset(given: str) -> bool:
    return given in DATASETS or is_own("dataset", given)


def _read(given: str, config: DataConfig, test: Source, dataset: Dataset) -> Raw:
    """Read what a name of `test_on` stands for; `test` is the networks' own test set as side A sees it."""
    if renders_tests(given):
        rendering = rendering_of(given)
        assert rendering is not None
        source = rendering.side_b(test, derive_seed(config.split_seed, "rendering/test"))
        return Raw(source, dataset.test_labels, dataset.classes, config, given)
    if _is_dataset(given):
        return _test_part(config if given == config.dataset else _other(config, given, config.data_root))
    path = Path(given)
    if path.suffix == ".npz":
        return _test_part(_other(config, "npz", given))
    if (path / "labels.csv").is_file():
        return _test_part(_other(config, "csv", given))
    own = _other(config, "imagefolder", given)
    both = (path / "train").is_dir() and (path / "test").is_dir()
    folder = read_image_folder(path / "test" if both else path, config.image_size)
    few = folder.images[:1], folder.labels[:1]
    parts = shape_images(Parts(*few, folder.images, folder.labels, folder.classes), own)
    return Raw(ArraySource(parts.test_images), parts.test_labels, parts.classes, own)


def _other(config: DataConfig, dataset: str, data_root: str) -> DataConfig:
    """Configure other data so that their images come in the shape of the networks' own."""
    size, channels = config.image_size, config.channels
    if dataset_row(dataset).keeps_shape:
        size, channels = None, "auto"
    return DataConfig(
        dataset=dataset,
        data_root=data_root,
        image_size=size,
        channels=channels,
        shift="none",
        split_seed=config.split_seed,
        memory_gb=config.memory_gb,
    )


def _test_part(config: DataConfig) -> Raw:
    if dataset_row(config.dataset).in_bands:
        raise ValueError(f"test_on={config.dataset}: its bands are chosen by a shift; leave it out")
    dataset = load_dataset(config)
    return Raw(dataset.test, dataset.test_labels, dataset.classes, config)


def _check(given: str, raw: Raw, name: str, test: Source, dataset: Dataset) -> None:
    """Check that networks which were trained on one data set can be tested on other images."""

    def kind(source: Source, labels: NDArray[Any], classes: tuple[str, ...]) -> str:
        several = ", several an image" if labels.ndim == 2 else ""
        return f"{' x '.join(map(str, source.shape[1:]))} in {len(classes)} classes{several}"

    here = kind(raw.source, raw.labels, raw.classes)
    wanted = kind(test, dataset.test_labels, dataset.classes)
    if here != wanted:
        raise ValueError(
            f"test_on={given}: its images are {here}, and those of {name} are {wanted}; give images of the same shape "
            "and classes"
        )
    if raw.labels.ndim == 2 and not raw.labels.any():
        raise ValueError(f"test_on={given}: no image has a label, which leaves average precision undefined")
    if not len(raw.labels):
        raise ValueError(f"test_on={given}: there is no image in it")


def labels_in_order(raw: Raw, classes: tuple[str, ...]) -> NDArray[Any]:
    """Give the labels in the order of the networks' classes, where both have the same names."""
    if raw.classes == classes or set(raw.classes) != set(classes) or len(set(classes)) < len(classes):
        return raw.labels
    if raw.labels.ndim == 2:
        return np.ascontiguousarray(raw.labels[:, [raw.classes.index(name) for name in classes]])
    places = np.array([classes.index(name) for name in raw.classes], dtype=raw.labels.dtype)
    ordered: NDArray[Any] = places[raw.labels]
    return ordered
