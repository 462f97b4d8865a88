"""Writes the lines that sweep prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.sweeps.sweep import SweepOutcome
from lmc_mlflow.terminal.closing import REPORT, browse_lines, next_step


def sweep_lines(outcome: SweepOutcome) -> list[str]:
    """Return the lines for a sweep; of a dry run, the command that runs it is the last of its own lines."""
    if not outcome.run:
        return list(outcome.lines)
    return [*outcome.lines, *next_step(REPORT, "report"), *browse_lines(outcome.experiment_id, outcome.run)]
