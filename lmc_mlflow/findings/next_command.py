"""Writes commands that add to a condition what a conclusion lacks: seeds, values, alignments, ensembles."""

from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import RUN, TrainPairConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.contract import Tag, tag
from lmc_mlflow.findings.conditions import SEEDS, plain_rows

USUAL_SEEDS = (1, 20, 100, 500, 1500)
"""Seeds that are proposed, in this order."""


def another_seed(rows: pd.DataFrame) -> str:
    """Write the `train_pair` command of a further seed: every setting of the condition that is not the default.

    Args:
        rows: of one condition, from a table of `query`; settings that it does not have are left at their defaults.
    """
    used = set(rows["seed"].dropna().astype(int)) if "seed" in rows else set()
    seed = next(seed for seed in (*USUAL_SEEDS, *range(2, 2 + len(USUAL_SEEDS) + len(used))) if seed not in used)
    return f"{RUN} train_pair{''.join(_flags(rows))} -P seed={seed}"


def another_value(rows: pd.DataFrame, name: str, value: float) -> str:
    """Write the `train_pair` command of two seeds with another value of a setting, all else as in a condition."""
    words = [word for word in _flags(rows) if not word.startswith(f" -P {name}=")]
    return f"{RUN} train_pair{''.join(words)} -P {name}={write_value(value)} -P seeds={USUAL_SEEDS[0]},{USUAL_SEEDS[1]}"


def aligned_path(paths: pd.DataFrame) -> str:
    """Write the `interpolate` command that aligns the ends of a plain path between two initializations.

    Args:
        paths: from `query.paths`. Where none of them has such an end, the command has placeholders.
    """
    rows = plain_rows(paths)
    if {"same_initialization", "run_a", "run_b", "align"} <= set(paths):
        done = set(map(frozenset, paths.loc[paths["align"] != "none", ["run_a", "run_b"]].to_numpy()))
        open_rows = rows[~rows["same_initialization"].astype(bool)]
        for a, b in open_rows[["run_a", "run_b"]].to_numpy():
            if frozenset((a, b)) not in done:
                return f"{RUN} interpolate -P run_a={a} -P run_b={b} -P align=weights"
    return f"{RUN} interpolate -P run_a=<run id> -P run_b=<run id of another seed> -P align=weights"


def ensemble_of_seeds(rows: pd.DataFrame) -> str:
    """Write the `ensemble` command over the seeds of a condition.

    Args:
        rows: of one condition, from `query.ensembles` or `query.paths`.
    """
    names = [name for name in ("dataset", "model", "shift") if name in rows and len(rows)]
    own = [f' and tags."{tag(name)}" = "{rows[name].iloc[0]}"' for name in names]
    return f'{RUN} ensemble -P query=\'tags."{Tag.SIDE}" = "A"{"".join(own)}\''


def _flags(rows: pd.DataFrame) -> list[str]:
    """Write every setting of a condition that is neither a seed, nor the default, nor follows from another one."""
    words = []
    for name, parameter in parameters(TrainPairConfig).items():
        if parameter.rule.identity and name not in SEEDS and name in rows and len(rows):
            value, decides = _read(rows[name].iloc[0]), parameter.rule.follows_from
            if decides in rows and _read(rows[decides].iloc[0]) is not None:
                continue
            if value not in (None, "", parameter.default):
                words.append(f" -P {name}={_quoted(write_value(value))}")
    return words


def _read(value: Any) -> Any:
    """Give a plain value; None where it is left open, a whole number where a table made a fraction of it."""
    if value is None or value != value:
        return None
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _quoted(text: str) -> str:
    return text if text.replace(".", "").replace("-", "").replace(":", "").replace("_", "").isalnum() else f"'{text}'"
