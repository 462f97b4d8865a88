"""Claims on shifts of the data that break the connection (Hepburn et al., RQ1, H-02)."""

import functools

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.comparisons import (
    Condition,
    describe_condition,
    describe_measures,
    equal_but_for,
    estimate,
    holds,
    with_architecture,
)
from lmc_mlflow.findings.condition_table import key_text
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.pair_measures import describe_shift
from lmc_mlflow.findings.thresholds import FLAT_BELOW, LOST_BELOW, breaks
from lmc_mlflow.models.names import without_batch_norm
from lmc_mlflow.papers.commands import sweep_command
from lmc_mlflow.papers.printed import CELL, all_cells

OVERFITTED = 10.0
"""Percentage points of accuracy by which training data must be ahead of test data."""
FIG_5 = {
    "dataset": "cifar10",
    "shift": "label_5050",
    "normalization": "centered",
    "noise": "same",
    "optimizer": "adam",
    "lr": "0.001",
    "batch_size": "32",
}
"""The condition of Fig. 5, as texts; its networks are MLPs of three layers without and with batch norm."""
FIG_5_MODELS = ("mlp_l3_w110_256_110", "mlp_l3_w110_256_110_bn")


def halves_break(tables: ConditionTables) -> Evidence:
    """Collect evidence from every 50/50 condition.

    A condition that breaks supports the claim. One that holds speaks against it only where the paper's printed numbers
    of the same cell break; any other one that holds stands beside, as the paper claims no break there.
    """
    rows = tables.enough
    rows = rows[rows["shift"] == "label_5050"]
    expected = _printed_broken(rows)
    evidence = Evidence("can")
    for (_, row), printed_broken in zip(rows.iterrows(), expected, strict=True):
        kept = holds(row)
        if kept and not printed_broken:
            evidence.mention(_text(row), row["run_ids"])
        else:
            evidence.add(_broken(kept), _text(row), row["run_ids"])
    return evidence


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
    evidence = Evidence("can")
    for _, row in rows[rows["shift"].astype(str).str.startswith("bands_")].iterrows():
        evidence.add(_broken(holds(row)), _text(row), row["run_ids"])
    return evidence


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
                text += f"; {describe_verdict(kept)}; without batch norm "
                text += describe_measures(without.iloc[0], "in_basin", "delta")
                ids = (*without.iloc[0]["run_ids"], *normed.iloc[0]["run_ids"])
                evidence.add(0 if kept is None else 1 if kept else -1, text, ids)
    return evidence


def flat_test_hides_overfitting(tables: ConditionTables, only_fig_5: bool) -> Evidence:
    """Collect evidence that overfitted conditions without a barrier on test data can have one on training data.

    Args:
        tables: whose conditions are searched.
        only_fig_5: True: the paper's own case alone, where a barrier on test data speaks against the claim as well;
            False: every condition that is flat on test data.
    """
    rows = tables.enough
    rows = rows[rows["overfit"].ge(OVERFITTED) & rows["train_barrier"].notna()]
    if only_fig_5:
        rows = rows[rows["model"].isin(FIG_5_MODELS)]
        for name, text in FIG_5.items():
            rows = rows[rows[name].map(key_text) == text]
    evidence = Evidence("can")
    for _, row in rows.iterrows():
        test, train = (estimate(row, name).side(FLAT_BELOW) for name in ("in_basin", "train_barrier"))
        if only_fig_5 or test == -1:
            way = -1 if test == 1 or train == -1 else 1 if (test, train) == (-1, 1) else 0
            text = f"{describe_condition(row)}: {describe_measures(row, 'in_basin', 'train_barrier')}; "
            evidence.add(way, f"{text}no barrier: at most {FLAT_BELOW:g}", row["run_ids"])
    return evidence


def describe_verdict(kept: bool | None) -> str:
    """Say what the rule of `thresholds.breaks` finds, with its thresholds."""
    found = {True: "not broken", False: "broken", None: "not decided"}[kept]
    return f"{found} by barrier {FLAT_BELOW:g} and delta {LOST_BELOW:g} points"


def _broken(kept: bool | None) -> int:
    return 0 if kept is None else -1 if kept else 1


def _text(row: Condition) -> str:
    return (
        f"{describe_condition(row)}: {describe_measures(row, 'in_basin', 'delta')}; {describe_verdict(holds(row))}; "
        f"connected {100 * row['holds']:.0f} % of seeds; {describe_shift(row)}"
    )


def _breaks(evidence: Evidence, kept: Condition, tried: Condition, differing: tuple[str, ...], *names: str) -> None:
    """Add whether the second of two conditions breaks, of which the first holds and has the first name."""
    held = holds(tried)
    measures = ("in_basin", "delta")
    text = f"{describe_condition(kept, differing)}: {names[0]} {describe_measures(kept, *measures)}; "
    text += f"{names[1]} {describe_measures(tried, *measures)}; {describe_verdict(held)}; {describe_shift(tried)}"
    evidence.add(_broken(held), text, (*kept["run_ids"], *tried["run_ids"]))


def _printed_broken(rows: pd.DataFrame) -> list[bool]:
    """Tell for each condition whether the printed numbers of its cell break the connection, by the same rule."""
    printed = all_cells()
    broken = [breaks(barrier, delta) for barrier, delta in printed[["barrier", "delta"]].to_numpy()]
    cells = {tuple(cell) for cell in printed.loc[broken, CELL].astype(str).to_numpy()}
    return [tuple(map(str, cell)) in cells for cell in rows[CELL].to_numpy()]


SHIFT_CLAIMS = (
    Claim(
        "H-02a",
        "Training on two samples of one distribution (50/50 halves, the paper's covariate shift, which no two-sample "
        "test can see) can break the connection",
        halves_break,
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
        "In the paper's own case (Fig. 5: MLP of three layers, CIFAR-10, B 32) overfitting hides a barrier: the path "
        "is flat on test data and has one on training data",
        functools.partial(flat_test_hides_overfitting, only_fig_5=True),
        f"`{sweep_command('table_vi')}`",
    ),
    Claim(
        "H-02g",
        "In some condition a path that is flat on test data hides a barrier on training data of overfitted networks",
        functools.partial(flat_test_hides_overfitting, only_fig_5=False),
        f"`{sweep_command('table_vi')}`",
    ),
)
