"""Writes the command that trains one more seed of a condition."""

from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.findings.conditions import SEEDS

RUN = "mlflow run . --env-manager local -e"
USUAL_SEEDS = (1, 20, 100, 500, 1500)
"""Seeds that are proposed, in this order."""


def another_seed(rows: pd.DataFrame) -> str:
    """Write the `train_pair` command of a further seed: every setting of the condition that is not the default.

    Args:
        rows: of one condition, from a table of `query`; settings that it does not have are left at their defaults.
    """
    used = set(rows["seed"].dropna().astype(int)) if "seed" in rows else set()
    seed = next(seed for seed in (*USUAL_SEEDS, *range(2, 2 + len(USUAL_SEEDS) + len(used))) if seed not in used)
    words = []
    for name, parameter in parameters(TrainPairConfig).items():
        if parameter.rule.identity and name not in SEEDS and name in rows and len(rows):
            value = _read(rows[name].iloc[0])
            if value not in (None, "", parameter.default):
                words.append(f" -P {name}={_quoted(write_value(value))}")
    return f"{RUN} train_pair{''.join(words)} -P seed={seed}"


def _read(value: Any) -> Any:
    """Give a plain value; None where it is left open, a whole number where a table made a fraction of it."""
    if value is None or value != value:
        return None
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _quoted(text: str) -> str:
    return text if text.replace(".", "").replace("-", "").replace(":", "").replace("_", "").isalnum() else f"'{text}'"
