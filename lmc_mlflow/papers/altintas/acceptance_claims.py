"""Claims on how far networks are trained: the acceptance criteria of Altintas et al., judged on ours."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.findings.comparisons import describe_condition, describe_measures, estimate
from lmc_mlflow.findings.condition_table import key_text
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.families import linear_layers
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.papers.altintas.error_conditions import ACCEPTED_ACCURACY, ACCEPTED_LOSS
from lmc_mlflow.papers.commands import sweep_command

NEAR_ZERO = 0.01
"""Training loss in nats that counts as about 0."""


def linear_networks_are_accepted(tables: ConditionTables) -> Evidence:
    """Collect evidence that linear networks on MNIST are trained as far as Altintas et al. train theirs (Table 1)."""
    evidence = Evidence()
    for _, row in _trained(tables, linear_layers).iterrows():
        text = f"{label(row, ())}: {describe_measures(row, 'train_loss', 'accuracy')}; printed: {criteria(row)}"
        evidence.add(meets_criteria(row), text, row["run_ids"])
    return evidence


def relu_networks_fit_their_data(tables: ConditionTables) -> Evidence:
    """Collect evidence that networks with ReLUs, and not with leaky ones, end at a training loss near 0 on MNIST."""
    evidence = Evidence()
    for _, row in _trained(tables, lambda model: not facts_of(model).slope).iterrows():
        side = estimate(row, "train_loss").side(NEAR_ZERO)
        text = f"{label(row, ())}: {describe_measures(row, 'train_loss')}, near 0: at most {NEAR_ZERO:g}"
        evidence.add(None if side is None else -side, text, row["run_ids"])
    return evidence


def meets_criteria(row: Any) -> int:
    """Tell whether networks on MNIST meet what the paper says of its own, by the intervals of loss and accuracy.

    Returns:
        1 where both intervals lie within `criteria`, -1 where one lies outside, 0 where one crosses a limit.
    """
    loss, accuracy = estimate(row, "train_loss"), estimate(row, "accuracy").side(ACCEPTED_ACCURACY)
    low, high = ACCEPTED_LOSS if linear_layers(row["model"]) else (-math.inf, NEAR_ZERO)
    inside = loss.side(low) == 1 and loss.side(high) == -1 and accuracy == 1
    outside = loss.side(low) == -1 or loss.side(high) == 1 or accuracy == -1
    return 1 if inside else -1 if outside else 0


def criteria(row: Any) -> str:
    """Write what the paper says of networks like those of a condition."""
    low, high = ACCEPTED_LOSS
    loss = f"{low:g} to {high:g}" if linear_layers(row["model"]) else f"near 0 ({NEAR_ZERO:g})"
    return f"training loss {loss}, accuracy above {ACCEPTED_ACCURACY:g} %"


def trained_conditions(errors: pd.DataFrame, min_seeds: int) -> pd.DataFrame:
    """Select this paper's conditions on MNIST with enough seeds whose training loss is known, accepted or not.

    Args:
        errors: from `error_conditions`.
        min_seeds: conditions with fewer seeds are left out.
    """
    rows = errors[errors["n"] >= max(2, min_seeds)]
    rows = rows[(rows["dataset"] == "mnist") & (rows["shift"] == "none") & (rows["init"] == "same")]
    return rows[rows["train_loss"].notna() & (rows["noise"] == "different")]


def _trained(tables: ConditionTables, fact: Callable[[str], object]) -> pd.DataFrame:
    rows = trained_conditions(tables.errors, tables.min_seeds)
    return rows[rows["model"].map(fact).astype(bool) & rows["learnt"].astype(bool)]


def label(row: Any, leave_out: Sequence[str]) -> str:
    """Name a condition with its optimizer, warm-up and initialization, without the settings that are left out."""
    extra = [f"{row['optimizer']}"] if key_text(row["optimizer"]) else []
    extra += [f"warmup {key_text(row['warmup_epochs'])}"] if key_text(row["warmup_epochs"]) not in ("", "0") else []
    extra += ["two initializations"] if row["init"] == "different" else []
    return " ".join([describe_condition(row, leave_out), *extra])


ACCEPTANCE_CLAIMS = (
    Claim(
        "D-01c",
        "As trained here, linear networks on MNIST end at a training loss of 0.2 to 0.3 and above 90 % test accuracy",
        linear_networks_are_accepted,
        f"`{sweep_command('altintas_table_1')}`",
    ),
    Claim(
        "D-21",
        "As trained here, networks with ReLUs on MNIST end at a training loss near 0 (0.01)",
        relu_networks_fit_their_data,
        f"`{sweep_command('altintas_table_2')}`",
    ),
)
