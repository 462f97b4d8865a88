"""Reads one table of every run of a kind, each beside the settings of its run."""

from collections.abc import Mapping

import pandas as pd
from tqdm import tqdm

from lmc_mlflow.contract import SETTING_TAGS, tag
from lmc_mlflow.query.rows import runs_of
from lmc_mlflow.query.run_tables import read_table


def tables_of_runs(
    kind: str, path: str, beside: Mapping[str, str], experiment: str | None, finished: bool, uri: str | None
) -> pd.DataFrame:
    """Read a table of every run of a kind, one below the other, with `run_id`, `name` and tags as columns.

    Args:
        kind: of the runs.
        path: of the artifact.
        beside: column -> tag of the run; settings of the training follow.
        experiment: as in `query.pairs`.
        finished: as in `query.pairs`.
        uri: as in `query.pairs`.
    """
    tables = []
    named = {**beside, **{name: tag(name) for name in SETTING_TAGS}}
    for run in tqdm(runs_of(kind, experiment, finished, uri), desc="tables", leave=False, disable=None):
        known = {name: run.data.tags.get(key, "") for name, key in named.items()}
        table = read_table(run.info.run_id, path, uri)
        tables.append(table.assign(run_id=run.info.run_id, name=run.info.run_name, **known))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["run_id", "name", *named])
