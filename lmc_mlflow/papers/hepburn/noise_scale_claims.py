"""The claim that barriers grow with the noise scale of SGD (Hepburn et al., IV-B)."""

import math
from typing import Any

from lmc_mlflow.findings.comparisons import (
    EPOCHS,
    contrast,
    describe_condition,
    describe_confound,
    describe_measures,
    ended_by,
    equal_but_for,
    sample,
)
from lmc_mlflow.findings.differences import Estimate, contrast_of
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.thresholds import NEGLIGIBLE
from lmc_mlflow.papers.commands import sweep_command

FEWEST = 3
"""Different noise scales that a trend needs; two are a comparison of batch sizes or rates (H-03)."""


def barrier_grows_with_noise(tables: ConditionTables) -> Evidence:
    """Collect evidence that the barrier in the basin rises with log g, over batch sizes and rates, all else equal.

    Each family of conditions gives one least-squares slope, whose t interval comes from the deviations over seeds. It
    counts where the highest scale differs from the lowest in the same direction: a bump between them is no trend.
    """
    evidence = Evidence()
    rows = ended_by(tables.enough, EPOCHS)
    for part in equal_but_for(rows[rows["noise_scale"] > 0], ("batch_size", "lr")):
        if part["noise_scale"].nunique() >= FEWEST:
            ordered = [row for _, row in part.sort_values(["noise_scale", "condition"]).iterrows()]
            slope = slope_over_noise(ordered)
            at = "; ".join(f"g {row['noise_scale']:.3g}: {describe_measures(row, 'in_basin')}" for row in ordered)
            ends = contrast(ordered[-1], ordered[0], "in_basin")
            ways = [found.direction(NEGLIGIBLE["in_basin"]) for found in (slope, ends)]
            text = f"{describe_condition(ordered[0], ('batch_size', 'lr'))}: {at}; for ten times g higher by "
            text += f"{slope.text(3)}, from lowest to highest g {ends.text(3)}, margin {NEGLIGIBLE['in_basin']:g}; "
            text += describe_confound(ordered[0], ordered[-1])
            ids = [run_id for row in ordered for run_id in row["run_ids"]]
            evidence.add(ways[0] if ways[0] == ways[1] else 0, text, ids)
    return evidence


def slope_over_noise(rows: list[Any]) -> Estimate:
    """Estimate the least-squares slope of the barrier in the basin over log10 of the noise scale.

    Args:
        rows: conditions with two or more different noise scales.
    """
    places = [math.log10(row["noise_scale"]) for row in rows]
    middle = sum(places) / len(places)
    spread = sum((place - middle) ** 2 for place in places)
    weights = [(place - middle) / spread for place in places]
    return contrast_of(weights, [sample(row, "in_basin") for row in rows])


NOISE_SCALE_CLAIMS = (
    Claim(
        "H-50",
        "At equal epochs the barrier grows with the noise scale g = lr (N / B - 1), over batch sizes and rates",
        barrier_grows_with_noise,
        f"`{sweep_command('table_vi')}`",
    ),
)
