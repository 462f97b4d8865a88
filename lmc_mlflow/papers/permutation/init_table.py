"""The table of networks on moons by initialization and optimizer (P-21)."""

from typing import Any

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.condition_table import KEYS, Frames, condition_texts, with_columns
from lmc_mlflow.findings.differences import sample_of
from lmc_mlflow.papers.cell_conditions import condition_words
from lmc_mlflow.papers.permutation.zoo_table import NAMED

INITS, OPTIMIZERS = ("normal", "uniform"), ("adamw", "rmsprop", "sgd")
"""Initializations and optimizers of the slides; SGD is their reference."""
DATASET, MODEL = "moons", "mlp_l1_w512"
PRINTED_NETWORKS = 10
"""Networks behind each printed value, as in the slides' code; the values are not in this project."""
_NAMED = (*NAMED, "weights_init")


def init_table(frames: Frames, min_seeds: int) -> pd.DataFrame:
    """Compute one row for each initialization and optimizer: test loss and accuracy of the networks of that kind.

    Every network counts by itself, as in `zoo_table`, and the condition with most networks fills a row.

    Args:
        frames: as `condition_table.prepare` returns them.
        min_seeds: rows with fewer networks carry the command that makes more.
    """
    ends = with_columns(frames.endpoints, (*KEYS, "init", "test/loss", "test/accuracy"))
    ends = ends[(ends["shift"] == "none") & (ends["init"] == "different")]
    ends = ends[(ends["dataset"] == DATASET) & (ends["model"] == MODEL)]
    ends = ends.assign(condition=condition_texts(ends)) if len(ends) else ends.assign(condition="")
    return pd.DataFrame([_row(ends, init, optimizer, min_seeds) for init in INITS for optimizer in OPTIMIZERS])


def _row(ends: pd.DataFrame, init: str, optimizer: str, min_seeds: int) -> dict[str, Any]:
    of_kind = ends[(ends["weights_init"] == init) & (ends["optimizer"] == optimizer)]
    chosen = of_kind["condition"].value_counts()
    mine = of_kind[of_kind["condition"] == chosen.index[0]] if len(chosen) else of_kind
    row: dict[str, Any] = {"weights_init": init, "optimizer": optimizer, "networks": len(mine)}
    for measure in ("loss", "accuracy"):
        found = sample_of(pd.to_numeric(mine[f"test/{measure}"]))
        row |= {f"test_{measure}": found.mean, f"test_{measure}_sd": found.deviation}
    command = f"{RUN} sweep -P grid=init_and_optimizer -P only=weights_init={init},optimizer={optimizer}"
    return row | {
        "condition": condition_words(mine.iloc[0], _NAMED) if len(mine) else "",
        "command": command if len(mine) < max(2, min_seeds) else "",
        "run_ids": " ".join(sorted(mine["run_id"])),
    }
