"""Writes the lines that plane prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.terminal.closing import REPORT, browse_lines, next_step
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.lifecycle.outcome import Outcome

EDGES = ("ab", "ac", "bc")


def plane_lines(outcome: Outcome) -> list[str]:
    """Return the lines for a plane."""
    metrics, rows = outcome.metrics, []
    for panel in ("", "unaligned/"):
        for edge in EDGES:
            if f"{panel}{edge}/barrier" in metrics:
                own = [metrics[f"{panel}{edge}/{name}"] for name in ("barrier", "barrier_over_chord", "error_barrier")]
                label = f"{edge[0]} to {edge[1]}".upper().replace("TO", "to")
                rows.append([label + (", not aligned" if panel else ""), *(f"{value:.4f}" for value in own)])
    return [
        f"plane {outcome.run_id} ({outcome.how}): {outcome.name}",
        *table(["edge", "barrier", "barrier over the chord", "error barrier"], rows),
        *next_step(REPORT, "report"),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]
