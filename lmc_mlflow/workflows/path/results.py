"""Prepares what is logged of a path: numbers, curves, the table of points and the description."""

from collections.abc import Mapping

import pandas as pd

from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.paths.barriers import summary_keys
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.workflows.networks.pair_of_networks import Ends
from lmc_mlflow.workflows.networks.similarity import similarity


def path_metrics(ends: Ends, path: Path) -> dict[str, float]:
    """Collect the numbers of every split and of the ends, under the names they are logged by."""
    metrics = {
        f"{split}/{key}": value
        for split, summary in path.summaries.items()
        for key, value in summary_keys(summary, path.score).items()
    }
    if path.variance_ratio is not None:
        metrics["variance_ratio"] = path.variance_ratio
    return metrics | similarity(*ends)


def path_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """List every measure of every split over round(1000 alpha)."""
    steps = [round(1000 * alpha) for alpha in path.alphas]
    return {
        f"{split}/path_{name}": list(zip(steps, map(float, values), strict=True))
        for split, measured in path.values.items()
        for name, values in measured.items()
    }


def path_table(path: Path) -> pd.DataFrame:
    """Make one row an alpha and split: the content of `path.json`."""
    distances = {"angle_deg": path.angles_deg, "manhattan": path.manhattan}
    tables = [
        pd.DataFrame({"alpha": path.alphas, "split": split, **measured, **distances})
        for split, measured in path.values.items()
    ]
    return pd.concat(tables, ignore_index=True)


def describe_path(
    ends: Ends, config: PathConfig, path: Path, verdicts: tuple[str, str], metrics: Mapping[str, float], note: str = ""
) -> str:
    """Write the description of a path's run.

    Args:
        ends: as they were logged.
        config: how the path was measured and judged.
        path: the run's.
        verdicts: on it, by loss and accuracy, and by error.
        metrics: as logged.
        note: what else there is to say, after the first sentences.
    """
    split, first = next(iter(path.summaries.items()))
    score = path.score.replace("_", " ")
    rows = "\n".join(
        f"| {name} | {s.barrier:.4f} | {s.barrier_in_basin:.4f} | {s.accuracy_delta:+.2%} | "
        f"{s.min_accuracy_delta:+.2%} "
        f"| {s.alpha_at_barrier:.2f} |"
        for name, s in path.summaries.items()
    )
    return (
        f"**Connected: {verdicts[0]}.** On {split}: barrier {first.barrier:.4f}, in the basin "
        f"{first.barrier_in_basin:.4f}, "
        f"{score} delta {first.accuracy_delta:+.2%} at alpha {first.alpha_at_barrier:.2f}; "
        f"angle {metrics['angle_deg']:.1f} degrees (random initializations {metrics['angle_reference_deg']:.1f})."
        f"{note}\n\n"
        f"| split | barrier | in basin | {score} delta | worst | at alpha |\n|---|---|---|---|---|---|\n{rows}\n\n"
        f"A: `{ends[0].run.info.run_id}`, B: `{ends[1].run.info.run_id}`; batch norm: {config.bn}. "
        f"No if a barrier in the basin exceeds {config.barrier_threshold:g} or the {score} delta falls below "
        f"{config.accuracy_delta_threshold:.0%} on test data; apparent if so on training data alone."
        f" By error (barrier below {config.error_barrier_threshold:g}): {verdicts[1]}."
    )
