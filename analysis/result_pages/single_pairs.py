"""The parts of the page batch_norm.md on single pairs: VGG11 under label imbalance (E3b), ResNet22 without (E4b)."""

from typing import Any, NamedTuple

import pandas as pd

from analysis.result_pages.numbers import either, joined, number, spread
from analysis.result_pages.shipped_runs import STAND_INS, ShippedRuns
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.papers.printed import cells

BARRIER, IN_BASIN, DELTA = "test/barrier", "test/barrier_in_basin", "test/accuracy_delta"
DEVIATIONS = 3
"""Printed deviations within which an accuracy delta fits (E4b)."""


class PrintedRow(NamedTuple):
    """A row of Table VII of which one pair was trained here."""

    dataset: str
    model: str
    shift: str
    lr: float


VGG11 = PrintedRow("cifar10", "vgg11", "label_2080", 0.0001)
RESNET22 = PrintedRow("mnist", "resnet22", "label_5050", 0.001)
STANDS_FOR = {**STAND_INS, "resnet22_s222": "resnet22"}


def policies_of(runs: ShippedRuns, row: PrintedRow) -> pd.DataFrame:
    """Make one row for the paper and one for each policy of batch norm on the line between the two networks."""
    printed = _printed(row)
    told = {"barrier, eq. 1 (nats)": either(printed["barrier"], printed["barrier_sd"], 2), "in the basin (nats)": ""}
    told |= {"accuracy delta (points)": either(printed["delta"], printed["delta_sd"], 1, "+")}
    rows = [{"`bn`": "*printed*", **told, "n": ""}]
    for policy, own in _paths(runs, row).groupby("bn", sort=False):
        rows.append(
            {
                "`bn`": f"`{policy}`",
                "barrier, eq. 1 (nats)": spread(own[BARRIER], 3),
                "in the basin (nats)": spread(own[IN_BASIN], 3),
                "accuracy delta (points)": spread(100 * own[DELTA], 1, "+"),
                "n": len(own),
            }
        )
    return pd.DataFrame(rows)


def answer_on_vgg11(runs: ShippedRuns) -> str:
    """Say in a sentence what VGG11 does under interpolated statistics and under those of the nearer end."""
    barriers = _means(runs, VGG11, BARRIER)
    return (
        f"VGG11, printed as connected under 20/80 labels, has {number(barriers['interpolate'], 2)} nats there (one "
        f"pair), and {number(barriers['nearest'], 2)} under `nearest`."
    )


def reading_of_vgg11(runs: ShippedRuns) -> str:
    """Say how far the networks were trained, and what the rule of E3b makes of the policies."""
    barriers = _means(runs, VGG11, BARRIER)
    told = [f"{number(barrier, 2)} nats under `{bn}`" for bn, barrier in barriers.items()]
    return f"{_trained(runs, VGG11)} The path has a barrier of {joined(told)}: {judge_policies(barriers)}."


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


def reading_of_resnet22(runs: ShippedRuns) -> str:
    """Say how far the networks were trained, and what the rule of E4b makes of them."""
    barriers, deltas = _means(runs, RESNET22, IN_BASIN), 100 * _means(runs, RESNET22, DELTA)
    printed = _printed(RESNET22)
    fitting = [f"`{bn}`" for bn in deltas.index if fits_delta(deltas[bn], printed["delta"], printed["delta_sd"])]
    plain, nearest = barriers["interpolate"], barriers["nearest"]
    return (
        f"{_trained(runs, RESNET22)} In the basin the path has {number(plain, 3)} nats under `interpolate` and "
        f"{number(nearest, 3)} under `nearest`: {judge_control(plain, nearest)}. The printed fall of accuracy fits "
        f"{f'under {joined(fitting)}' if fitting else 'under no policy'}."
    )


def judge_control(plain: float, nearest: float) -> str:
    """Judge E4b: what makes the barrier of a pair that saw balanced halves?

    Args:
        plain: barrier in the basin under `interpolate`, nats.
        nearest: under `nearest`.
    """
    if plain > FLAT_BELOW:
        return "depth breaks this pair without label imbalance"
    if nearest > FLAT_BELOW:
        return "the statistics of the nearer end make a barrier, without label imbalance"
    return "networks trained like these do not have what is printed"


def fits_delta(ours: float, printed: float, deviation: float) -> bool:
    """Tell whether an accuracy delta is within three printed deviations of the printed one; all in points."""
    return abs(ours - printed) <= DEVIATIONS * deviation


def _trained(runs: ShippedRuns, row: PrintedRow) -> str:
    ends = runs.endpoints[runs.endpoints["pair"].isin(set(_paths(runs, row)["pair"]))]
    train, test = (number(100 * ends[f"{split}/accuracy"].mean(), 1) for split in ("train", "test"))
    return f"The two networks end at {train} % on their training images and {test} % on test images."


def _printed(row: PrintedRow) -> "pd.Series[Any]":
    table = cells("table_vii")
    for name, value in row._asdict().items():
        table = table[table[name] == value]
    return table.iloc[0]


def _means(runs: ShippedRuns, row: PrintedRow, measure: str) -> "pd.Series[float]":
    return _paths(runs, row).groupby("bn", sort=False)[measure].mean()


def _paths(runs: ShippedRuns, row: PrintedRow) -> pd.DataFrame:
    paths = runs.paths[runs.paths["pair"] != ""].sort_values("start_time")
    paths = paths.assign(lr=paths["lr"].astype(float), batch_size=paths["batch_size"].astype(float))
    paths = paths[paths["batch_size"] == 1024]
    for name, value in row._asdict().items():
        paths = paths[paths[name].replace(STANDS_FOR) == value]
    return paths
