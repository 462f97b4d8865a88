"""Writes the last lines of a command: the next step, and where to look at the run."""

from lmc_mlflow.terminal.hints import next_command
from lmc_mlflow.terminal.style import paint
from lmc_mlflow.tracking.links import run_link, tracking_uri, ui_command, view_link

REPORT = "see it beside your other runs and the papers"
"""What the command `report` does for a run, where it is the next step."""


def next_step(what: str, entry_point: str, **values: str) -> list[str]:
    """Write the one next step: what it does, and the command to type."""
    return [f"next: {what}", f"  {paint(next_command(entry_point, **values), 'bold')}"]


def browse_lines(experiment_id: str, run_id: str) -> list[str]:
    """Write where to look at a run."""
    uri = tracking_uri()
    command = ui_command(uri)
    start = [f"  {command}"] if command else []
    return [
        "browse:",
        *start,
        f"  this run   {run_link(uri, experiment_id, run_id)}",
        f"  all runs   {view_link(uri, experiment_id)}",
    ]
