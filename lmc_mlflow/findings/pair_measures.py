"""Joins what pairs log to their paths: accuracy, training loss, noise scale, and the size of the shift."""

from typing import Any

import pandas as pd

FROM_PAIRS = {
    "accuracy": ("test/accuracy", 100),
    "train_accuracy": ("train/accuracy", 100),
    "train_loss": ("train/loss", 1),
    "c2st": ("shift/c2st_accuracy", 1),
    "c2st_low": ("shift/c2st_accuracy_low", 1),
    "c2st_high": ("shift/c2st_accuracy_high", 1),
    "label_divergence": ("shift/label_divergence", 1),
}
"""Column -> metric of a pair (mean of both sides), and its scale: accuracies are in percent."""
FROM_ENDPOINTS = {"noise_scale": "noise_scale"}
"""Column -> metric of an endpoint; both sides are averaged."""
PAIR_MEASURES = (*FROM_PAIRS, *FROM_ENDPOINTS)
"""The columns that `with_pair_measures` adds."""
SHIFT_MEASURES = ("c2st", "c2st_low", "c2st_high", "label_divergence")


def with_pair_measures(paths: pd.DataFrame, pairs: pd.DataFrame, endpoints: pd.DataFrame) -> pd.DataFrame:
    """Add `PAIR_MEASURES` to paths within pairs; what was not logged is NaN.

    Args:
        paths: with column pair, the run of the pair.
        pairs: from `query.pairs`.
        endpoints: from `query.endpoints`.
    """
    by_run = pairs.set_index("run_id")
    added = {name: scale * _joined(paths, by_run, metric) for name, (metric, scale) in FROM_PAIRS.items()}
    for name, metric in FROM_ENDPOINTS.items():
        known = {"pair", metric} <= set(endpoints)
        means = endpoints.groupby("pair")[[metric]].mean() if known else pd.DataFrame(columns=[metric])
        added[name] = _joined(paths, means, metric)
    return paths.assign(**added)


def _joined(paths: pd.DataFrame, by_run: pd.DataFrame, metric: str) -> "pd.Series[float]":
    values = by_run[metric] if metric in by_run else pd.Series(dtype=float)
    return pd.to_numeric(paths["pair"].map(values), errors="coerce").astype(float)


def describe_shift(row: Any) -> str:
    """Say how large the shift of a condition is, as its pairs logged it.

    Args:
        row: a condition with columns `SHIFT_MEASURES`.
    """
    if row["c2st"] != row["c2st"] and row["label_divergence"] != row["label_divergence"]:
        return "size of the shift not logged"
    parts = []
    if row["c2st"] == row["c2st"]:
        limits = f"[{row['c2st_low']:.3f}, {row['c2st_high']:.3f}]"
        seen = "seen" if row["c2st_low"] > 0.5 else "no shift seen"
        parts.append(f"C2ST accuracy {row['c2st']:.3f} {limits} ({seen})")
    if row["label_divergence"] == row["label_divergence"]:
        parts.append(f"labels diverge by {row['label_divergence']:.3f} bits")
    return ", ".join(parts)
