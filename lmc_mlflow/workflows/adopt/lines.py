"""Writes the lines that adopt prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.contract import UNKNOWN_SIDE
from lmc_mlflow.terminal.closing import browse_lines, next_step
from lmc_mlflow.terminal.numbers import score_of, score_text, words
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.adopt.adopt import AdoptOutcome


def adopt_lines(outcome: AdoptOutcome) -> list[str]:
    """Return the lines for an adopted network."""
    score = score_of(outcome.metrics)
    rows = [
        [part, *(score_text(name, outcome.metrics[f"{part}/{name}"]) for name in ("loss", score))]
        for part in ("test", "train")
        if f"{part}/loss" in outcome.metrics
    ]
    unknown = [
        "trained on: unknown, so only the test set can be used; to say it, adopt it again with "
        "shift and trained_on=A, B or both"
    ]
    return [
        f"adopted {outcome.run_id} ({outcome.how}): {outcome.name}",
        f"from {outcome.source}",
        *outcome.notes,
        *(unknown if outcome.side == UNKNOWN_SIDE else []),
        *table(["images", "loss", words(score)], rows),
        *next_step(
            "measure the path from it to another network", "interpolate", run_a=outcome.run_id, run_b="<run id or URI>"
        ),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]
