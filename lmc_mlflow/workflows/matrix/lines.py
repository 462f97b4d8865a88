"""Writes the lines that matrix prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.terminal.closing import browse_lines, next_step
from lmc_mlflow.terminal.numbers import words
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.matrix.matrix import MatrixOutcome


def matrix_lines(outcome: MatrixOutcome) -> list[str]:
    """Return the lines for a matrix."""
    keys = ("num_pairs", "num_constant", "share_connected", "threshold", "num_clusters", "mean_barrier", "max_barrier")
    rows = [[words(key), f"{outcome.metrics[key]:.4g}"] for key in keys if key in outcome.metrics]
    lines = [f"matrix {outcome.run_id} ({outcome.how}): {outcome.name}", *table(["", "value"], rows)]
    if outcome.candidate:
        lines.append(f"  star candidate: {outcome.candidate}")
    ids = dict(zip(("run_a", "run_b", "run_c"), outcome.networks, strict=False))
    if len(ids) == 3:
        lines += next_step("draw the loss on the plane through the first three", "plane", **ids)
    else:
        lines += next_step("measure the path between the two", "interpolate", **ids)
    return lines + browse_lines(outcome.experiment_id, outcome.run_id)
