"""Keeps predictions with the run of their network, so that no network is evaluated twice on the same images."""

import hashlib
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from safetensors.torch import save_file
from torch import Tensor

from lmc_mlflow.contract import Artifact

TENSOR = "log_probabilities"


def cache_name(key: str) -> str:
    """Return the file name of kept predictions."""
    return f"{key}.safetensors"


def content_hash(log_probabilities: Tensor) -> str:
    """Return the sha256 of the numbers themselves, which stands in the file's header."""
    return hashlib.sha256(log_probabilities.contiguous().numpy().tobytes()).hexdigest()


def keep_predictions(client: MlflowClient, run_id: str, key: str, log_probabilities: Tensor) -> None:
    """Keep the predictions of an ensemble's member with the run that it comes from.

    They stay out of that run's manifest, which is complete already, and carry their own digest.

    Args:
        client: of the server.
        run_id: an endpoint, or the pair that the point of a path belongs to.
        key: digest of weights, test set and batch-norm mode.
        log_probabilities: (N, K), on the CPU.
    """
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / cache_name(key)
        tensor = log_probabilities.contiguous()
        save_file({TENSOR: tensor}, local, metadata={"key": key, "sha256": content_hash(tensor)})
        client.log_artifact(run_id, str(local), Artifact.PREDICTIONS_FOLDER)
