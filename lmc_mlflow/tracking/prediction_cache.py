"""Keeps predictions with the run of their network, so that no network is evaluated twice on the same images."""

import hashlib
import logging
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from safetensors.torch import save_file
from torch import Tensor

from lmc_mlflow.contract import Artifact
from lmc_mlflow.errors import first_line

logger = logging.getLogger(__name__)
TENSOR = "log_probabilities"


def cache_name(key: str) -> str:
    """Return the file name of kept predictions."""
    return f"{key}.safetensors"


def content_hash(log_probabilities: Tensor) -> str:
    """Return the sha256 of the numbers themselves, which stands in the file's header."""
    return hashlib.sha256(log_probabilities.contiguous().numpy().tobytes()).hexdigest()


def keep_predictions(client: MlflowClient, run_id: str, key: str, log_probabilities: Tensor) -> bool:
    """Keep the predictions of an ensemble's member with the run that it comes from; return whether that was possible.

    A server may allow it to the owner of that run alone; the ensemble's own run has all predictions. They stay out of
    that run's manifest, which is complete already, and carry their own digest.

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
        try:
            client.log_artifact(run_id, str(local), Artifact.PREDICTIONS_FOLDER)
        except (MlflowException, OSError) as error:
            logger.warning("predictions are not kept with run %s (%s)", run_id, first_line(error))
            return False
    return True
