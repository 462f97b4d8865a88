"""Prepares what is logged of a path: numbers, curves, the table of points and the description."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.paths.barriers import OF_LOSSES, Values, summary_keys
from lmc_mlflow.paths.calibrated import CALIBRATED
from lmc_mlflow.paths.grid import barrier_error_bound
from lmc_mlflow.paths.intervals import Intervals
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.workflows.alignment.find_alignment import Alignment, matching_sentence
from lmc_mlflow.workflows.networks.pair_of_networks import Ends
from lmc_mlflow.workflows.networks.similarity import similarity
from lmc_mlflow.workflows.path.verdicts import Verdicts

AGAINST_ALPHA = "against_alpha"
"""Group of the curves that the UI's charts of a path begin with: it sorts groups and names by alphabet."""


def path_metrics(ends: Ends, path: Path, config: PathConfig, verdicts: Verdicts) -> dict[str, float]:
    """Collect the numbers of every split and of the ends, under the names they are logged by."""
    metrics = {
        f"{split}/{key}": value
        for split, summary in path.summaries.items()
        for key, value in summary_keys(summary, path.score).items()
    }
    for split, losses in path.losses.items():
        metrics[f"{split}/barrier_error_bound"] = barrier_error_bound(path.alphas, losses, config.alpha_tolerance)
        metrics |= _interval_metrics(split, verdicts.intervals.get(split, {}), path.score)
    for split, calibrated in (path.calibrated or {}).items():
        for name in OF_LOSSES:
            metrics[f"{split}/calibrated_{name}"] = getattr(calibrated, name)
        metrics[f"{split}/temperature_a"], metrics[f"{split}/temperature_b"] = calibrated.temperatures[[0, -1]].tolist()
    metrics["num_points"] = float(len(path.alphas))
    if path.variance_ratio is not None:
        metrics["variance_ratio"] = path.variance_ratio
    return metrics | similarity(*ends)


def _interval_metrics(split: str, intervals: Intervals, score: str) -> dict[str, float]:
    """The ends of every interval that there is, as `<split>/barrier_low`."""
    ends = {
        f"{split}/{name.replace('accuracy', score)}_{side}": value
        for name, interval in intervals.items()
        for side, value in (("low", interval.low), ("high", interval.high))
    }
    return {key: value for key, value in ends.items() if not np.isnan(value)}


def path_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """List every measure of every split over round(1000 alpha)."""
    return {
        f"{split}/path_{name}": _over_alpha(path, values)
        for split, measured in path.values.items()
        for name, values in {**measured, **_calibrated(path, split)}.items()
    }


def _calibrated(path: Path, split: str) -> dict[str, Values]:
    """The losses at the best temperatures and these temperatures, where they were asked for."""
    if path.calibrated is None:
        return {}
    found = path.calibrated[split]
    return dict(zip(CALIBRATED, (found.losses, found.temperatures), strict=True))


def first_charts(path: Path, ending: str = "") -> dict[str, list[tuple[int, float]]]:
    """List the measures of the first split once more, under names that the charts of the MLflow UI begin with.

    Args:
        path: measured.
        ending: of every name.
    """
    split, measured = next(iter(path.values.items()))
    return {f"{AGAINST_ALPHA}/{split}_{name}{ending}": _over_alpha(path, values) for name, values in measured.items()}


def _over_alpha(path: Path, values: Iterable[float]) -> list[tuple[int, float]]:
    return [(round(1000 * alpha), float(value)) for alpha, value in zip(path.alphas, values, strict=True)]


def path_table(path: Path) -> pd.DataFrame:
    """Make one row an alpha and split: the content of `path.json`."""
    distances = {"angle_deg": path.angles_deg, "manhattan": path.manhattan}
    tables = [
        pd.DataFrame({"alpha": path.alphas, "split": split, **measured, **_calibrated(path, split), **distances})
        for split, measured in path.values.items()
    ]
    return pd.concat(tables, ignore_index=True)


