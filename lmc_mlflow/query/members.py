"""Reads which runs the members of an ensemble come from."""

import json
import tempfile
from pathlib import Path

from mlflow import MlflowClient

from lmc_mlflow.contract import SEE_MEMBERS, Artifact, Tag
from lmc_mlflow.query.networks import download_verified
from lmc_mlflow.query.runs import Run


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
