"""Loads the further test sets that a command is told to test logged networks on."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from lmc_mlflow.config.other_data import OtherDataConfig
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.data.other_tests import load_other_tests
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages


def other_tests(
    config: OtherDataConfig, network: LoggedNetwork, test: LabelledImages, data_root: str, device: torch.device
) -> dict[str, InputImages]:
    """Load the test sets that a configuration names: split -> images, scaled as a network's own.

    Args:
        config: with `test_on`.
        network: whose data they stand beside.
        test: its logged test set.
        data_root: folder of the data set here; empty: as the run says.
        device: where the tensors go.

    Raises:
        ValueError: no such data, or images of another shape or other classes.
    """
    section = network.config.data
    section = replace(section, data_root=data_root) if data_root else section
    found = load_other_tests(section, config.names, test, device)
    return {split: InputImages(own.images, own.config, rendering=own.rendering) for split, own in found.items()}


def images_of(inputs: Mapping[str, InputImages]) -> dict[str, LabelledImages]:
    """Give the images of some inputs under their names."""
    return {name: used.images for name, used in inputs.items()}
