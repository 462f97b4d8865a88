"""Claims on batch size, learning rate, architecture and depth (Hepburn et al., RQ2, H-03)."""

import functools

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.comparisons import (
    EPOCHS,
    add_ends_of_axis,
    compare_ends_of_axis,
    contrast,
    describe_condition,
    describe_difference,
    describe_measures,
    ended_by,
    equal_but_for,
    estimate,
    sample,
    with_architecture,
)
from lmc_mlflow.findings.condition_table import key_text
from lmc_mlflow.findings.differences import contrast_of
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.pair_measures import describe_shift
from lmc_mlflow.findings.thresholds import LOST_BELOW, NEGLIGIBLE
from lmc_mlflow.papers.commands import sweep_command

SMALL = (0.1, 1.0)
"""The barriers that the paper calls small."""
MUCH_LOST = -10.0
"""An accuracy delta (percentage points) below this is of the size of the paper's "up to 15 %"."""


def small_barriers_lose(tables: ConditionTables, threshold: float) -> Evidence:
    """Collect evidence that accuracy can fall below a threshold although the barrier in the basin is small."""
    evidence = Evidence("can")
    rows = tables.enough
    for _, row in rows[(rows["in_basin"] >= SMALL[0]) & (rows["in_basin"] <= SMALL[1])].iterrows():
        side = estimate(row, "delta").side(threshold)
        text = (
            f"{describe_condition(row)}: {describe_measures(row, 'in_basin', 'delta')}, threshold {threshold:g} points"
        )
        evidence.add(None if side is None else -side, text, row["run_ids"])
    return evidence


def resnets_suffer_most_from_imbalance(tables: ConditionTables) -> Evidence:
    """Collect evidence that 20/80 costs each ResNet more accuracy over 50/50 than each other network of a data set."""
    rows = with_architecture(tables.enough)
    rows = rows[rows["shift"].isin(["label_5050", "label_2080"])]
    costs = []
    for part in equal_but_for(rows, ("shift", "noise")):
        ordered = part.sort_values("noise", ascending=False)
        equal, unequal = (ordered[ordered["shift"] == f"label_{share}"] for share in ("5050", "2080"))
        if len(equal) and len(unequal):
            costs.append((equal.iloc[0], unequal.iloc[0]))
    evidence = Evidence()
    for mine in costs:
        for other in costs:
            first, second = mine[1], other[1]
            of_interest = first["family"] == "ResNet" and second["family"] != "ResNet"
            if of_interest and first["dataset"] == second["dataset"]:
                samples = [sample(row, "delta") for row in (*mine, *other)]
                found = contrast_of((1, -1, -1, 1), samples)
                own, theirs = (contrast_of((1, -1), pair) for pair in (samples[:2], samples[2:]))
                text = f"{describe_condition(first)}: 20/80 costs {own.text(2)} points more than 50/50 (n = {own.n}); "
                text += f"{describe_condition(second)}: {theirs.text(2)} (n = {theirs.n}); "
                text += f"{describe_difference(found, 'delta', NEGLIGIBLE['delta'])}; {describe_shift(first)}"
                ids = [run_id for row in (*mine, *other) for run_id in row["run_ids"]]
                evidence.add(found.direction(NEGLIGIBLE["delta"]), text, ids)
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
                found = contrast(shallow, deep, "delta")
                text += f"{deep['model']}: {describe_measures(deep, 'delta')}; "
                text += describe_difference(found, "delta", NEGLIGIBLE["delta"])
                evidence.add(found.direction(NEGLIGIBLE["delta"]), text, (*shallow["run_ids"], *deep["run_ids"]))
    return evidence


def larger_batches_help_at_equal_steps(tables: ConditionTables) -> Evidence:
    """Collect evidence that a larger batch lowers the barrier where both take equal numbers of steps.

    At equal epochs batches of 32 take 32 times the steps of batches of 1,024, so that noise and length of training are
    confounded. Here both were trained for equally many `steps`, or their epochs grow with the batch size.
    """
    evidence = Evidence()
    alike: list[pd.DataFrame] = []
    for part in equal_but_for(ended_by(tables.enough, EPOCHS), ("batch_size", EPOCHS)):
        rows = part[part[EPOCHS].map(key_text) != ""]
        alike += [same for _, same in rows.groupby([row["batch_size"] / row[EPOCHS] for _, row in rows.iterrows()])]
    alike += equal_but_for(ended_by(tables.enough, "steps"), ("batch_size", EPOCHS))
    for same in alike:
        ordered = same.sort_values("batch_size")
        if ordered["batch_size"].nunique() > 1:
            add_ends_of_axis(evidence, ordered.iloc[0], ordered.iloc[-1], ("batch_size", EPOCHS), "in_basin")
    return evidence


def axis_claim(name: str, sentence: str, axis: str, measure: str, better_when_larger: bool) -> Claim:
    """Make a claim that a measure is lower at one end of an axis; see `comparisons.compare_ends_of_axis`."""
    judge = functools.partial(compare_ends_of_axis, axis=axis, measure=measure, better_when_larger=better_when_larger)
    return Claim(name, f"At equal epochs {sentence}", judge, f"`{sweep_command('table_vi')}`")


EQUAL_STEPS = f"`{RUN} sweep -P grid=equal_budgets`"
TRAINING_CLAIMS = (
    axis_claim("H-03a", "a larger batch size lowers the barrier", "batch_size", "in_basin", True),
    axis_claim("H-03b", "a larger batch size lessens the loss of accuracy", "batch_size", "delta", True),
    axis_claim("H-03c", "a smaller learning rate lowers the barrier", "lr", "in_basin", False),
    axis_claim("H-03d", "a smaller learning rate lessens the loss of accuracy", "lr", "delta", False),
    Claim(
        "H-03e",
        "A small barrier (0.1 to 1) can go with a loss of more than 6 points of accuracy",
        functools.partial(small_barriers_lose, threshold=LOST_BELOW),
        f"`{sweep_command('table_vi')}`",
    ),
    Claim(
        "H-03f",
        "A small barrier (0.1 to 1) can go with a loss of the size of 15 points of accuracy (more than 10)",
        functools.partial(small_barriers_lose, threshold=MUCH_LOST),
        f"`{sweep_command('table_vi')}`",
    ),
    Claim(
        "H-03g",
        "Label imbalance costs ResNets more accuracy than other networks",
        resnets_suffer_most_from_imbalance,
        f"`{sweep_command('table_vii')}`",
    ),
    Claim("H-03h", "Deeper networks of a family lose more accuracy", depth_hinders, f"`{sweep_command('table_vi')}`"),
    Claim(
        "H-03i",
        "At equal numbers of steps a larger batch size lowers the barrier",
        larger_batches_help_at_equal_steps,
        EQUAL_STEPS,
    ),
)
