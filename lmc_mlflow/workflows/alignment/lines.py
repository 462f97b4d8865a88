"""Writes the lines that align prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.terminal.closing import browse_lines, next_step
from lmc_mlflow.terminal.models import published_lines
from lmc_mlflow.terminal.numbers import words
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.alignment.align import AlignOutcome


def align_lines(outcome: AlignOutcome) -> list[str]:
    """Return the lines for an alignment."""
    metrics, rows = outcome.metrics, []
    for key in ("objective", "angle_deg", "angle_weights_deg"):
        before = metrics["objective_before" if key == "objective" else f"unaligned/{key}"]
        after = metrics["objective_after" if key == "objective" else key]
        rows.append([words(key), f"{before:.5g}", f"{after:.5g}"])
    lines = [f"alignment {outcome.run_id}: {outcome.name}", *table(["", "before", "aligned"], rows)]
    lines += [f"  {sentence}" for sentence in (outcome.channels, outcome.blocks) if sentence]
    if not outcome.converged:
        lines.append("  the permutation still changed in the last sweep: give a higher max_sweeps")
    lines += published_lines([outcome.model])
    ends = {"run_a": outcome.run_a, "run_b": outcome.run_id}
    lines += next_step("measure the path to the aligned network", "interpolate", **ends)
    return lines + browse_lines(outcome.experiment_id, outcome.run_id)
