"""How high are error barriers under each condition? Mean and deviation over seeds, and what Altintas et al. print."""

import functools

import pandas as pd

from lmc_mlflow.findings.condition_table import (
    KEYS,
    Frames,
    condition_texts,
    with_columns,
)
from lmc_mlflow.findings.conditions import CONNECTED_BELOW_PCT, has_learnt, per_seed
from lmc_mlflow.models.families import facts_of, has_batch_norm
from lmc_mlflow.papers.printed import printed

SPLITS = ("test", "train")
MEASURES = ("test", "train", "test_normalized", "train_normalized", "barrier", "in_basin", "accuracy", "holds")
STATED = {"dataset": "mnist", "shift": "none", "noise": "different"}
"""What holds for Tables 1 and 2."""
PRINTED_SEEDS = 3
"""In the place of n for printed values, whose number of seeds is not given: enough to count."""


def error_conditions(frames: Frames, policy: str) -> pd.DataFrame:
    """One row a condition, from paths between the two sides of a pair, whatever their initialization.

    Runs of one seed are averaged first. A network without batch norm has one path whatever the policy.

    Args:
        frames: prepared.
        policy: batch norm on the path.

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
        return pd.DataFrame(columns=table_columns())
    rows = rows[(rows["bn"] == policy) | ~rows["model"].map(has_batch_norm)]
    rows = _with_measures(rows, frames.pairs)
    rows = rows.assign(condition=condition_texts(rows) + "|" + rows["init"])
    found = rows.drop_duplicates("condition").set_index("condition").sort_index()[[*KEYS, "init"]]
    found["run_ids"] = rows.groupby("condition")["run_id"].agg(tuple)
    for name in MEASURES:
        values = per_seed(rows, name, ("condition",)).dropna().groupby(level="condition")
        found[name], found[f"{name}_sd"] = values.mean(), values.std(ddof=1)
        if name == "test":
            found["n"] = values.count()
    found = found.assign(n=found["n"].fillna(0).astype(int), share=found["accuracy"] / 100)
    return found.assign(learnt=has_learnt(found, "share")).reset_index()[table_columns()]


def linear_layers(model: str) -> int:
    """Return the number of layers of a linear network; 0 for any other network."""
    found = facts_of(model)
    return found.depth if found.family == "linear" else 0


def is_minimal(model: str) -> bool:
    """Tell whether a network is an MLP with one hidden layer, ReLUs, and neither norm nor dropout."""
    found = facts_of(model)
    return (found.family, found.depth, found.variant) == ("MLP", 1, "")


def table_columns() -> list[str]:
    """The columns of `error_conditions`."""
    measured = [name for measure in MEASURES for name in (measure, f"{measure}_sd")]
    return [*KEYS, "init", "condition", "n", *measured, "learnt", "run_ids"]


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
def printed_conditions() -> pd.DataFrame:
    """Tables 1 and 2 of Altintas et al. in the form of `error_conditions`; an unstable cell is no condition.

    Linear networks have no width there, and no cell a deviation.
    """
    linear, minimal = printed("altintas_table_1"), printed("altintas_table_2")
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
    numbers = {name for measure in MEASURES for name in (measure, f"{measure}_sd")}
    absent = {name: float("nan") if name in numbers else "" for name in table_columns() if name not in wide}
    return wide.assign(**absent)[table_columns()]
