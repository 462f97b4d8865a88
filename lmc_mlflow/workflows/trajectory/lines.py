"""Writes the lines that trajectory prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.terminal.closing import browse_lines, next_step
from lmc_mlflow.terminal.numbers import score_text, words
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.trajectory.trajectory import TrajectoryOutcome


def trajectory_lines(outcome: TrajectoryOutcome) -> list[str]:
    """Return the lines for a trajectory."""
    names = [name for name in ("loss", "accuracy", "average_precision") if f"test/{name}_start" in outcome.metrics]
    labels = {"start": "start", "last": "last epoch", "swa": "average (SWA)"}
    rows = [
        [label, *(score_text(n, outcome.metrics[f"test/{n}_{key}"]) for n in names)] for key, label in labels.items()
    ]
    return [
        f"trajectory {outcome.run_id} ({outcome.how}): {outcome.name}",
        *table(["network", *(f"test {words(name)}" for name in names)], rows),
        f"  its networks are the endpoint runs with {outcome.query}",
        *next_step("measure every pair of its networks", "matrix", query=outcome.query),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]
