"""Writes the ids of runs in descriptions as links, and adds lines to the description of a run that was measured."""

import re
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

MAX_DESCRIPTION = 7000
"""MLflow cuts a tag at 8,000 characters without saying so."""
MAX_LISTED = 10
HEADING = "\n\nMeasured on it:\n"
NOTE = "mlflow.note.content"
_RUN_ID = re.compile(r"(?<!\[)`([0-9a-f]{32})`")


def with_links(client: MlflowClient, markdown: str) -> str:
    """Make each run id in backticks a link to its page in the UI; a text that would be too long stays as it is.

    An id that names no run stays as it is too.
    """
    linked = markdown
    for run_id in dict.fromkeys(_RUN_ID.findall(markdown)):
        try:
            experiment_id = client.get_run(run_id).info.experiment_id
        except MlflowException:
            continue
        linked = linked.replace(f"`{run_id}`", f"[`{run_id}`](#/experiments/{experiment_id}/runs/{run_id})")
    return linked if len(linked) <= MAX_DESCRIPTION else markdown


def list_on(client: MlflowClient, run_id: str, line: str) -> None:
    """Add a line to what the description of a run lists as measured on it, the newest first.

    Args:
        client: of the server.
        run_id: that was measured; one that is deleted or has no description stays as it is.
        line: Markdown; run ids in backticks become links.
    """
    run = client.get_run(run_id)
    text, _, listed = run.data.tags.get(NOTE, "").partition(HEADING)
    if not text or run.info.lifecycle_stage != "active":
        return
    lines = [f"- {with_links(client, line)}", *listed.splitlines()][:MAX_LISTED]
    while lines and len(text) + len(HEADING) + len("\n".join(lines)) > MAX_DESCRIPTION:
        lines.pop()
    client.set_tag(run_id, NOTE, text + (HEADING + "\n".join(lines) if lines else ""))


def unlist_on(client: MlflowClient, run: Run, gone: Sequence[str]) -> None:
    """Take the lines about runs that are gone out of what the description of a run lists as measured on it."""
    note = run.data.tags.get(NOTE, "")
    text, _, listed = note.partition(HEADING)
    lines = [line for line in listed.splitlines() if not any(run_id in line for run_id in gone)]
    kept = text + (HEADING + "\n".join(lines) if lines else "")
    if kept != note:
        client.set_tag(run.info.run_id, NOTE, kept)
