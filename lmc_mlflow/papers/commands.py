"""Commands that fill an empty cell of a table or decide a claim."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import RUN, TrainPairConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.papers.printed import SEEDS

GRIDS = {name: f"paper_{name}" for name in ("table_iii", "table_vi", "table_vii", "table_viii")} | {
    "altintas_table_1": "altintas_table_1",
    "altintas_table_2": "altintas_table_2",
    "altintas_table_4": "altintas_table_4",
    **{name: name for name in ("altintas_fig_1", "altintas_fig_2", "altintas_fig_3", "altintas_fig_5")},
    "altintas_acceptance": "altintas_table_1",
    "logistic_regression": "altintas_logistic_regression",
    "interventions": "altintas_interventions",
    "head_to_head": "hepburn_against_altintas",
    "init_and_optimizer": "init_and_optimizer",
    "instability": "instability",
    "pretrained_starts": "pretrained_starts",
}
"""Table, or group of claims -> the grid that makes its runs."""


def sweep_command(table: str) -> str:
    """Write the command that fills a whole table, or decides a group of claims."""
    return f"{RUN} sweep -P grid={GRIDS[table]}"


def train_command(settings: Mapping[str, Any]) -> str:
    """Write the command that trains a cell's pairs, defaults left out.

    Args:
        settings: flat parameter name -> value.
    """
    known = parameters(TrainPairConfig)
    flags = [
        f"-P {name}={write_value(value)}"
        for name, value in settings.items()
        if name in ("dataset", "model", "shift") or value != known[name].default
    ]
    return f"{RUN} train_pair {' '.join(flags)} -P seeds={','.join(map(str, SEEDS))}"


def path_command(settings: Mapping[str, Any], policy: str, pairs: pd.DataFrame, with_path: Iterable[str]) -> str:
    """Write the command that gives a cell its paths.

    Args:
        settings: of the cell.
        policy: what is done with batch norm's running statistics on the path.
        pairs: finished pairs of the cell; where there are none, the command trains them first.
        with_path: the pairs that have such a path already.
    """
    bn = "" if policy == "interpolate" else f" -P bn={policy}"
    missing = sorted(set(pairs["run_id"]) - set(with_path)) if len(pairs) else []
    if missing:
        return " && ".join(f"{RUN} interpolate -P pair={pair}{bn}" for pair in missing)
    return f"{train_command(settings)} && {RUN} interpolate -P pair=<pair run id>{bn}"
