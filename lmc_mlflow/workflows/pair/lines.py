"""Writes the lines that train_pair prints: its result, a table of its numbers, the command to type next."""

from lmc_mlflow.terminal.closing import browse_lines, next_step
from lmc_mlflow.terminal.models import published_lines
from lmc_mlflow.terminal.numbers import score_of, words
from lmc_mlflow.terminal.style import table
from lmc_mlflow.workflows.pair.pair_outcome import PairOutcome
from lmc_mlflow.workflows.pair.shift_test import shift_sentence

REACHED = "epoch_reached"
"""Metric of a network that was trained with a budget other than epochs."""


def pairs_lines(outcomes: list[PairOutcome]) -> list[str]:
    """Return the lines for one or several trained pairs."""
    first = outcomes[0]
    with_budget = any(REACHED in metrics for outcome in outcomes for metrics in outcome.sides.values())
    rows = []
    for outcome in outcomes:
        seed = f"{outcome.name.split()[0]} " if len(outcomes) > 1 else ""
        for side, metrics in outcome.sides.items():
            score = score_of(metrics)
            own = [f"{metrics[f'test/{score}']:.2%}", f"{metrics['test/loss']:.4f}", f"{metrics['train/loss']:.4f}"]
            reached = [f"{metrics[REACHED]:.0f}" if REACHED in metrics else "not"] if with_budget else []
            rows.append([f"{seed}side {side}", *own, *reached, outcome.endpoints[side]])
    header = [
        "",
        f"test {words(score_of(first.sides['A']))}",
        "test loss",
        "training loss",
        *(["epoch reached"] if with_budget else []),
        "run",
    ]
    shift = shift_sentence(first.metrics).strip()
    whose = "its" if len(outcomes) == 1 else "the first pair's"
    return [
        "\n".join(f"pair {o.run_id} ({o.how}): {o.name}" for o in outcomes),
        *table(header, rows),
        *([f"  {shift}"] if shift else []),
        *published_lines(uri for outcome in outcomes for uri in outcome.models.values()),
        *next_step(f"measure the path between {whose} two networks", "interpolate", pair=first.run_id),
        *browse_lines(first.experiment_id, first.run_id),
    ]
