"""Reads the sources of a star and the permutations that align them with it."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient
from torch import Tensor

from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.query.networks import download_verified
from lmc_mlflow.query.runs import resolve_run


def load_star_sources(client: MlflowClient, run_id: str) -> tuple[list[str], list[dict[str, Tensor]]]:
    """Load the run ids of a finished star's sources, and the permutation that aligns each with the star.

    A permutation is empty where the star was trained without alignment.

    Raises:
        ValueError: there is no such run, it is not a star, or an artifact is altered.
    """
    run = resolve_run(client, run_id)
    kind = run.data.tags.get(Tag.KIND)
    if kind != Kind.STAR:
        raise ValueError(f"run {run.info.run_id} is of kind {kind or 'none of ours'}, not a star; give a star's id")
    with tempfile.TemporaryDirectory() as folder:
        files = download_verified(client, run, [Artifact.STAR_SOURCES, Artifact.STAR_PERMUTATIONS], Path(folder))
        sources: list[str] = json.loads(files[Artifact.STAR_SOURCES].read_text())["sources"]
        found: list[dict[str, Tensor]] = [{} for _ in sources]
        with np.load(files[Artifact.STAR_PERMUTATIONS], allow_pickle=False) as arrays:
            for name in arrays.files:
                i, group = name.split("/", 1)
                found[int(i)][group] = torch.from_numpy(arrays[name])
    return sources, found
