"""Writes the lines that star prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.predictions.scores import SCORE_NAMES
from lmc_mlflow.terminal.closing import browse_lines, next_step
from lmc_mlflow.terminal.models import published_lines
from lmc_mlflow.terminal.style import paint_verdict, table
from lmc_mlflow.workflows.star.star import StarOutcome

SEGMENTS = {"star_source": "star to source", "star_held_out": "star to held out", "regular": "regular"}
"""Kinds of segment of a star -> words."""


def star_lines(outcome: StarOutcome) -> list[str]:
    """Return the lines for a star."""
    metrics, rows = outcome.metrics, []
    for kind, label in SEGMENTS.items():
        key = f"{kind}/test/barrier_over_chord"
        if key in metrics:
            rows.append([label, f"{metrics[key]:.4f}", f"{metrics[f'{key}_max']:.4f}"])
    scores = [f"{score}/{name}" for score in SCORE_NAMES for name in ("star", "sources", "held_out", "ensemble")]
    return [
        f"star {outcome.run_id} ({outcome.how}): {outcome.name}",
        f"  a star: {paint_verdict(outcome.verdict)}",
        *table(["segments", "barrier over the chord", "largest"], rows),
        *table(["networks", "test score"], [[key, f"{metrics[key]:.4f}"] for key in scores if key in metrics]),
        *published_lines([outcome.model]),
        *next_step("average predictions over its segments", "ensemble", star=outcome.run_id),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]
