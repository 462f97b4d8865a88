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
        *_other_lines(outcome),
        *next_step(REPORT, "report"),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]


def _other_lines(outcome: EnsembleOutcome) -> list[str]:
    """A row a further test set: accuracies, and what agreement tells of them without labels."""
    columns = ("mean_prediction_accuracy", "member_accuracy", "estimated_accuracy_gde", "estimated_accuracy_line")
    ending = f"/{columns[0]}"
    splits = [key.removesuffix(ending) for key in outcome.metrics if key.endswith(ending)]
    if not splits:
        return []
    rows = []
    for split in splits:
        values = [outcome.metrics.get(f"{split}/{name}") for name in columns]
        rows.append([split, *("" if value is None else score_text(columns[0], value) for value in values)])
    return table(["test_on", "ensemble", "members", "estimate by agreement", "on the line"], rows)
