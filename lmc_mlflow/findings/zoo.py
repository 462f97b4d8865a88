"""What do matrices over networks of several widths say of connection, alignment and averages? Markdown."""

import math

import pandas as pd

from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.tally import RULE, Tally

SETTING = ["dataset", "model", "shift", "bn", "split"]
NEED = "a matrix is needed: `mlflow run . --env-manager local -e matrix -P runs=<run id>,<run id>,<run id>`"
NEED_BOTH = (
    "two matrices of the same runs are needed: `mlflow run . --env-manager local -e matrix -P "
    "runs=<run id>,<run id>,<run id>` and `mlflow run . --env-manager local -e matrix -P "
    "runs=<run id>,<run id>,<run id> -P align=weights`"
)


def model_zoo(pairs: pd.DataFrame, networks: pd.DataFrame) -> str:
    """Is exchanging units needed, and is it enough? From `query.matrix_pairs` and `query.matrix_networks`.

    Networks at chance level count for nothing. A condition is one data set and network; the units of a comparison
    are networks, each with its mean barrier to the others. They share pairs, so the standard error is a rough one.

    Args:
        pairs: one row a pair and matrix.
        networks: one row a network and matrix.
    """
    plain, aligned, lower, lines = Tally(), Tally(), Tally(), []
    columns = list(dict.fromkeys([*pairs.columns, *SETTING, "align", "constant", "connected", "good_average"]))
    rows = pairs.reindex(columns=columns).dropna(subset=["align", "connected"])
    for key, part in rows.groupby(SETTING, dropna=False, sort=False):
        told = []
        for is_aligned, some in part.groupby(part["align"] != "none"):
            kept = some[~some["constant"].astype(bool)]
            if len(kept):
                _count(aligned if is_aligned else plain, kept["connected"].astype(bool))
            told.append(_line("aligned" if is_aligned else "as logged", some, kept))
        of_networks = networks[(networks[SETTING] == pd.Series(key, index=SETTING)).all(axis=1)]
        _compare(lower, of_networks)
        lines.append(f"- {', '.join(str(value) for value in key[:3])}: {'; '.join(told)}")
    heads = [
        plain.verdict("Networks are connected as they are, without exchanging units", NEED),
        aligned.verdict("Once units are exchanged, every two networks are connected", NEED_BOTH),
        lower.verdict("Exchanging units lowers the barrier", NEED_BOTH),
    ]
    return "\n\n".join([*heads, "\n".join(lines), RULE] if lines else heads)


def _count(tally: Tally, connected: "pd.Series[bool]") -> None:
    tally.supporting += bool(connected.all())
    tally.contradicting += not connected.any()
    tally.undecided += bool(connected.any() and not connected.all())


def _line(how: str, some: pd.DataFrame, kept: pd.DataFrame) -> str:
    left_out = f" ({counted(len(some) - len(kept), 'pair')} with a constant predictor left out)"
    note = left_out if len(kept) < len(some) else ""
    if kept.empty:
        return f"{how}, no verdict{note}"
    connected, good = kept["connected"].astype(bool), kept["good_average"].astype(bool)
    return (
        f"{how}, {int(connected.sum())} of {counted(len(kept), 'pair')} connected, mean barrier "
        f"{kept['barrier_over_chord'].mean():.3g}; the average is as good as the ends in {int(good.sum())}, "
        f"the two say the same in {int((connected == good).sum())}{note}"
    )


def _compare(tally: Tally, networks: pd.DataFrame) -> None:
    """Mean barrier to the others before minus after, network by network, where both were measured."""
    kept = networks[~networks["constant"].astype(bool)]
    means = kept.groupby([kept["align"] != "none", "network"])["mean_barrier"].mean().unstack(level=0)
    if {True, False} <= set(means.columns):
        gain = (means[False] - means[True]).dropna()
        if len(gain) > 1:
            tally.count(float(gain.mean()), math.sqrt(gain.var(ddof=1) / len(gain)))
