"""Logs the curvature between two networks: tables, metrics, figures and description."""

import math

import pandas as pd

from lmc_mlflow.config.curvature import BendingConfig
from lmc_mlflow.contract import HEADLINE, Artifact
from lmc_mlflow.hessian.measures import MEASURES
from lmc_mlflow.plots.per_run.curvature import curvature_figure, layers_figure
from lmc_mlflow.tracking.descriptions import list_on
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.curvature.points import WHOLE
from lmc_mlflow.workflows.networks.pair_of_networks import Ends

PLACES = {0.0: "a", 0.5: "midpoint", 1.0: "b"}
"""Position -> its word in a metric."""


def log_curvature(
    run: TrackedRun, run_name: str, config: BendingConfig, ends: Ends, rows: pd.DataFrame
) -> dict[str, float]:
    """Log everything, and give the metrics.

    Args:
        run: that is open.
        run_name: its name.
        config: how it was measured.
        ends: the two networks.
        rows: alpha, split, layer, and the numbers of `columns_of`.
    """
    whole = rows[rows["layer"] == WHOLE].drop(columns="layer").reset_index(drop=True)
    metrics = curvature_metrics(whole, config.measures)
    run.log_once(metrics)
    curves: dict[str, list[tuple[int, float]]] = {}
    for split, part in whole.groupby("split", sort=False):
        for name in ("loss", *config.measures):
            steps = (1000 * part["alpha"]).round().astype(int)
            points = [(int(s), float(v)) for s, v in zip(steps, part[name], strict=True) if math.isfinite(v)]
            curves |= {f"{split}/path_{name}": points} if points else {}
    run.log_curves(curves)
    _log_table(run, whole, Artifact.CURVATURE)
    title = f"Curvature of the loss: {run_name}"
    run.log_figure(curvature_figure(whole, title), "figures/curvature.png")
    by_layer = rows[rows["layer"] != WHOLE].reset_index(drop=True)
    if len(by_layer):
        _log_table(run, by_layer, Artifact.CURVATURE_BY_LAYER)
        run.log_figure(layers_figure(by_layer, title), "figures/curvature_by_layer.png")
    run.describe(_description(config, ends, whole, metrics))
    for pair in dict.fromkeys(end.split_run for end in ends if end.split_run):
        list_on(run.client, pair, f"curvature `{run.run_id}`: {_first(metrics, config)}")
    return metrics


def curvature_metrics(whole: pd.DataFrame, measures: tuple[str, ...]) -> dict[str, float]:
    """Name the numbers at both ends and in the middle; `ends/` are means over both ends, each on its own images.

    Where one of the training subsets was not measured, both are on the first split.

    Args:
        whole: alpha, split and numbers of all parameters together.
        measures: that were taken.
    """
    metrics: dict[str, float] = {}
    columns = [str(name) for name in whole if name not in ("alpha", "split")]
    for row in whole.to_dict(orient="records"):
        if row["alpha"] in PLACES:
            metrics |= {f"{row['split']}/{name}_{PLACES[row['alpha']]}": float(row[name]) for name in columns}
    splits = list(dict.fromkeys(whole["split"]))
    own = ("train_a", "train_b") if {"train_a", "train_b"} <= set(splits) else (splits[0], splits[0])
    for name in measures:
        metrics[f"ends/{name}"] = (metrics[f"{own[0]}/{name}_a"] + metrics[f"{own[1]}/{name}_b"]) / 2
    metrics[HEADLINE] = metrics[f"ends/{measures[0]}"]
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _log_table(run: TrackedRun, table: pd.DataFrame, path: str) -> None:
    told = table.astype(object).where(table.notna(), None)
    run.log_json(told.to_dict(orient="split", index=False), path)


def _first(metrics: dict[str, float], config: BendingConfig) -> str:
    return ", ".join(
        f"{MEASURES[name].words} {metrics[f'ends/{name}']:.4g}" for name in config.measures if f"ends/{name}" in metrics
    )


def _description(config: BendingConfig, ends: Ends, whole: pd.DataFrame, metrics: dict[str, float]) -> str:
    names = [str(name) for name in whole if name not in ("alpha", "split")]
    lines = [f"| alpha | split | {' | '.join(names)} |", f"|{'---|' * (len(names) + 2)}"]
    for row in whole.to_dict(orient="records"):
        values = " | ".join(f"{row[name]:.4g}" for name in names)
        lines.append(f"| {row['alpha']:g} | {row['split']} | {values} |")
    a, b = (f"`{end.run.info.run_id}`" for end in ends)
    return (
        f"**Mean over both ends, each on its own training images**: {_first(metrics, config)}.\n\n"
        f"A: {a}, B: {b}; {config.num_images} images of each split, numbers in {config.precision}.\n\n"
    ) + "\n".join(lines)
