"""Reads the trained bends of a logged curve, and the curve through them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.paths.curves import CURVES, Curve, Segment
from lmc_mlflow.query.verified_artifacts import download_verified
from lmc_mlflow.weights import State, check_compatible

NUM_BENDS = "curve.curve_bends"


def bend_artifact(number: int) -> str:
    """Name the artifact of a bend, counted from 1: a state dict as safetensors."""
    return f"{Artifact.BENDS_FOLDER}/bend_{number}.safetensors"


def load_bends(client: MlflowClient, run: Run, like: State) -> tuple[dict[str, Tensor], ...]:
    """Load the bends of a path, every byte verified; a straight path has none.

    Args:
        client: of the server.
        run: of the path.
        like: the state of an end, whose names and shapes the bends have.

    Raises:
        ValueError: a bend is missing, altered, or none of such a network.
    """
    if Tag.PATH not in run.data.tags:
        return ()
    paths = [bend_artifact(i + 1) for i in range(int(run.data.params.get(NUM_BENDS, "1")))]
    with tempfile.TemporaryDirectory() as folder:
        files = download_verified(client, run, paths, Path(folder))
        try:
            bends = tuple(load_file(files[path]) for path in paths)
            for bend in bends:
                check_compatible(like, bend)
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"run {run.info.run_id}: its bends cannot be used: {error}") from None
    return bends


def join_curve(run: Run, ends: tuple[State, State], bends: Sequence[State], device: torch.device) -> Curve:
    """Make the curve of a logged path on a device: through its bends, or straight where it has none."""
    controls = tuple({name: v.to(device) for name, v in state.items()} for state in (ends[0], *bends, ends[1]))
    if Tag.PATH not in run.data.tags:
        return Segment(*controls)
    return lookup(CURVES, run.data.tags[Tag.PATH], "path")(controls)
