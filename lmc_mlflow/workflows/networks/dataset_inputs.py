"""Logs the images that a run uses as MLflow's data set inputs; the same images have one name in every kind of run."""

from collections.abc import Mapping
from dataclasses import dataclass

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import dataset_row
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.tracking.run import TrackedRun

SIDES = {"A": "side A", "B": "side B", "both": "both sides"}


@dataclass(frozen=True)
class InputImages:
    """Images that a run uses.

    Attributes:
        images: with their digest.
        config: of the data set and the shift.
        side: `A`, `B` or `both`, whose training images they are; empty: they are the test set.
        rendering: of a test set, how its images were changed, as in `rotate_30`; empty: they are as they were read.
    """

    images: LabelledImages
    config: DataConfig
    side: str = ""
    rendering: str = ""

    @property
    def name(self) -> str:
        """Name the images by what they are, whichever run uses them."""
        part = f"{self.config.shift} {SIDES[self.side]}" if self.side else f"test {self.rendering}".rstrip()
        return f"{self.config.dataset} {part}"


def training_images(network: LoggedNetwork, images: LabelledImages) -> InputImages:
    """Give the training images of a network."""
    return InputImages(images, network.config.data, network.side)


def measured_images(network: LoggedNetwork, split: str, images: LabelledImages) -> InputImages:
    """Give the images of a split, `test` or `train`, that a network shares with others."""
    return InputImages(images, network.config.data, "" if split == "test" else network.side)


def log_data(run: TrackedRun, inputs: Mapping[str, InputImages], num_classes: int = 0) -> None:
    """Log images as inputs of a run; images with several contexts are one input, as MLflow keeps one for each run.

    Args:
        run: that uses them.
        inputs: context, as `train_a` or `test` -> images.
        num_classes: of the data set; 0: it is not logged.
    """
    contexts: dict[tuple[str, str], list[str]] = {}
    for context, used in inputs.items():
        contexts.setdefault((used.name, used.images.digest), []).append(context)
    for (name, digest), named in contexts.items():
        used = inputs[named[0]]
        profile = {"num_images": len(used.images)} | ({"num_classes": num_classes} if num_classes else {})
        run.log_dataset(name, digest, _source(used.config), profile, ",".join(named))


def _source(config: DataConfig) -> tuple[str, Mapping[str, object]]:
    """Tell where the images come from: a folder, or the function that makes them."""
    made_by = dataset_row(config.dataset).made_by
    return ("code", {"tags": {"mlflow.source.name": made_by}}) if made_by else ("local", {"uri": config.data_root})
