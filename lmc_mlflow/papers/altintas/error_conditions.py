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
from lmc_mlflow.findings.conditions import has_learnt
from lmc_mlflow.findings.thresholds import CONNECTED_BELOW_PCT
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.papers.printed import printed_table

SPLITS = ("test", "train")
MEASURES = ("test", "train", "test_normalized", "train_normalized", "barrier", "in_basin", "accuracy", "holds")
STATED = {"dataset": "mnist", "shift": "none", "noise": "different"}
"""Settings of every cell of Tables 1 and 2."""
PRINTED_SEEDS = 3
"""In the place of n for printed values, whose number of seeds is not given: enough to count."""
COLUMNS = [*KEYS, "init", "condition", "n", *with_deviations(MEASURES), "learnt", "run_ids"]
"""The columns of `error_conditions`."""


def error_conditions(frames: Frames, policy: str) -> pd.DataFrame:
    """Compute one row for each condition, from paths between the two sides of a pair, whatever their initialization.

    Runs of one seed are averaged first. A network without batch norm has the same path under every policy.

    Args:
        frames: as `condition_table.prepare` returns them.
        policy: what is done with batch norm's running statistics on the path.

    Returns:
        Columns `KEYS`, init (same or different), condition (all of them as one text), n (seeds), each of
        `MEASURES` with its sample deviation `<name>_sd`, and run_ids. test and train are error barriers in
        percent (train: the mean of both sides'), with `_normalized` as Altintas et al. normalize them;
        barrier and in_basin are the test loss's, in nats; accuracy is the pair's on test data, in
        percent; holds is the share of seeds whose test error barrier is below `CONNECTED_BELOW_PCT`; learnt tells
        whether the networks were trained at all (`conditions.has_learnt`).
    """
    rows = with_columns(_between_sides(frames.paths), KEYS)
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = rows[(rows["bn"] == policy) | ~rows["model"].map(has_batch_norm)]
    rows = _with_measures(rows, frames.pairs)
    rows = rows.assign(condition=condition_texts(rows) + "|" + rows["init"])
    found = summarize(rows, "init", MEASURES)
    found["share"] = found["accuracy"] / 100
    return found.assign(learnt=has_learnt(found, "share"))[COLUMNS]


def _between_sides(paths: pd.DataFrame) -> pd.DataFrame:
    wanted = {"pair", "same_initialization", "side_a", "side_b", "test/error_barrier"}
    if not wanted <= set(paths):
        return paths.iloc[:0]
    inside = paths[(paths["pair"] != "") & (paths["side_a"] != paths["side_b"])]
    same = inside["same_initialization"].astype(bool)
    return inside.assign(init=same.map({True: "same", False: "different"}))


def _with_measures(rows: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    accuracy = pairs.set_index("run_id")["test/accuracy"] if "test/accuracy" in pairs else pd.Series(dtype=float)
    found = {"test": 100 * rows["test/error_barrier"], "accuracy": 100 * rows["pair"].map(accuracy)}
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
        **STATED, init="same", n=PRINTED_SEEDS, learnt=True, holds=(wide["test"] < CONNECTED_BELOW_PCT).astype(float)
    )
    wide["condition"] = ["|".join(map(str, row)) for row in wide[cell].to_numpy()]
    wide["run_ids"] = pd.Series([()] * len(wide), dtype=object)
    numbers = with_deviations(MEASURES)
    absent = {name: float("nan") if name in numbers else "" for name in COLUMNS if name not in wide}
    return wide.assign(**absent)[COLUMNS]
