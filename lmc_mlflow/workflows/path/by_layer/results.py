"""Makes what is logged of paths layer by layer: tables, metrics, the figure and the description."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.contract import BY_LAYER, HEADLINE, Artifact, Tag
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.layers.barriers import rows_of_split
from lmc_mlflow.paths.layers.find import Layer
from lmc_mlflow.paths.layers.walk import MODES, Moved
from lmc_mlflow.plots.per_run.paths_by_layer import paths_by_layer_figure
from lmc_mlflow.predictions.scores import SCORE_NAMES
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.path.by_layer.arrays import LayerNumbers
from lmc_mlflow.workflows.path.images import measured_splits

Row = dict[str, Any]
WHOLE = "all layers"
"""The mode and the layer of the whole path in the tables."""
COLUMNS = ("number", "layer", "split", "feature_cosine", "feature_scale", "ends_cosine")
FEATURES = COLUMNS[3:]
CURVES = ("barrier", "share", "contribution")
"""Numbers of a layer that are metrics with step = number of the layer."""
MOST_LINES = 30
"""Layers that a description lists."""


@dataclass(frozen=True)
class LayersMeasurement:
    """Everything that was measured.

    Attributes:
        layers: in order.
        found: layers that moved -> numbers.
        features: a row a layer and split.
    """

    layers: tuple[Layer, ...]
    found: Mapping[Moved, LayerNumbers]
    features: Sequence[Mapping[str, Any]]


def barrier_rows(config: InterpolateConfig, measured: LayersMeasurement) -> list[Row]:
    """Make the row of the whole path and one for each mode and layer, for each split.

    Beside the numbers of `layer_barriers`, and with resamples the ends of their intervals, a row has `low` and
    `low_by_error`: whether loss and accuracy, and the error, stay within the thresholds of a connected path.
    """
    layers, rows = measured.layers, []
    sides = ("low", "high") if config.path.num_resamples else ()
    everything = tuple(range(len(layers)))
    for split in measured_splits(config):
        of_split = {moved: own.numbers[split] for moved, own in measured.found.items()}
        values = {
            moved: {name: np.array(one.value) for name, one in own.items()}
            | {f"{name}_{side}": np.array(getattr(one, side)) for name, one in own.items() for side in sides}
            for moved, own in of_split.items()
        }
        whole = {name: float(value) for name, value in values[everything].items()}
        rows.append({"mode": WHOLE, "number": 0, "layer": WHOLE, "split": split} | whole | {"contribution": np.nan})
        rows += rows_of_split(layers, config.by_layer.layers, split, values)
    return [row | _verdicts(row, config.path) for row in rows]


def _verdicts(row: Row, config: PathConfig) -> dict[str, bool]:
    delta = next(row[f"min_{score}_delta"] for score in SCORE_NAMES if f"min_{score}_delta" in row)
    low = row["barrier"] <= config.barrier_threshold and not delta < config.accuracy_delta_threshold
    return {"low": bool(low), "low_by_error": bool(row["error_barrier"] < config.error_barrier_threshold)}


def point_rows(config: InterpolateConfig, measured: LayersMeasurement) -> list[Row]:
    """Make a row for each mode, layer, alpha and split, with every measure; the whole path first."""
    num = len(measured.layers)
    alphas = alpha_grid(config.path.num_alphas)
    paths = [(WHOLE, 0, WHOLE, tuple(range(num)))]
    paths += [
        (mode, i + 1, layer.name, MODES[mode](i, num))
        for mode in config.by_layer.layers
        for i, layer in enumerate(measured.layers)
    ]
    return [
        {"mode": mode, "number": number, "layer": layer, "alpha": float(alpha), "split": split}
        | {name: float(curve[t]) for name, curve in measured.found[moved].values[split].items()}
        for mode, number, layer, moved in paths
        for split in measured_splits(config)
        for t, alpha in enumerate(alphas)
    ]


def log_layers(
    run: TrackedRun, config: InterpolateConfig, measured: LayersMeasurement, name: str
) -> tuple[Row, dict[str, float]]:
    """Log everything of paths layer by layer; return the row of the layer that adds most, and the summary's metrics."""
    rows, points = barrier_rows(config, measured), point_rows(config, measured)
    tables = pd.DataFrame(points), pd.DataFrame(rows), pd.DataFrame(list(measured.features), columns=COLUMNS)
    artifacts = Artifact.PATH_BY_LAYER, Artifact.BARRIER_BY_LAYER, Artifact.FEATURES_BY_LAYER
    for table, artifact in zip(tables, artifacts, strict=True):
        run.log_json(table.to_dict(orient="split", index=False), artifact)
    run.log_curves(_curves(rows, measured.features))
    split, mode = config.path.splits[0], config.by_layer.layers[0]
    whole = next(row for row in rows if (row["mode"], row["split"]) == (WHOLE, split))
    first = [row for row in rows if (row["mode"], row["split"]) == (mode, split)]
    top = top_of(first)
    metrics = {"num_layers": float(len(measured.layers))}
    metrics |= {f"{row['split']}/barrier": row["barrier"] for row in rows if row["mode"] == WHOLE}
    if not np.isnan(top["contribution"]):
        metrics[HEADLINE] = top["contribution"]
        run.set_tags({Tag.LAYER: top["layer"]})
    run.log_metrics(metrics)
    run.log_figure(paths_by_layer_figure(*tables, name), "figures/path_by_layer.png")
    run.describe(_description(whole, first, top, config))
    return top, metrics


