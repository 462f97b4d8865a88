"""How do similarity and connection go together (Hepburn et al., RQ3, H-04)?"""

import functools

from lmc_mlflow.findings.comparing import (
    can_happen,
    ends_of_axis,
    holds,
    label,
    number,
    with_family,
)
from lmc_mlflow.findings.evidence import Claim, Evidence, Store
from lmc_mlflow.findings.tally import direction
from lmc_mlflow.papers.commands import sweep_command

NEARLY_ORTHOGONAL = 75.0
"""Degrees. Two independent MLPs without batch norm are 90 apart."""
CLEARLY_BELOW = 2.0
"""Degrees below two independent initializations that count as more alike than these."""


def orthogonal_mlps_hold(store: Store) -> Evidence:
    """Of MLPs whose sides are nearly orthogonal: does one of them hold?"""
    rows = with_family(store.enough)
    rows = rows[(rows["family"] == "MLP") & (rows["angle"] >= NEARLY_ORTHOGONAL)]
    return can_happen(rows, holds, ("angle", "in_basin", "delta"))


def similar_deep_networks_break(store: Store) -> Evidence:
    """Of broken ResNets and VGGs: are their sides more alike than two independent initializations?

    Held against the reference and not against 90 degrees: batch norm's scales all start at 1, so that random
    ResNets are 42 degrees apart over all parameters (H-33).
    """
    rows = with_family(store.enough)
    rows = rows[rows["family"].isin(["ResNet", "VGG"]) & (rows["holds"] < 0.5) & rows["reference"].notna()]
    evidence = Evidence("can")
    for _, row in rows.iterrows():
        error = max(row["angle_sd"] / row["n"] ** 0.5, CLEARLY_BELOW / 2)
        text = f"{label(row)}: {number(row, 'angle')}, two independent initializations {row['reference']:.1f}; "
        way = direction(row["reference"] - row["angle"], error)
        evidence.add(way, text + number(row, "in_basin"), row["run_ids"])
    return evidence


def _axis(name: str, sentence: str, axis: str, measure: str, better_when_larger: bool) -> Claim:
    judge = functools.partial(ends_of_axis, axis=axis, measure=measure, better_when_larger=better_when_larger)
    return Claim(name, sentence, judge, f"`{sweep_command('table_vi')}`")


SIMILARITY_CLAIMS = (
    _axis("H-04a", "A larger batch size makes the sides more alike (all parameters)", "batch_size", "angle", True),
    _axis("H-04b", "A smaller learning rate makes the sides more alike (all parameters)", "lr", "angle", False),
    _axis("H-04c", "A larger batch size makes the weights alone more alike", "batch_size", "angle_weights", True),
    _axis("H-04d", "A smaller learning rate makes the weights alone more alike", "lr", "angle_weights", False),
    Claim(
        "H-04e",
        "MLPs can be nearly orthogonal (75 degrees or more) and connected",
        orthogonal_mlps_hold,
        f"`{sweep_command('table_vi')}`",
    ),
    Claim(
        "H-04f",
        "Deep networks can be more alike than two independent initializations and not connected",
        similar_deep_networks_break,
        f"`{sweep_command('table_vii')}`",
    ),
)
