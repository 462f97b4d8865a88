"""Concludes from matrices over networks of several widths: connection, alignment, averages."""

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.conditions import counted
from lmc_mlflow.findings.differences import RULE, mean_of
from lmc_mlflow.findings.evidence import ComparisonCounts

MOST_IDS = 10
"""Networks that a command names."""
SETTING = ["dataset", "model", "shift", "bn", "split"]
THREE = "<run id>,<run id>,<run id>"


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
            parts.append(_line("aligned" if is_aligned else "not aligned", some, kept))
        of_networks = networks[(networks[SETTING] == pd.Series(key, index=SETTING)).all(axis=1)]
        _compare(lower, of_networks)
        lines.append(f"- {', '.join(str(value) for value in key[:3])}: {'; '.join(parts)}")
    need, need_both = _needs(networks)
    heads = [
        plain.verdict("Networks are connected as they are, without exchanging units", need),
        aligned.verdict("Once units are exchanged, every two networks are connected", need_both),
        lower.verdict("Exchanging units lowers the barrier", need_both),
    ]
    return "\n\n".join([*heads, "\n".join(lines), RULE] if lines else heads)


def _needs(networks: pd.DataFrame) -> tuple[str, str]:
    """Write the command of a matrix, and what it takes to have it with and without alignment."""
    of_one = networks[networks["run_id"] == networks["run_id"].iloc[0]]["network"] if len(networks) else []
    runs = ",".join(of_one) if 0 < len(of_one) <= MOST_IDS else THREE
    command = f"{RUN} matrix -P runs={runs}"
    both = f"two matrices of the same runs are needed: `{command}` and `{command} -P align=weights`"
    return f"a matrix is needed: `{command}`", both


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
