"""Writes the lines that ensemble prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.terminal.closing import REPORT, browse_lines, next_step
from lmc_mlflow.terminal.numbers import score_text, words
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.ensemble.ensemble import SHOWN, EnsembleOutcome


def ensemble_lines(outcome: EnsembleOutcome) -> list[str]:
    """Return the lines for an ensemble."""
    scores = [(name, outcome.scores[name]) for name in SHOWN]
    rows = [[words(name), *(score_text(name, value) for value in (s.value, s.low, s.high))] for name, s in scores]
    return [
        f"ensemble {outcome.run_id}: {outcome.name}",
        f"  {outcome.num_members} members, {outcome.num_kept} of them predicted before",
        *table(["", "score", "low", "high"], rows),
        *next_step(REPORT, "report"),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]
