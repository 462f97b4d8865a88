"""Reads the predictions that a run has kept."""

import tempfile
from pathlib import Path

import safetensors
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from safetensors import SafetensorError
from torch import Tensor

from lmc_mlflow.contract import Artifact
from lmc_mlflow.tracking.downloads import download
from lmc_mlflow.tracking.prediction_cache import TENSOR, cache_name, content_hash


def kept_keys(client: MlflowClient, run_id: str) -> set[str]:
    """List the keys of all predictions that a run has kept."""
    try:
        files = client.list_artifacts(run_id, Artifact.PREDICTIONS_FOLDER)
    except (MlflowException, OSError):
        return set()
    return {Path(file.path).stem for file in files}


def kept_predictions(client: MlflowClient, run_id: str, key: str, shape: tuple[int, int]) -> Tensor | None:
    """Load the log-probabilities (N, K) kept under a key.

    None where they are damaged, of another shape, or no numbers: then compute them again.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            local = download(client, run_id, f"{Artifact.PREDICTIONS_FOLDER}/{cache_name(key)}", Path(folder))
            with safetensors.safe_open(local, framework="pt") as file:
                header: dict[str, str] = file.metadata() or {}
                tensor: Tensor = file.get_tensor(TENSOR).clone()
        except (MlflowException, OSError, SafetensorError):
            return None
    right = header.get("key") == key and tensor.dtype == torch.float32 and tensor.shape == shape
    whole = right and header.get("sha256") == content_hash(tensor) and not tensor.isnan().any()
    return tensor if whole else None
