"""Logs who pays for the barrier of a path: by class, by side and by sample."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.contract import Artifact
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.paths.excess import (
    A_MORE,
    B_MORE,
    EQUALLY,
    barrier_by_class,
    barrier_by_sample,
    barrier_by_side,
    share_that_pays_half,
)
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.plots.per_run.who_pays import calibrated_figure, who_pays_figure
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.networks.pair_of_networks import Ends

MOST_SAMPLES = 100
"""Samples of a split that are listed."""
WORDS = {A_MORE: "a", B_MORE: "b", EQUALLY: "shared"}
"""Side that saw more of some classes -> word in the metric of what these pay."""


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        names: (K,) in the order of the labels.
        counts: training images of each class (K,) that A saw, and that B saw; None: nobody knows.
    """

    names: tuple[str, ...]
    counts: tuple[list[int], list[int]] | None


def check_calibrate(config: PathConfig, ends: Ends) -> None:
    """Refuse to calibrate outputs that are no softmax.

    Raises:
        ValueError: images have several labels each.
    """
    if config.calibrate and ends[0].spec.output != "log_probabilities":
        raise ValueError("calibrate=true: images with several labels each have no softmax; leave it out")


def classes_of(ends: Ends, splits: Mapping[str, LabelledImages]) -> Classes | None:
    """Collect names and counts of the classes; None with several labels an image.

    Args:
        ends: A and B.
        splits: the test set, and the training subsets of A and B where they are known.
    """
    number = ends[0].spec.num_classes
    if splits["test"].labels.ndim != 1:
        return None
    names = splits["test"].classes or tuple(map(str, range(number)))
    if not {"train_a", "train_b"} <= set(splits):
        return Classes(names, None)
    a, b = (
        np.bincount(splits[name].labels.cpu().numpy(), minlength=number).tolist() for name in ("train_a", "train_b")
    )
    return Classes(names, (a, b))


def class_table(path: Path, classes: Classes) -> pd.DataFrame:
    """Make one row a split and class: the content of `barrier_by_class.json`."""
    rows = [
        {"split": split, "class": classes.names[row.label], **asdict(row)}
        for split, samples in (path.samples or {}).items()
        for row in barrier_by_class(path.alphas, samples, len(classes.names), classes.counts)
    ]
    return pd.DataFrame(rows)


def log_who_pays(run: TrackedRun, path: Path, classes: Classes | None, title: str) -> dict[str, float]:
    """Log tables and figure of who pays, and return the numbers.

    Args:
        run: of the path.
        path: with its samples.
        classes: of the data set; None: images have several labels each, so that samples alone pay.
        title: over the figure.
    """
    metrics, listed = {}, []
    for split, samples in (path.samples or {}).items():
        half = share_that_pays_half(path.alphas, samples)
        if not np.isnan(half):
            metrics[f"{split}/half_paid_by"] = half
        rows = [] if classes is None else barrier_by_class(path.alphas, samples, len(classes.names), classes.counts)
        for side, paid in barrier_by_side(rows).items():
            if side in WORDS:
                metrics[f"{split}/paid_by_{WORDS[side]}_classes"] = paid
        listed += [{"split": split, **asdict(row)} for row in barrier_by_sample(path.alphas, samples, MOST_SAMPLES)]
    run.log_json(pd.DataFrame(listed).to_dict(orient="split", index=False), Artifact.BARRIER_BY_SAMPLE)
    table = pd.DataFrame() if classes is None else class_table(path, classes)
    if len(table):
        run.log_json(table.to_dict(orient="split", index=False), Artifact.BARRIER_BY_CLASS)
        run.log_figure(who_pays_figure(table, title), "figures/who_pays.png")
    return metrics


def log_calibrated(run: TrackedRun, path: Path, table: pd.DataFrame, title: str, ends: tuple[str, str]) -> None:
    """Log the figure of a path at the best temperatures, if these were asked for."""
    if path.calibrated is not None:
        run.log_figure(calibrated_figure(table, title, ends), "figures/calibrated.png")
