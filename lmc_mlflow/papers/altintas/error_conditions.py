"""The table of conditions of error barriers, and what Altintas et al. print in the same form."""

import functools

import pandas as pd

from lmc_mlflow.findings.condition_table import (
    KEYS,
    Frames,
    condition_texts,
    summarize,
    with_columns,
    with_deviations,
)
from lmc_mlflow.findings.conditions import ORDER, has_learnt, noise_source, plain_rows
from lmc_mlflow.findings.families import linear_layers
from lmc_mlflow.findings.pair_measures import PAIR_MEASURES
from lmc_mlflow.findings.thresholds import CONNECTED_BELOW_PCT
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.papers.printed import printed_table

SPLITS = ("test", "train")
MEASURES = (
    *("test", "train", "test_normalized", "train_normalized", "barrier", "in_basin", "holds"),
    *PAIR_MEASURES,
)
STATED = {"dataset": "mnist", "shift": "none", "noise": "different"}
"""Settings of every cell of Tables 1 and 2."""
PRINTED_SEEDS = 3
"""In the place of n for printed values, whose number of seeds is not given: enough to count."""
COLUMNS = [*KEYS, "init", "condition", "n", *with_deviations(MEASURES), "learnt", "accepted", "run_ids"]
"""The columns of `error_conditions`."""
ACCEPTED_ACCURACY = 90.0
"""Test accuracy in percent that the networks of Altintas et al. exceed on MNIST."""
ACCEPTED_LOSS = (0.2, 0.3)
"""Training loss in nats in which their linear networks end on MNIST (Table 1)."""


def error_conditions(frames: Frames, policy: str) -> pd.DataFrame:
    """Compute one row for each condition, from paths between the two sides of a pair, whatever their initialization.

    Runs of one seed are averaged first. A network without batch norm has the same path under every policy.

    Args:
        frames: as `condition_table.prepare` returns them.
        policy: what is done with batch norm's running statistics on the path.

    Returns:
        Columns `KEYS`, init (same or different), condition (all of them as one text), n (seeds), each of
        `MEASURES` with its sample deviation `<name>_sd`, learnt, accepted and run_ids. test and train are error
        barriers in percent (train: the mean of both sides'), with `_normalized` as Altintas et al. normalize them;
        barrier and in_basin are the test loss's, in nats; accuracy is the pair's on test data, in
        percent; holds is the share of seeds whose test error barrier is below `CONNECTED_BELOW_PCT`; learnt tells
        whether the networks were trained at all (`conditions.has_learnt`), and accepted whether they are trained as
        Altintas et al. say (`accepted`).
    """
    rows = with_columns(_between_sides(frames.measured_paths), KEYS)
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = rows[(rows["bn"] == policy) | ~rows["model"].map(has_batch_norm)]
    rows = _with_measures(rows)
    rows = rows.assign(condition=condition_texts(rows) + "|" + rows["init"])
    found = summarize(rows, "init", MEASURES)
    found["share"] = found["accuracy"] / 100
    return found.assign(learnt=has_learnt(found, "share"), accepted=accepted(found))[COLUMNS]


def accepted(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Tell of each condition whether its networks meet what Altintas et al. say of theirs.

    They say it of MNIST: a test accuracy above `ACCEPTED_ACCURACY`, and for linear networks a training loss within
    `ACCEPTED_LOSS`. On other data sets, and where a number is unknown, all are accepted.

    Args:
        rows: with columns dataset, model, accuracy and train_loss.
    """
    mnist, linear = rows["dataset"] == "mnist", rows["model"].map(linear_layers).astype(bool)
    accuracy, loss = (pd.to_numeric(rows[name], errors="coerce") for name in ("accuracy", "train_loss"))
    accurate = (accuracy > ACCEPTED_ACCURACY) | accuracy.isna()
    fitted = loss.between(*ACCEPTED_LOSS) | loss.isna() | ~linear
    return ~mnist | (accurate & fitted)


def order_alone(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the conditions of this paper: one initialization, all images for both networks, different orders.

    Args:
        rows: from `error_conditions`.
    """
    sources = [noise_source(shift, noise) for shift, noise in rows[["shift", "noise"]].to_numpy()]
    return rows[(pd.Series(sources, rows.index, dtype=str) == ORDER) & (rows["init"] == "same")]


def _between_sides(paths: pd.DataFrame) -> pd.DataFrame:
    wanted = {"pair", "same_initialization", "side_a", "side_b", "test/error_barrier"}
    if not wanted <= set(paths):
        return paths.iloc[:0]
    paths = plain_rows(paths)
    inside = paths[(paths["pair"] != "") & (paths["side_a"] != paths["side_b"])]
    same = inside["same_initialization"].astype(bool)
    return inside.assign(init=same.map({True: "same", False: "different"}))


def _with_measures(rows: pd.DataFrame) -> pd.DataFrame:
    found = {"test": 100 * rows["test/error_barrier"]}
    for name, ending in (("train", "error_barrier"), ("train_normalized", "error_barrier_normalized")):
        sides = [column for column in (f"train_a/{ending}", f"train_b/{ending}") if column in rows]
        found[name] = 100 * rows[sides].mean(axis=1) if sides else pd.Series(float("nan"), rows.index)
    rows = with_columns(rows, ("test/error_barrier_normalized", "test/barrier", "test/barrier_in_basin"))
    found["test_normalized"] = 100 * pd.to_numeric(rows["test/error_barrier_normalized"])
    found["barrier"] = pd.to_numeric(rows["test/barrier"])
    found["in_basin"] = pd.to_numeric(rows["test/barrier_in_basin"])
    holds = (found["test"] < CONNECTED_BELOW_PCT).astype(float)
    return rows.assign(**found, holds=holds)


@functools.cache
def printed_error_conditions() -> pd.DataFrame:
    """Return Tables 1 and 2 of Altintas et al. in the form of `error_conditions`; an unstable cell is no condition.

    Linear networks have no width there, and cells have no deviation.
    """
    linear, minimal = printed_table("altintas_table_1"), printed_table("altintas_table_2")
    linear = linear.assign(model="linear_l" + linear["layers"].astype(str), warmup_epochs=0)
    minimal = minimal.assign(model="mlp_l1_w128", batch_size=1024)
    frame = pd.concat([linear, minimal], ignore_index=True)
    frame["barrier_pct"] = pd.to_numeric(frame["barrier_pct"], errors="coerce")
    cell = ["model", "batch_size", "optimizer", "lr", "warmup_epochs"]
    wide = frame.pivot_table("barrier_pct", cell, "split").reset_index().rename_axis(columns=None)
    wide = wide.assign(
        **STATED,
        init="same",
        n=PRINTED_SEEDS,
        learnt=True,
        accepted=True,
        holds=(wide["test"] < CONNECTED_BELOW_PCT).astype(float),
    )
    wide["condition"] = ["|".join(map(str, row)) for row in wide[cell].to_numpy()]
    wide["run_ids"] = pd.Series([()] * len(wide), dtype=object)
    numbers = with_deviations(MEASURES)
    absent = {name: float("nan") if name in numbers else "" for name in COLUMNS if name not in wide}
    return wide.assign(**absent)[COLUMNS]
