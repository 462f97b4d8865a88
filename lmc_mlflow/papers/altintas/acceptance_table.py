"""The table of the criteria by which Altintas et al. accept networks on MNIST, and how ours meet them."""

import pandas as pd

from lmc_mlflow.findings.condition_table import key_text
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.evidence import UNDECIDED
from lmc_mlflow.papers.altintas.acceptance_claims import criteria, meets_criteria, trained_conditions

ANSWERS = {1: "yes", -1: "no", 0: UNDECIDED}
"""How a condition meets the criteria, by its intervals over seeds."""
SETTINGS = ("model", "optimizer", "lr", "batch_size", "warmup_epochs", "epochs")
COLUMNS = [*SETTINGS, "n", "train_loss", "train_loss_sd", "accuracy", "accuracy_sd", "criteria", "accepted", "run_ids"]


def acceptance(errors: pd.DataFrame, min_seeds: int) -> pd.DataFrame:
    """Compute one row for each condition on MNIST whose sides differ in their order alone, learnt or not.

    Args:
        errors: from `error_conditions`.
        min_seeds: conditions with fewer seeds are left out.

    Returns:
        `SETTINGS`, n, training loss (nats) and test accuracy (percent) with their deviations, criteria (what the paper
        says), accepted (one of `ANSWERS`) and run_ids.
    """
    rows = []
    for _, row in trained_conditions(errors, min_seeds).iterrows():
        told = {name: key_text(row[name]) for name in SETTINGS}
        numbers = {name: row[name] for name in ("n", "train_loss", "train_loss_sd", "accuracy", "accuracy_sd")}
        said = {"criteria": criteria(row), "accepted": ANSWERS[meets_criteria(row)]}
        rows.append(told | numbers | said | {"run_ids": " ".join(row["run_ids"])})
    return pd.DataFrame(rows, columns=COLUMNS)


def acceptance_note(table: pd.DataFrame) -> str:
    """Count the conditions by answer; empty where there are none."""
    if table.empty:
        return ""
    said = ", ".join(f"{int((table['accepted'] == answer).sum())} {answer}" for answer in ANSWERS.values())
    return f"Accepted by the paper's criteria, of {counted(len(table), 'condition')}: {said}."
