"""Logs the barriers of a matrix on further test sets: tables of pairs and points, means and figures."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from lmc_mlflow.contract import Artifact
from lmc_mlflow.paths.graph import clusters
from lmc_mlflow.plots.per_run.matrix import matrix_figure
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.matrix.pairs import MatrixMeasurement
from lmc_mlflow.workflows.matrix.results import barrier_matrix, network_table, pair_table, point_table


def log_other_matrices(
    run: TrackedRun, measured: MatrixMeasurement, splits: Sequence[str], name: str
) -> dict[str, float]:
    """Log what a matrix measured on further test sets, judged by the same threshold.

    Args:
        run: of kind `matrix`.
        measured: what was measured.
        splits: the further test sets.
        name: of the run, over the figures.

    Returns:
        Metrics as `<split>/mean_barrier`; none without a further test set.
    """
    metrics: dict[str, float] = {}
    pairs, points = [], []
    settings = measured.settings
    for split in splits:
        own = replace(measured, other_split=split)
        table, barriers = pair_table(own), barrier_matrix(own)
        pairs.append(table.assign(test_on=split))
        points.append(point_table(own).assign(test_on=split))
        counting = table[~table["constant"]]
        if len(counting):
            chosen = counting[settings.barrier]
            found = {"mean_barrier": chosen.mean(), "median_barrier": chosen.median(), "max_barrier": chosen.max()}
            found |= {f"share_{key}": counting[key].mean() for key in ("connected", "good_average")}
            metrics |= {f"{split}/{key}": float(value) for key, value in found.items()}
        eligible = [i for i, member in enumerate(own.members) if not member.constant]
        networks = network_table(own, barriers, clusters(barriers, settings.limit, eligible))
        title = f"{name}\n{settings.barrier.replace('_', ' ')} on {split}"
        figure = matrix_figure(table, networks, settings.barrier, settings.linkage, title, settings.limit)
        run.log_figure(figure, f"figures/matrix_{split}.png")
    if pairs:
        run.log_text(pd.concat(pairs, ignore_index=True).to_csv(index=False), Artifact.MATRIX_OTHER_PAIRS)
        run.log_text(pd.concat(points, ignore_index=True).to_csv(index=False), Artifact.MATRIX_OTHER_POINTS)
        run.log_once(metrics)
    return metrics