def _curves(rows: Sequence[Row], features: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """List the numbers of layers over the number of the layer."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name in CURVES if row["mode"] != WHOLE else ():
            if not np.isnan(row[name]):
                key = f"{row['split']}/{name}{BY_LAYER}_{row['mode']}"
                curves.setdefault(key, []).append((row["number"], row[name]))
    for of_layer in features:
        for name in FEATURES:
            curves.setdefault(f"{of_layer['split']}/{name}{BY_LAYER}", []).append((of_layer["number"], of_layer[name]))
    return curves


def percent(value: float) -> str:
    """Write a share; empty where there is none."""
    return "" if np.isnan(value) else f"{value:.0%}"


def top_of(rows: Sequence[Row]) -> Row:
    """Find the row of the layer that adds most."""
    return max(rows, key=lambda row: -np.inf if np.isnan(row["contribution"]) else row["contribution"])


def top_sentence(top: Row) -> str:
    """Say which layer adds most."""
    if np.isnan(top["contribution"]):
        return "no layer adds to a rise: the whole path is highest at the first network"
    how = {
        "each": "alone makes",
        "below": "(layers moved one after the other, from the first on) makes",
        "above": "(layers moved one after the other, from the last on) makes",
        "complement": "takes away, if it alone stays as in the first network,",
    }
    return f"{top['layer']} {how[top['mode']]} {top['contribution']:.0%} of the rise of the whole path"


def _description(whole: Row, first: Sequence[Row], top: Row, config: InterpolateConfig) -> str:
    shown = sorted(first, key=lambda row: -np.nan_to_num(row["contribution"]))[:MOST_LINES]
    lines = "\n".join(
        f"| {row['number']} | {row['layer']} | {row['barrier']:.4f} | {percent(row['share'])} | "
        f"{percent(row['contribution'])} |"
        for row in sorted(shown, key=lambda row: row["number"])
    )
    more = f"\n\nThe {MOST_LINES} of {len(first)} layers that add most." if len(first) > MOST_LINES else ""
    return (
        f"**On {whole['split']}: {top_sentence(top)}**, whose barrier is {whole['barrier']:.4f}.\n\n"
        f"Layers that move: {', '.join(config.by_layer.layers)}; here {first[0]['mode']}. "
        f"Batch norm: {config.path.bn}.\n\n"
        f"| number | layer | barrier | share | contribution |\n|---|---|---|---|---|\n{lines}{more}"
    )
