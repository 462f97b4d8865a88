"""Concludes from matrices over networks of several widths: connection, alignment, averages."""

import pandas as pd

from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.differences import RULE, mean_of
from lmc_mlflow.findings.evidence import ComparisonCounts

SETTING = ["dataset", "model", "shift", "bn", "split"]
NEED = "a matrix is needed: `mlflow run . --env-manager local -e matrix -P runs=<run id>,<run id>,<run id>`"
NEED_BOTH = (
    "two matrices of the same runs are needed: `mlflow run . --env-manager local -e matrix -P "
    "runs=<run id>,<run id>,<run id>` and `mlflow run . --env-manager local -e matrix -P "
    "runs=<run id>,<run id>,<run id> -P align=weights`"
)


def model_zoo(pairs: pd.DataFrame, networks: pd.DataFrame) -> str:
    """Conclude whether units must be exchanged to connect networks, and whether that is enough, in Markdown.

    Networks at chance level are left out. A condition is one data set and network. A comparison is between networks,
    each with its mean barrier to the others. They share pairs, so that the standard error is only approximate.

    Args:
        pairs: from `query.matrix_pairs`.
        networks: from `query.matrix_networks`.
    """
    plain, aligned, lower = ComparisonCounts(), ComparisonCounts(), ComparisonCounts()
    lines = []
    columns = list(dict.fromkeys([*pairs.columns, *SETTING, "align", "constant", "connected", "good_average"]))
    rows = pairs.reindex(columns=columns).dropna(subset=["align", "connected"])
    for key, part in rows.groupby(SETTING, dropna=False, sort=False):
        parts = []
        for is_aligned, some in part.groupby(part["align"] != "none"):
            kept = some[~some["constant"].astype(bool)]
            if len(kept):
                _count(aligned if is_aligned else plain, kept["connected"].astype(bool))
            parts.append(_line("aligned" if is_aligned else "as logged", some, kept))
        of_networks = networks[(networks[SETTING] == pd.Series(key, index=SETTING)).all(axis=1)]
        _compare(lower, of_networks)
        lines.append(f"- {', '.join(str(value) for value in key[:3])}: {'; '.join(parts)}")
    heads = [
        plain.verdict("Networks are connected as they are, without exchanging units", NEED),
        aligned.verdict("Once units are exchanged, every two networks are connected", NEED_BOTH),
        lower.verdict("Exchanging units lowers the barrier", NEED_BOTH),
    ]
    return "\n\n".join([*heads, "\n".join(lines), RULE] if lines else heads)


def _count(counts: ComparisonCounts, connected: "pd.Series[bool]") -> None:
    counts.add(1 if connected.all() else 0 if connected.any() else -1)


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


def _compare(counts: ComparisonCounts, networks: pd.DataFrame) -> None:
    """Compare each network's mean barrier to the others before and after, where both were measured."""
    kept = networks[~networks["constant"].astype(bool)]
    means = kept.groupby([kept["align"] != "none", "network"])["mean_barrier"].mean().unstack(level=0)
    if {True, False} <= set(means.columns):
        gain = (means[False] - means[True]).dropna()
        if len(gain) > 1:
            counts.add_difference(mean_of(gain))
