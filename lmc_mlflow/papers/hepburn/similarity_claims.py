"""Claims on the similarity of connected and unconnected networks (Hepburn et al., RQ3, H-04)."""

import dataclasses

from lmc_mlflow.findings.comparisons import (
    can_happen,
    describe_condition,
    describe_measures,
    estimate,
    holds,
    with_architecture,
)
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.papers.commands import sweep_command
from lmc_mlflow.papers.hepburn.training_claims import axis_claim

NEARLY_ORTHOGONAL = 75.0
"""Degrees. Two independent MLPs without batch norm are 90 apart."""
CLEARLY_BELOW = 2.0
"""Degrees below two independent initializations that count as more alike than these."""


def orthogonal_mlps_hold(tables: ConditionTables) -> Evidence:
    """Collect evidence from MLPs whose sides are nearly orthogonal: one that holds supports the claim."""
    rows = with_architecture(tables.enough)
    rows = rows[(rows["family"] == "MLP") & (rows["angle"] >= NEARLY_ORTHOGONAL)]
    return can_happen(rows, holds, ("angle", "in_basin", "delta"))


def similar_deep_networks_break(tables: ConditionTables) -> Evidence:
    """Collect evidence from ResNets and VGGs that do not hold: their sides are more alike than random networks.

    The angle is compared with that of two independent initializations and not with 90 degrees: batch norm's scales all
    start at 1, so that random ResNets are 42 degrees apart over all parameters (H-33).
    """
    rows = with_architecture(tables.enough)
    rows = rows[rows["family"].isin(["ResNet", "VGG"]) & rows["reference"].notna()]
    evidence = Evidence("can")
    for _, row in rows.iterrows():
        if holds(row) is False:
            angle = estimate(row, "angle")
            closer = dataclasses.replace(angle, value=row["reference"] - angle.value)
            text = f"{describe_condition(row)}: {describe_measures(row, 'angle')}, two independent initializations "
            text += f"{row['reference']:.1f}, margin {CLEARLY_BELOW:g} degrees; {describe_measures(row, 'in_basin')}"
            evidence.add(closer.direction(CLEARLY_BELOW), text, row["run_ids"])
    return evidence


SIMILARITY_CLAIMS = (
    axis_claim("H-04a", "a larger batch size makes the sides more alike (all parameters)", "batch_size", "angle", True),
    axis_claim("H-04b", "a smaller learning rate makes the sides more alike (all parameters)", "lr", "angle", False),
    axis_claim("H-04c", "a larger batch size makes the weights alone more alike", "batch_size", "angle_weights", True),
    axis_claim("H-04d", "a smaller learning rate makes the weights alone more alike", "lr", "angle_weights", False),
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
