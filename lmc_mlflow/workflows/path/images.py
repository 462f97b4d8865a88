"""Tells which images the measurement of a path looks at."""

from collections.abc import Mapping

from lmc_mlflow.alignment.methods.table import METHODS
from lmc_mlflow.config.alignment import NONE
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.paths.points import BN_POLICIES


def needs_images(config: InterpolateConfig) -> bool:
    """Tell whether batch norm or the alignment looks at training images."""
    align = config.aligning.align
    return BN_POLICIES[config.path.bn].needs_images or (align != NONE and METHODS[align].needs_images)


def measured_splits(config: InterpolateConfig) -> tuple[str, ...]:
    """Name the splits that a path is measured on: its own, then the further test sets."""
    return tuple(dict.fromkeys((*config.path.splits, *config.other_data.names)))


def needed_splits(config: InterpolateConfig, splits: Mapping[str, LabelledImages]) -> dict[str, LabelledImages]:
    """Choose the splits that are measured on, or that batch norm or the alignment needs."""
    names = {*measured_splits(config)}
    if BN_POLICIES[config.path.bn].needs_images:
        names |= {"train_a", "train_b"}
    if config.aligning.align != NONE:
        names |= {"train_a"}
    return {name: images for name, images in splits.items() if name in names}
