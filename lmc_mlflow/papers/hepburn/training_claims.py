"""What do batch size, learning rate, architecture and depth change (Hepburn et al., RQ2, H-03)?"""

import functools
import math

from lmc_mlflow.findings.comparing import (
    FLOORS,
    Condition,
    alike,
    contrast,
    ends_of_axis,
    label,
    number,
    with_family,
)
from lmc_mlflow.findings.evidence import Claim, Evidence, Store
from lmc_mlflow.findings.tally import direction
from lmc_mlflow.papers.commands import sweep_command

SMALL = (0.1, 1.0)
"""The barriers that the paper calls small."""
LOST, MOST_LOST = -6.0, -15.0
"""Accuracy deltas (percentage points): below the first the connection counts as lost; the paper's bound."""


def small_barriers_lose_accuracy(store: Store) -> Evidence:
    """Does accuracy fall below the threshold somewhere, although the barrier is small?"""
    evidence = Evidence("can")
    for row in _small(store):
        way = -1 if row["delta"] >= LOST else 1
        evidence.add(way, f"{label(row)}: {number(row, 'barrier')}, {number(row, 'delta')}", row["run_ids"])
    return evidence


def small_barriers_lose_little(store: Store) -> Evidence:
    """Is the loss of accuracy bounded where the barrier is small?"""
    evidence = Evidence("always")
    for row in _small(store):
        error = row["delta_sd"] / math.sqrt(row["n"])
        way = 1 if row["delta"] >= MOST_LOST else direction(row["delta"] - MOST_LOST, error)
        evidence.add(way, f"{label(row)}: {number(row, 'barrier')}, {number(row, 'delta')}", row["run_ids"])
    return evidence


def _small(store: Store) -> list[Condition]:
    rows = store.enough
    rows = rows[(rows["barrier"] >= SMALL[0]) & (rows["barrier"] <= SMALL[1])]
    return [row for _, row in rows.iterrows()]


def resnets_suffer_most_from_imbalance(store: Store) -> Evidence:
    """Is what 20/80 costs over 50/50 in accuracy larger for each ResNet than for each other network of a data set?"""
    rows = with_family(store.enough)
    rows = rows[rows["shift"].isin(["label_5050", "label_2080"])]
    costs = []
    for part in alike(rows, ("shift", "noise")):
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
                both = max(math.hypot(error, other_error), FLOORS["delta"] / 2)
                text = f"{label(mine)}: 20/80 costs {cost:.2f} points more than 50/50 (n = {mine['n']}); "
                text += f"{label(other)}: {other_cost:.2f} (n = {other['n']})"
                evidence.add(direction(cost - other_cost, both), text, (*ids, *other_ids))
    return evidence


def depth_hinders(store: Store) -> Evidence:
    """Do the deepest networks of a family lose more accuracy than the shallowest, all else equal?"""
    evidence = Evidence()
    rows = with_family(store.enough)
    for _, kin in rows[rows["depth"] > 0].groupby(["family", "variant"], sort=True):
        for part in alike(kin, ("model",)):
            ordered = part.sort_values(["depth", "model"])
            shallow, deep = ordered.iloc[0], ordered.iloc[-1]
            if shallow["depth"] < deep["depth"]:
                text = f"{label(shallow)}: {number(shallow, 'delta')}; {deep['model']}: {number(deep, 'delta')}"
                evidence.add(contrast(shallow, deep, "delta"), text, (*shallow["run_ids"], *deep["run_ids"]))
    return evidence


def _axis(name: str, sentence: str, axis: str, measure: str, better_when_larger: bool) -> Claim:
    judge = functools.partial(ends_of_axis, axis=axis, measure=measure, better_when_larger=better_when_larger)
    return Claim(name, sentence, judge, f"`{sweep_command('table_vi')}`")


TRAINING_CLAIMS = (
    _axis("H-03a", "A larger batch size lowers the barrier", "batch_size", "in_basin", True),
    _axis("H-03b", "A larger batch size lessens the loss of accuracy", "batch_size", "delta", True),
    _axis("H-03c", "A smaller learning rate lowers the barrier", "lr", "in_basin", False),
    _axis("H-03d", "A smaller learning rate lessens the loss of accuracy", "lr", "delta", False),
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
