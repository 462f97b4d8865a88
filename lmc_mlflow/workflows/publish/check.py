"""Finds out, before a network is trained or changed, whether it could be published afterwards."""

import tempfile
from pathlib import Path

import torch

from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.tracking.exported_networks import export_network


def check_publishable(spec: NetworkSpec) -> None:
    """Export a fresh network of this architecture, and throw it away.

    Raises:
        ValueError: PyTorch cannot export it; says why.
    """
    network = build_network(spec, seed=0).eval()
    images = torch.zeros(2, spec.channels, spec.height, spec.width)
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_network(network, images, {}, Path(folder) / "model")
        except ValueError as error:
            raise ValueError(f"publish=true: model {spec.model}: {error}, or leave publish out") from None
