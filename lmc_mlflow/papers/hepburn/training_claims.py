"""Claims on batch size, learning rate, architecture and depth (Hepburn et al., RQ2, H-03)."""

import functools
import math

from lmc_mlflow.findings.comparisons import (
    Condition,
    compare_ends_of_axis,
    contrast,
    describe_condition,
    describe_measures,
    equal_but_for,
    with_architecture,
)
from lmc_mlflow.findings.differences import direction
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.thresholds import LOST_BELOW, NEGLIGIBLE
from lmc_mlflow.papers.commands import sweep_command

SMALL = (0.1, 1.0)
"""The barriers that the paper calls small."""
MOST_LOST = -15.0
"""The accuracy delta (percentage points) below which the paper's networks with a small barrier do not fall."""


def small_barriers_lose_accuracy(tables: ConditionTables) -> Evidence:
    """Collect evidence that accuracy can fall below the threshold although the barrier is small."""
    evidence = Evidence("can")
    for row in _small(tables):
        way = -1 if row["delta"] >= LOST_BELOW else 1
        evidence.add(way, f"{describe_condition(row)}: {describe_measures(row, 'barrier', 'delta')}", row["run_ids"])
    return evidence


def small_barriers_lose_little(tables: ConditionTables) -> Evidence:
    """Collect evidence that the loss of accuracy is bounded where the barrier is small."""
    evidence = Evidence("always")
    for row in _small(tables):
        error = row["delta_sd"] / math.sqrt(row["n"])
        way = 1 if row["delta"] >= MOST_LOST else direction(row["delta"] - MOST_LOST, error)
        evidence.add(way, f"{describe_condition(row)}: {describe_measures(row, 'barrier', 'delta')}", row["run_ids"])
    return evidence


def _small(tables: ConditionTables) -> list[Condition]:
    rows = tables.enough
    rows = rows[(rows["barrier"] >= SMALL[0]) & (rows["barrier"] <= SMALL[1])]
    return [row for _, row in rows.iterrows()]


def resnets_suffer_most_from_imbalance(tables: ConditionTables) -> Evidence:
    """Collect evidence that 20/80 costs each ResNet more accuracy over 50/50 than each other network of a data set."""
    rows = with_architecture(tables.enough)
    rows = rows[rows["shift"].isin(["label_5050", "label_2080"])]
    costs = []
    for part in equal_but_for(rows, ("shift", "noise")):
        ordered = part.sort_values("noise", ascending=False)
        equal, unequal = (ordered[ordered["shift"] == f"label_{share}"] for share in ("5050", "2080"))
        if len(equal) and len(unequal):
            first, second = equal.iloc[0], unequal.iloc[0]
            error = math.sqrt(sum(row["delta_sd"] ** 2 / row["n"] for row in (first, second)))
            costs.append((second, first["delta"] - second["delta"], error, (*first["run_ids"], *second["run_ids"])))
    evidence = Evidence()
    for mine, cost, error, ids in costs:
        for other, other_cost, other_error, other_ids in costs:
            if mine["family"] == "ResNet" and other["family"] != "ResNet" and mine["dataset"] == other["dataset"]:
                both = max(math.hypot(error, other_error), NEGLIGIBLE["delta"] / 2)
                text = f"{describe_condition(mine)}: 20/80 costs {cost:.2f} points more than 50/50 (n = {mine['n']}); "
                text += f"{describe_condition(other)}: {other_cost:.2f} (n = {other['n']})"
                evidence.add(direction(cost - other_cost, both), text, (*ids, *other_ids))
    return evidence


def depth_hinders(tables: ConditionTables) -> Evidence:
    """Collect evidence that the deepest networks of a family lose more accuracy than the shallowest, all else equal."""
    evidence = Evidence()
    rows = with_architecture(tables.enough)
    for _, kin in rows[rows["depth"] > 0].groupby(["family", "variant"], sort=True):
        for part in equal_but_for(kin, ("model",)):
            ordered = part.sort_values(["depth", "model"])
            shallow, deep = ordered.iloc[0], ordered.iloc[-1]
            if shallow["depth"] < deep["depth"]:
                text = f"{describe_condition(shallow)}: {describe_measures(shallow, 'delta')}; "
                text += f"{deep['model']}: {describe_measures(deep, 'delta')}"
                evidence.add(contrast(shallow, deep, "delta"), text, (*shallow["run_ids"], *deep["run_ids"]))
    return evidence


def axis_claim(name: str, sentence: str, axis: str, measure: str, better_when_larger: bool) -> Claim:
    """Make a claim that a measure is lower at one end of an axis; see `comparisons.compare_ends_of_axis`."""
    judge = functools.partial(compare_ends_of_axis, axis=axis, measure=measure, better_when_larger=better_when_larger)
    return Claim(name, sentence, judge, f"`{sweep_command('table_vi')}`")


TRAINING_CLAIMS = (
    axis_claim("H-03a", "A larger batch size lowers the barrier", "batch_size", "in_basin", True),
    axis_claim("H-03b", "A larger batch size lessens the loss of accuracy", "batch_size", "delta", True),
    axis_claim("H-03c", "A smaller learning rate lowers the barrier", "lr", "in_basin", False),
    axis_claim("H-03d", "A smaller learning rate lessens the loss of accuracy", "lr", "delta", False),
    Claim(
        "H-03e",
        "A small barrier (0.1 to 1) can go with a loss of more than 6 points of accuracy",
        small_barriers_lose_accuracy,
        f"`{sweep_command('table_vi')}`",
    ),
    Claim(
        "H-03f",
        "With a small barrier (0.1 to 1) no more than 15 points of accuracy are lost",
        small_barriers_lose_little,
        f"`{sweep_command('table_vi')}`",
    ),
    Claim(
        "H-03g",
        "Label imbalance costs ResNets more accuracy than other networks",
        resnets_suffer_most_from_imbalance,
        f"`{sweep_command('table_vii')}`",
    ),
    Claim("H-03h", "Deeper networks of a family lose more accuracy", depth_hinders, f"`{sweep_command('table_vi')}`"),
)
