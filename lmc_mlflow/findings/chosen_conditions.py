"""Chooses the training condition that a figure shows of each data set and family of networks."""

import pandas as pd

from lmc_mlflow.findings.condition_table import KEYS
from lmc_mlflow.findings.families import family_of

NUM_PATHS = 5
"""Paths of each network, as in Fig. 15 of Hepburn et al."""
ORDER = ("lr", "batch_size", "epochs")
"""Of several conditions with equally many networks and seeds the one with the lowest values of these is chosen."""
RULE = (
    "Of each data set and family, the training condition with the most networks, of those the one with the most "
    f"seeds, then the lowest rate, batch size and epochs; up to {NUM_PATHS} paths of each network."
)


def one_of_each_family(runs: pd.DataFrame) -> pd.DataFrame:
    """Select the paths or ensembles of one training condition of each data set and family, by `RULE`.

    Of each network and seed there is one path (or ensemble of each sampling), of the first few seeds.

    Args:
        runs: from `query.paths` or `query.ensembles`, of one batch-norm policy.
    """
    if runs.empty:
        return runs
    families = runs["model"].map(lambda model: family_of(str(model)))
    chosen = [_largest(rows) for _, rows in runs.groupby([runs["dataset"], families], sort=True)]
    return pd.concat(chosen)


def _largest(runs: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in KEYS if name in runs and name != "model"]
    own = [name for name in ("model", "sampling") if name in runs]
    groups = [rows.drop_duplicates([*own, "seed"]) for _, rows in runs.groupby(names, dropna=False, sort=True)]
    first = min(
        groups, key=lambda rows: (-rows["model"].nunique(), -len(rows), *(float(rows[name].iloc[0]) for name in ORDER))
    )
    return first.sort_values([*own, "seed", "run_id"]).groupby(own, sort=False).head(NUM_PATHS)
