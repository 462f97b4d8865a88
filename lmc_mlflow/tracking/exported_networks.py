"""Exports a network as the files of an MLflow model that loads without this project, and tries them out."""

import importlib.metadata
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.client import STORE_FAILURES

EXPORTED_FILE = "data/model.pt2"
TOLERANCE = 1e-4
"""Largest difference between the outputs of a network and of its exported copy, over the largest output."""
TALKATIVE = ("torch.fx.experimental.symbolic_shapes", "torch.export._trace")
"""Loggers that write a page about a network that cannot be traced."""


def export_network(network: nn.Module, example: Tensor, metadata: Mapping[str, Any], folder: Path) -> Model:
    """Write a network to a folder as an MLflow model in PyTorch's exported format, and try out what was written.

    Args:
        network: on the CPU, in evaluation mode.
        example: inputs (n, ...) of it, n at least 2.
        metadata: what a user of the model has to know.
        folder: that is made.

    Raises:
        ValueError: PyTorch cannot export the network for any number of images, or MLflow is too old.
    """
    import mlflow.pytorch

    if "serialization_format" not in inspect.signature(mlflow.pytorch.save_model).parameters:
        raise ValueError("this version of MLflow cannot write PyTorch's exported format; pip install -U mlflow")
    with torch.no_grad():
        outputs = network(example)
    inputs = TensorSpec(np.dtype("float32"), (-1, *example.shape[1:]))
    signature = ModelSignature(Schema([inputs]), Schema([TensorSpec(np.dtype("float32"), (-1, *outputs.shape[1:]))]))
    model = Model(metadata=dict(metadata))
    with _silence():
        try:
            mlflow.pytorch.save_model(
                network,
                str(folder),
                mlflow_model=model,
                signature=signature,
                input_example=example.numpy(),
                pip_requirements=[f"{name}=={_public_version(name)}" for name in ("mlflow", "torch")],
                serialization_format="pt2",
            )
        except (*STORE_FAILURES, OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 (it may be a user's network, in which anything may fail)
            raise ValueError(
                f"PyTorch cannot export it ({first_line(error)}); rewrite what torch.export refuses"
            ) from None
        _try_out(torch.export.load(folder / EXPORTED_FILE).module(), network, example)
    return model


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what PyTorch warns of a trace from the terminal; an error of a trace says the same in one line."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    for logger in loggers:
        logger.addFilter(_refuse)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # PyTorch prints the graph of a failure
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_refuse)


def _refuse(_: logging.LogRecord) -> bool:
    return False


def _public_version(package: str) -> str:
    """Give an installed version without what only this machine's build has (`+cu130`)."""
    return importlib.metadata.version(package).partition("+")[0]


@torch.no_grad()
def _try_out(exported: nn.Module, network: nn.Module, example: Tensor) -> None:
    """Compare the exported copy with the network on one image, and on more than it was traced with.

    Raises:
        ValueError: it takes no such number of images, or gives other outputs.
    """
    for images in (example[:1], example, torch.cat([example] * 3)[:-1]):
        wanted = network(images)
        try:
            found = exported(images)
        except Exception as error:  # noqa: BLE001 (the guards of a trace may raise anything)
            raise ValueError(
                f"PyTorch exports it for {len(example)} images at a time, not for {len(images)} "
                f"({first_line(error)}); write no number of images into its code"
            ) from None
        if not torch.allclose(found, wanted, rtol=0.0, atol=TOLERANCE * float(wanted.abs().max()), equal_nan=True):
            raise ValueError("its exported copy gives other outputs; let its code draw nothing and keep no state")
