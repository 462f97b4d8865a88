"""Loads the printed tables of the papers from `printed/`, in this project's words."""

import functools
from importlib.resources import files
from typing import Any

import pandas as pd

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.findings.thresholds import LOST_BELOW
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.models.names import with_batch_norm

FILES = {
    "table_iii": "table3_ensembles.csv",
    "table_v": "table5_parameters.csv",
    "table_vi": "table6_batch_and_lr.csv",
    "table_vii": "table7_label_imbalance.csv",
    "table_viii": "table8_normalization.csv",
    "altintas_table_1": "altintas_table1_linear_networks.csv",
    "altintas_table_2": "altintas_table2_minimal_model.csv",
    "permutation_model_zoo": "permutation_slides_model_zoo.csv",
    "starlight_barriers": "starlight_barriers.csv",
    "app_g": "app_g_training_accuracy.csv",
    "altintas_table_4": "altintas_table4_test_accuracy.csv",
}
"""Table -> file; the first line of each says where it is printed."""
SEEDS = (1, 20, 100, 500, 1500)
"""Seeds behind the means and deviations of Hepburn et al. ("(mostly) five times")."""
PATH_TABLES = ("table_vi", "table_vii", "table_viii")
"""Tables of barriers and accuracy deltas."""
UNSTATED: dict[str, dict[str, Any]] = {
    "table_vi": {"shift": "label_5050", "normalization": "centered"},
    "table_vii": {"batch_norm": "no", "batch_size": 1024, "normalization": "centered"},
    "table_viii": {"dataset": "cifar10", "shift": "label_5050", "noise": "same"},
}
"""Settings that every row of a table shares and that have no column (all networks of Table VII have batch norm)."""
ASSUMED_SCALING = {"mnist": ("centered", "half")}
"""Data set whose scaling is not printed (Table VI prints "centered" over its CIFAR-10 blocks only) -> how it can be
read, the first where neither was run."""
CELL = ["dataset", "model", "lr", "batch_size", "noise", "shift", "normalization"]
_LOST = {"yes": True, "lost": True, "no": False, "kept": False, "recovered": False}


def printed_table(table: str) -> pd.DataFrame:
    """Load a table as it is printed, its columns as in its file.

    Raises:
        ValueError: no such table; lists those there are.
    """
    return _read(lookup(FILES, table, "printed table")).copy()


@functools.cache
def _read(name: str) -> pd.DataFrame:
    with files("lmc_mlflow.papers").joinpath("printed", name).open() as file:
        return pd.read_csv(file, skiprows=1)


def cells(table: str) -> pd.DataFrame:
    """Load Table VI, VII or VIII, all three in one form.

    Returns:
        Columns `CELL` (the model with `_bn` where it has batch norm between its layers), then
        barrier, barrier_sd, delta, delta_sd (delta in percentage points), bold, and lost: whether the
        printed mean delta is below `LOST_BELOW`, which is what bold means in Tables VI and VIII.
    """
    frame = printed_table(table).assign(**UNSTATED[table])
    is_mlp = frame["model"].map(lambda model: facts_of(model).family == "MLP")
    normed = is_mlp & (frame["batch_norm"] == "yes")
    frame["model"] = frame["model"].mask(normed, frame.loc[normed, "model"].map(with_batch_norm))
    frame["bold"] = frame["lmc" if table == "table_viii" else "lmc_lost"].map(_LOST)
    frame = frame.rename(
        columns={
            "barrier_mean": "barrier",
            "barrier_std": "barrier_sd",
            "delta_pct_mean": "delta",
            "delta_pct_std": "delta_sd",
        }
    )
    frame["lost"] = frame["delta"] < LOST_BELOW
    return frame[[*CELL, "barrier", "barrier_sd", "delta", "delta_sd", "bold", "lost"]]


def all_cells() -> pd.DataFrame:
    """Load the cells of Tables VI, VII and VIII, each once (some are printed twice), with column `table`."""
    frames = [cells(table).assign(table=table) for table in PATH_TABLES]
    return pd.concat(frames, ignore_index=True).drop_duplicates(CELL, ignore_index=True)
