"""Reads the sources of a star and the permutations that align them with it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from mlflow import MlflowClient
from torch import Tensor

from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.errors import first_line
from lmc_mlflow.query.runs import resolve_run
from lmc_mlflow.query.verified_artifacts import download_verified
from lmc_mlflow.schema import RunId, read_json
from lmc_mlflow.stored_arrays import read_arrays


@dataclass(frozen=True)
class _Sources:
    sources: list[RunId]


def load_star_sources(client: MlflowClient, run_id: str) -> tuple[list[str], list[dict[str, Tensor]]]:
    """Load the run ids of a finished star's sources, and the permutation that aligns each with the star.

    A permutation is empty where the star was trained without alignment.

    Raises:
        ValueError: there is no such run, it is not a star, or an artifact is altered or not what a star logs.
    """
    run = resolve_run(client, run_id)
    kind = run.data.tags.get(Tag.KIND)
    if kind != Kind.STAR:
        raise ValueError(f"run {run.info.run_id} is of kind {kind or 'none of ours'}, not a star; give a star's id")
    with tempfile.TemporaryDirectory() as folder:
        files = download_verified(client, run, [Artifact.STAR_SOURCES, Artifact.STAR_PERMUTATIONS], Path(folder))
        try:
            sources = read_json(_Sources, files[Artifact.STAR_SOURCES].read_bytes()).sources
            found: list[dict[str, Tensor]] = [{} for _ in sources]
            for name, permutation in read_arrays(files[Artifact.STAR_PERMUTATIONS]).items():
                i, group = name.split("/", 1)
                found[int(i)][group] = torch.from_numpy(permutation)
        except (ValueError, IndexError, TypeError) as error:
            reason = f"{Artifact.STAR_SOURCES} or {Artifact.STAR_PERMUTATIONS} cannot be used: {first_line(error)}"
            raise ValueError(f"run {run.info.run_id}: its {reason}") from None
    return sources, found
