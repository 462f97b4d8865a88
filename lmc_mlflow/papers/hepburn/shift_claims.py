"""Claims on shifts of the data that break the connection (Hepburn et al., RQ1, H-02)."""

import pandas as pd

from lmc_mlflow.findings.comparisons import (
    Condition,
    can_happen,
    describe_condition,
    describe_measures,
    equal_but_for,
    holds,
    with_architecture,
)
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.thresholds import FLAT_BELOW
from lmc_mlflow.models.names import without_batch_norm
from lmc_mlflow.papers.commands import RUN, sweep_command
from lmc_mlflow.papers.printed import CELL, all_cells

OVERFITTED = 10.0
"""Percentage points of accuracy by which training data must be ahead of test data."""


def covariate_shift_breaks(tables: ConditionTables) -> Evidence:
    """Collect evidence from 50/50 conditions.

    Conditions that hold speak against the claim where the paper prints them as lost; the others say nothing.
    """
    rows = tables.enough
    rows = rows[rows["shift"] == "label_5050"]
    lost = _printed_lost(rows)
    return can_happen(rows[(rows["holds"] < 0.5) | lost], _broken, ("in_basin", "delta"))


def imbalance_breaks_resnets(tables: ConditionTables) -> Evidence:
    """Collect evidence from ResNets equal in all but the shift (and the noise: the paper's baselines differ in it)."""
    rows = with_architecture(tables.enough)
    rows = rows[(rows["family"] == "ResNet") & rows["shift"].isin(["label_5050", "label_2080"])]
    evidence = Evidence("can")
    for part in equal_but_for(rows, ("shift", "noise")):
        ordered = part.sort_values("noise", ascending=False)  # same before different
        equal, unequal = (ordered[ordered["shift"] == f"label_{share}"] for share in ("5050", "2080"))
        if len(equal) and len(unequal) and holds(equal.iloc[0]):
            _breaks(evidence, equal.iloc[0], unequal.iloc[0], ("shift", "noise"), "50/50", "20/80")
    return evidence


def domain_shift_breaks(tables: ConditionTables) -> Evidence:
    """Collect evidence from shifts between spectral bands."""
    rows = tables.enough
    return can_happen(rows[rows["shift"].astype(str).str.startswith("bands_")], _broken, ("in_basin", "delta"))


def unit_scaling_breaks_mlps(tables: ConditionTables) -> Evidence:
    """Collect evidence from MLPs without batch norm that hold when centered."""
    rows = with_architecture(tables.enough)
    rows = rows[(rows["family"] == "MLP") & ~rows["variant"].str.contains("bn")]
    evidence = Evidence()
    for part in equal_but_for(rows, ("normalization",)):
        unit = part[part["normalization"] == "unit"]
        for _, centered in part[part["normalization"] != "unit"].iterrows():
            if len(unit) and holds(centered):
                _breaks(evidence, centered, unit.iloc[0], ("normalization",), "centered", "[0, 1]")
    return evidence


def batch_norm_restores_mlps(tables: ConditionTables) -> Evidence:
    """Collect evidence from MLPs on [0, 1] that do not hold without batch norm."""
    rows = with_architecture(tables.enough)
    rows = rows[(rows["family"] == "MLP") & (rows["normalization"] == "unit")]
    rows = rows.assign(plain=rows["model"].map(without_batch_norm), with_bn=rows["variant"].str.contains("bn"))
    evidence = Evidence()
    for _, same in rows.groupby("plain", sort=True):
        for part in equal_but_for(same, ("model",)):
            without, normed = part[~part["with_bn"]], part[part["with_bn"]]
            if len(without) and len(normed) and holds(without.iloc[0]) is False:
                kept = holds(normed.iloc[0])
                text = f"{describe_condition(normed.iloc[0])}: {describe_measures(normed.iloc[0], 'in_basin', 'delta')}"
                text += f"; without batch norm {describe_measures(without.iloc[0], 'delta')}"
                ids = (*without.iloc[0]["run_ids"], *normed.iloc[0]["run_ids"])
                evidence.add(0 if kept is None else 1 if kept else -1, text, ids)
    return evidence


def flat_test_hides_overfitting(tables: ConditionTables) -> Evidence:
    """Collect evidence that overfitted conditions without a barrier on test data can have one on training data."""
    rows = tables.enough
    rows = rows[(rows["in_basin"] <= FLAT_BELOW) & (rows["overfit"] >= OVERFITTED) & rows["train_barrier"].notna()]
    return can_happen(rows, lambda row: row["train_barrier"] > FLAT_BELOW, ("in_basin", "train_barrier"))


def _broken(row: Condition) -> bool | None:
    kept = holds(row)
    return None if kept is None else not kept


def _breaks(evidence: Evidence, kept: Condition, tried: Condition, differing: tuple[str, ...], *names: str) -> None:
    """Add whether the second of two conditions breaks, of which the first holds and has the first name."""
    held = holds(tried)
    measures = ("in_basin", "delta")
    text = f"{describe_condition(kept, differing)}: {names[0]} {describe_measures(kept, *measures)}; "
    text += f"{names[1]} {describe_measures(tried, *measures)}"
    way = 0 if held is None else -1 if held else 1
    evidence.add(way, text, (*kept["run_ids"], *tried["run_ids"]))


def _printed_lost(rows: pd.DataFrame) -> "pd.Series[bool]":
    printed = all_cells()
    lost = {tuple(cell) for cell in printed.loc[printed["lost"], CELL].astype(str).to_numpy()}
    found = [tuple(map(str, cell)) in lost for cell in rows[CELL].to_numpy()]
    return pd.Series(found, index=rows.index, dtype=bool)


SHIFT_CLAIMS = (
    Claim(
        "H-02a",
        "A covariate shift (50/50 halves) can break the connection",
        covariate_shift_breaks,
        f"`{sweep_command('table_vi')}`",
    ),
    Claim(
        "H-02b",
        "Label imbalance (20/80) can break the connection of ResNets that hold at 50/50",
        imbalance_breaks_resnets,
        f"`{sweep_command('table_vii')}`",
    ),
    Claim(
        "H-02c",
        "A domain shift (two spectral bands) can break the connection",
        domain_shift_breaks,
        f"`{RUN} train_pair -P dataset=bigearthnet -P shift=bands_B02_B08 -P model=vgg_like -P lr=1e-05 "
        "-P batch_size=256 -P seeds=1,20`",
    ),
    Claim(
        "H-02d",
        "[0, 1] scaling breaks the connection of MLPs without batch norm that hold when centered",
        unit_scaling_breaks_mlps,
        f"`{sweep_command('table_viii')}`",
    ),
    Claim(
        "H-02e",
        "Batch norm brings back the connection of MLPs that [0, 1] scaling broke",
        batch_norm_restores_mlps,
        f"`{sweep_command('table_viii')}`",
    ),
    Claim(
        "H-02f",
        "A path that is flat on test data can hide a barrier on the training data of overfitted networks",
        flat_test_hides_overfitting,
        f"`{sweep_command('table_vi')}`",
    ),
)
