"""Writes logged numbers and their names for a reader."""

from collections.abc import Mapping


def with_interval(metrics: Mapping[str, float], key: str) -> str:
    """Write a metric with the interval beside it, if it has one; deltas in percent."""
    form = "{:+.2%}" if key.endswith("_delta") else "{:.4f}"
    text = form.format(metrics[key])
    if f"{key}_low" not in metrics:
        return text
    return f"{text} ({form.format(metrics[f'{key}_low'])} to {form.format(metrics[f'{key}_high'])})"


def score_text(name: str, value: float) -> str:
    """Write a number; an accuracy, or an average precision, in percent."""
    return f"{value:.2%}" if name.endswith(("accuracy", "average_precision")) else f"{value:.4f}"


def score_of(metrics: Mapping[str, float]) -> str:
    """Give the name of the score on test data: `accuracy` or `average_precision`."""
    return "accuracy" if "test/accuracy" in metrics else "average_precision"


def words(name: str) -> str:
    """Write the name of a metric as words."""
    return name.replace("_", " ")
