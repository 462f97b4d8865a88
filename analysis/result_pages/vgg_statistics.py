"""The part of the page batch_norm.md on VGG11, which the paper prints as connected under 20/80 labels."""

from typing import Any

import pandas as pd

from analysis.result_pages.numbers import either, joined, number, spread
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.papers.printed import cells

MODEL, SHIFT, LR = "vgg11", "label_2080", 0.0001


def vgg_rows(runs: ShippedRuns) -> pd.DataFrame:
    """Make one row for the paper and one for each policy of batch norm on the line between two VGG11."""
    printed = _printed()
    told = {"barrier, eq. 1 (nats)": either(printed["barrier"], printed["barrier_sd"], 2)}
    told |= {
        "in the basin (nats)": "",
        "accuracy delta (points)": either(printed["delta"], printed["delta_sd"], 1, "+"),
    }
    rows = [{"`bn`": "*printed*", **told, "n": ""}]
    for policy, own in _paths(runs).groupby("bn", sort=False):
        rows.append(
            {
                "`bn`": f"`{policy}`",
                "barrier, eq. 1 (nats)": spread(own["test/barrier"], 3),
                "in the basin (nats)": spread(own["test/barrier_in_basin"], 3),
                "accuracy delta (points)": spread(100 * own["test/accuracy_delta"], 1, "+"),
                "n": len(own),
            }
        )
    return pd.DataFrame(rows)


def vgg_answer(runs: ShippedRuns) -> str:
    """Say in a sentence what VGG11 does under interpolated statistics and under those of the nearer end."""
    barriers = _barriers(runs)
    return (
        f"VGG11, printed as connected under 20/80 labels, has {number(barriers['interpolate'], 2)} nats there (one "
        f"pair), and {number(barriers['nearest'], 2)} under `nearest`."
    )


def vgg_reading(runs: ShippedRuns) -> str:
    """Say how far the networks were trained, and what the rule of E3b makes of the policies."""
    ends = runs.endpoints[runs.endpoints["pair"].isin(set(_paths(runs)["pair"]))]
    accuracy = [number(100 * ends[f"{split}/accuracy"].mean(), 1) for split in ("train", "test")]
    barriers = _barriers(runs)
    told = [f"{number(barrier, 2)} nats under `{bn}`" for bn, barrier in barriers.items()]
    return (
        f"The two networks end at {accuracy[0]} % on their training images and {accuracy[1]} % on test images. The "
        f"path has a barrier of {joined(told)}: {judge_policies(barriers)}."
    )


def judge_policies(barriers: "pd.Series[float]") -> str:
    """Judge E3b: which policies cannot give the printed 0.0 from networks like these?

    Args:
        barriers: of eq. 1, nats, by policy; `interpolate` is among them.
    """
    if barriers["interpolate"] > FLAT_BELOW:
        return "label imbalance breaks this pair by itself, which the paper's networks do not show"
    broken = [f"`{bn}`" for bn, barrier in barriers.items() if barrier > FLAT_BELOW]
    if not broken:
        return "every policy stays possible"
    return f"networks like these do not give the printed 0.0 under {' or '.join(broken)}"


def _printed() -> "pd.Series[Any]":
    table = cells("table_vii")
    return table[(table["model"] == MODEL) & (table["shift"] == SHIFT)].iloc[0]


def _barriers(runs: ShippedRuns) -> "pd.Series[float]":
    return _paths(runs).groupby("bn", sort=False)["test/barrier"].mean()


def _paths(runs: ShippedRuns) -> pd.DataFrame:
    paths = runs.paths[runs.paths["pair"] != ""].sort_values("start_time")
    return paths[(paths["model"] == MODEL) & (paths["shift"] == SHIFT) & (paths["lr"].astype(float) == LR)]