def describe_path(
    ends: Ends, config: PathConfig, path: Path, verdicts: Verdicts, metrics: Mapping[str, float], note: str = ""
) -> str:
    """Write the description of a path's run.

    Args:
        ends: as they were logged.
        config: how the path was measured and judged.
        path: the run's.
        verdicts: on it.
        metrics: as logged.
        note: what else there is to say, after the first sentences.
    """
    split, first = next(iter(path.summaries.items()))
    score, by_intervals = path.score.replace("_", " "), ""
    if verdicts.by_intervals is not None:
        by_intervals = f" By interval: {verdicts.answer_by_intervals} ({verdicts.reason})."
    return (
        f"**Connected: {verdicts.connected}.**{by_intervals} On {split}: barrier {first.barrier:.4f}, in the basin "
        f"{first.barrier_in_basin:.4f}, "
        f"{score} delta {first.accuracy_delta:+.2%} at alpha {first.alpha_at_barrier:.2f}; "
        f"angle {metrics['angle_deg']:.1f} degrees (random initializations {metrics['angle_reference_deg']:.1f})."
        f"{note}\n\n"
        f"A: `{ends[0].run.info.run_id}`, B: `{ends[1].run.info.run_id}`{_pair(ends)}.\n\n"
        f"| split | barrier | in basin | {score} delta | worst | at alpha |\n|---|---|---|---|---|---|\n"
        f"{_split_rows(path, verdicts.intervals)}\n\n"
        f"Batch norm: {config.bn}. "
        f"No if a barrier in the basin exceeds {config.barrier_threshold:g} or the {score} delta falls below "
        f"{config.accuracy_delta_threshold:.0%} on test data; apparent if so on training data alone."
        f" By error (barrier below {config.error_barrier_threshold:g}): {verdicts.by_error}.{_how_sure(config, path)}"
    )


def _pair(ends: Ends) -> str:
    return f", both of pair `{ends[0].split_run}`" if ends[0].split_run == ends[1].split_run else ""


def _split_rows(path: Path, intervals: Mapping[str, Intervals]) -> str:
    """A row of the description's table for each split, with the intervals that there are."""

    def cell(split: str, name: str, form: str) -> str:
        text = form.format(getattr(path.summaries[split], name))
        own = intervals.get(split, {}).get(name)
        if own is None or np.isnan(own.low):
            return text
        return f"{text} ({form.format(own.low)} to {form.format(own.high)})"

    columns = {
        "barrier": "{:.4f}",
        "barrier_in_basin": "{:.4f}",
        "accuracy_delta": "{:+.2%}",
        "min_accuracy_delta": "{:+.2%}",
        "alpha_at_barrier": "{:.2f}",
    }
    return "\n".join(
        f"| {split} | {' | '.join(cell(split, name, form) for name, form in columns.items())} |"
        for split in path.summaries
    )


def _how_sure(config: PathConfig, path: Path) -> str:
    """How the intervals were made, and what may lie between the points."""
    bound = max(barrier_error_bound(path.alphas, own, config.alpha_tolerance) for own in path.losses.values())
    text = (
        f" Measured at {len(path.alphas)} points ({config.alphas}); between them a barrier may be {bound:.2g} higher."
    )
    if not config.num_resamples:
        return text
    return (
        f"{text} Intervals: {config.confidence:g} of {config.num_resamples} resamples of the images of a split, the "
        "same at every alpha; undecided where one crosses its threshold."
    )


def note_of_unaligned(alignment: Alignment, unaligned: Path, verdicts: Verdicts) -> str:
    """Say how B was aligned, and what the path to B as it was logged is like."""
    split, first = next(iter(unaligned.summaries.items()))
    return (
        f" B's units were permuted towards A, {matching_sentence(alignment)} Without: {verdicts.sentence}; on {split} "
        f"barrier {first.barrier:.4f}, in the basin "
        f"{first.barrier_in_basin:.4f}, {unaligned.score.replace('_', ' ')} delta {first.accuracy_delta:+.2%}."
    )
