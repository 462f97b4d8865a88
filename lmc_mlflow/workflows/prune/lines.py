"""Writes the lines that prune prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.terminal.closing import REPORT, browse_lines, next_step
from lmc_mlflow.terminal.numbers import score_of, score_text, words
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.prune.prune import PruneOutcome


def prune_lines(outcomes: list[PruneOutcome]) -> list[str]:
    """Return the lines for pruned networks."""
    rows = []
    for o in outcomes:
        keys = sorted(key for key in o.metrics if key.startswith("units/"))
        units = [f"{o.metrics[key.replace('units/', 'units_before/')]:.0f} to {o.metrics[key]:.0f}" for key in keys]
        told = [
            f"{score_text(n, o.metrics[f'test/{n}_before'])} to {score_text(n, o.metrics[f'test/{n}'])}"
            for n in ("loss", score_of(o.metrics))
        ]
        rows.append([o.run_id, ", ".join(units), *told])
    last = outcomes[-1]
    return [
        "\n".join(f"pruned {o.run_id} ({o.how}): {o.name}" for o in outcomes),
        *table(["run", "units", "test loss", f"test {words(score_of(last.metrics))}"], rows),
        *next_step(REPORT, "report"),
        *browse_lines(last.experiment_id, last.run_id),
    ]
