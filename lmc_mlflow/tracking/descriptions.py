"""Writes the ids of runs in descriptions as links, and adds lines to the description of a run that was measured."""

import logging
import re
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lmc_mlflow.errors import first_line

logger = logging.getLogger(__name__)
MAX_DESCRIPTION = 7000
"""MLflow cuts a tag at 8,000 characters without saying so."""
MAX_LISTED = 10
HEADING = "Measured on it:\n"
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

    The list stands after the first sentences: the UI folds what comes later.

    Args:
        client: of the server.
        run_id: that was measured; one that is deleted or has no description stays as it is.
        line: Markdown; run ids in backticks become links.
    """
    run = client.get_run(run_id)
    first, listed, rest = _parts(run.data.tags.get(NOTE, ""))
    if not first or run.info.lifecycle_stage != "active":
        return
    listed = [f"- {with_links(client, line)}", *listed][:MAX_LISTED]
    while listed and len(_joined(first, listed, rest)) > MAX_DESCRIPTION:
        listed.pop()
    try:
        client.set_tag(run_id, NOTE, _joined(first, listed, rest))
    except MlflowException as error:  # a server may allow this to the owner of the run alone
        logger.warning("run %s does not list what was measured on it (%s)", run_id, first_line(error))


def unlist_on(client: MlflowClient, run: Run, gone: Sequence[str]) -> None:
    """Take the lines about runs that are gone out of what the description of a run lists as measured on it."""
    first, listed, rest = _parts(run.data.tags.get(NOTE, ""))
    kept = [line for line in listed if not any(run_id in line for run_id in gone)]
    if kept != listed:
        client.set_tag(run.info.run_id, NOTE, _joined(first, kept, rest))


def _parts(note: str) -> tuple[str, list[str], str]:
    """Split a description into its first paragraph, the lines about what was measured, and what follows."""
    first, _, rest = note.partition("\n\n")
    if not rest.startswith(HEADING):
        return first, [], rest
    listed, _, rest = rest.removeprefix(HEADING).partition("\n\n")
    return first, listed.splitlines(), rest


def _joined(first: str, listed: Sequence[str], rest: str) -> str:
    block = [HEADING + "\n".join(listed)] if listed else []
    return "\n\n".join([first, *block, *([rest] if rest else [])])
