"""Writes the lines that curvature prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.config.curvature import MEASURES
from lmc_mlflow.terminal.closing import REPORT, browse_lines, next_step
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.lifecycle.outcome import Outcome

PLACES = {"a": "A", "midpoint": "midpoint", "b": "B"}


def curvature_lines(outcome: Outcome) -> list[str]:
    """Return the lines for a measured curvature."""
    metrics = outcome.metrics
    names = [name for name in MEASURES if any(key.endswith((f"/{name}_a", f"/{name}_b")) for key in metrics)]
    rows = []
    for split in ("train_a", "train_b", "test"):
        for place, words in PLACES.items():
            if f"{split}/loss_{place}" in metrics:
                values = [metrics.get(f"{split}/{name}_{place}") for name in ("loss", *names)]
                rows.append([words, split, *("nan" if value is None else f"{value:.4g}" for value in values)])
    compare = "  compare networks by the adaptive numbers: the scale of units changes eigenvalue and trace"
    return [
        f"curvature {outcome.run_id} ({outcome.how}): {outcome.name}",
        *table(["network", "split", "loss", *(name.replace("_", " ") for name in names)], rows),
        *([compare] if any(name.startswith("adaptive") for name in names) else []),
        *next_step(REPORT, "report"),
        *browse_lines(outcome.experiment_id, outcome.run_id),
    ]
