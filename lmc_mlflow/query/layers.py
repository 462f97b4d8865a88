"""Reads the tables of paths on which some layers move."""

import pandas as pd
from tqdm import tqdm

from lmc_mlflow.contract import SETTING_TAGS, Artifact, Kind, Tag, tag
from lmc_mlflow.query.rows import runs_of
from lmc_mlflow.query.run_tables import read_table

BESIDE = {"run_a": Tag.RUN_A, "run_b": Tag.RUN_B, "pair": Tag.PAIR, "bn": Tag.BN, "align": Tag.ALIGN}
"""Column -> tag of the run; settings of the training follow."""
COLUMNS = ["mode", "number", "layer", "split", "barrier", "barrier_at_middle", "share", "contribution", "low"]


def layer_barriers(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read a row for each layer that moved on a path, with its barriers and what it contributes.

    `run_id` is the run, `mode` says which layers moved with it, `number` counts layers in the order in which they run;
    0 is the whole path.

    Args:
        experiment: as in `pairs`.
        finished: as in `pairs`.
        uri: as in `pairs`.
    """
    tables = []
    named = BESIDE | {name: tag(name) for name in SETTING_TAGS}
    runs = runs_of(Kind.PATH_BY_LAYER, experiment, finished, uri)
    for run in tqdm(runs, desc="layers", leave=False, disable=None):
        beside = {name: run.data.tags.get(key, "") for name, key in named.items()}
        table = read_table(run.info.run_id, Artifact.BARRIER_BY_LAYER, uri)
        tables.append(table.assign(run_id=run.info.run_id, name=run.info.run_name, **beside))
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["run_id", "name", *named])
    return found.reindex(columns=list(dict.fromkeys([*found.columns, *COLUMNS])))
