"""Publishes what another command has made, at its end, and finds out before it begins whether that can be done.

The workflow of publishing is imported only where something is published.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch

from lmc_mlflow.config.publish import PublicationConfig
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine


def check_publishable(spec: NetworkSpec) -> None:
    """Export a fresh network of this architecture, and throw it away.

    Raises:
        ValueError: PyTorch cannot export it; says why.
    """
    from lmc_mlflow.tracking.exported_networks import export_network

    network = build_network(spec, seed=0).eval()
    images = torch.zeros(2, spec.channels, spec.height, spec.width)
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_network(network, images, {}, Path(folder) / "model")
        except ValueError as error:
            raise ValueError(f"publish=true: model {spec.model}: {error}, or leave publish out") from None


def publish_all(run_ids: Iterable[str], runtime: RuntimeConfig, data_root: str = "") -> dict[str, str]:
    """Publish several networks as the command does by default: run id -> address of its model."""
    from lmc_mlflow.workflows.publish.publish import publish_run

    device, store = prepare_machine(runtime), open_store()
    return {
        run_id: publish_run(store, PublicationConfig(run=run_id, data_root=data_root), device).model_uri
        for run_id in run_ids
    }
