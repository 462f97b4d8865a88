"""Reads which runs the members of an ensemble come from."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mlflow import MlflowClient
from pydantic import Field

from lmc_mlflow.contract import SEE_MEMBERS, Artifact, Tag
from lmc_mlflow.query.runs import Run
from lmc_mlflow.query.verified_artifacts import download_verified
from lmc_mlflow.schema import Count, RunId, read_json


@dataclass(frozen=True)
class LoggedMembers:
    """The members of an ensemble, as it logged them.

    Attributes:
        sampling: `lmc`, `seeds`, `star` or `curve`.
        runs: of the ends of the path, of the members, or of the star and its sources.
        alphas: of the members on their segments; none of a member that is a network.
        others: with `star`, of each member the number of the network at alpha 1.
        curve: with `curve`, the run of the path.
    """

    sampling: Literal["lmc", "seeds", "star", "curve"]
    runs: list[RunId]
    alphas: list[Annotated[float, Field(ge=0, le=1)]]
    others: list[Count] | None = None
    curve: RunId | None = None


def load_members(client: MlflowClient, run: Run) -> LoggedMembers:
    """Load what an ensemble logged of its members, verified against its manifest.

    Raises:
        ValueError: the artifact is missing, altered, or not what an ensemble logs.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = download_verified(client, run, [Artifact.MEMBERS], Path(folder))
        try:
            return read_json(LoggedMembers, files[Artifact.MEMBERS].read_bytes())
        except ValueError as error:
            raise ValueError(f"run {run.info.run_id}: its {Artifact.MEMBERS} cannot be used: {error}") from None


def network_runs(client: MlflowClient, run: Run) -> list[str]:
    """Give the ids of the networks that decide the settings of an ensemble: of a curve its ends, else `member_runs`."""
    tags = run.data.tags
    return [tags[Tag.RUN_A], tags[Tag.RUN_B]] if Tag.CURVE in tags else member_runs(client, run)


def member_runs(client: MlflowClient, run: Run) -> list[str]:
    """Give the ids of the runs that an ensemble's members come from, each once.

    They stand in its tag, or, where the tag has no room for them, in an artifact; a run that was imported without its
    artifacts then has none.
    """
    text = run.data.tags.get(Tag.MEMBERS, "")
    if not text.endswith(SEE_MEMBERS):
        return list(dict.fromkeys(name.split("@")[0] for name in text.split(",") if name))
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = download_verified(client, run, [Artifact.MEMBERS], Path(folder))
        except ValueError:
            return []
        return [str(run_id) for run_id in json.loads(files[Artifact.MEMBERS].read_text())["runs"]]
