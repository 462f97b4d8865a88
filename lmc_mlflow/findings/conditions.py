"""Which runs repeat one another? Those that differ in their seeds alone; all else sets them apart."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import TrainPairConfig

ORDER, COVARIATE, IMBALANCE = "order alone", "covariate shift", "label imbalance"
SOURCES = (ORDER, COVARIATE, IMBALANCE)
"""The sources of noise that the papers speak of."""
CONNECTED_BELOW_PCT = 2.0
"""Error barrier in percent below which Altintas et al. call two networks connected."""
LEARNT_WITHIN = 0.1
"""Accuracy by which a network may be below the best of its kind and still count as trained."""
SEEDS = ("seed", "seed_a", "seed_b", "noise_seed", "order_seed", "augmentation_seed")
"""What repetitions of one condition differ in."""
_MOST_TELLING = (
    "dataset",
    "model",
    "shift",
    "same_initialization",
    "sides",
    "normalization",
    "noise",
    "lr",
    "batch_size",
)
CONDITIONS = (
    *_MOST_TELLING,
    *(
        parameter.name
        for parameter in parameters(TrainPairConfig).values()
        if parameter.rule.identity and parameter.name not in (*_MOST_TELLING, *SEEDS, "init")
    ),
    "data_digest",
    "bn",
    "align",
    "sampling",
    "num_members",
)
"""What sets two rows of a table apart, the most telling first (`init` is told by `same_initialization`)."""


def distinguishing(frame: pd.DataFrame, names: Sequence[str] = CONDITIONS, given: Sequence[str] = ()) -> list[str]:
    """The columns that set rows of a table apart, without those that follow from the ones before.

    Args:
        frame: a table of `query`.
        names: candidates, the most telling first; absent ones are passed over.
        given: columns that the rows are told apart by already.
    """
    kept = list(given)
    for name in names:
        if name not in frame or frame.empty or name in kept:
            continue
        values = frame[name].astype(str)
        within = values.groupby([frame[k].astype(str) for k in kept]).nunique().max() if kept else values.nunique()
        if within > 1:
            kept.append(name)
    return kept[len(given) :]


def per_seed(rows: pd.DataFrame, value: str, along: Sequence[str] = ()) -> "pd.Series[Any]":
    """One value a seed (and place along other columns): runs of one seed are averaged, so that none counts twice."""
    keys = [*(name for name in SEEDS if name in rows), *along]
    return rows.groupby(keys, dropna=False)[value].mean() if keys else rows[value]


def describe(name: str, value: Any) -> str:
    """A condition's value in words."""
    if name in ("dataset", "model", "shift", "sampling"):
        return str(value)
    if isinstance(value, str) and not value:
        return ""
    if name == "same_initialization":
        return "same initialization" if value else "different initializations"
    if name == "align":
        return "not aligned" if value == "none" else f"aligned by {value}"
    if name == "noise":
        return f"{value} noise"
    if name == "num_members":
        return f"{value:g} members"
    if name == "data_digest":
        return f"data {str(value)[:6]}"
    if isinstance(value, bool):
        return f"{name} {str(value).lower()}"
    return f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"


def noise_source(shift: str, noise: str) -> str:
    """What makes two networks of one initialization differ, in the words of the papers.

    Args:
        shift: as in the configuration.
        noise: `same` or `different` order and augmentation.
    """
    shifted = {"none": "", "label_5050": COVARIATE, "label_2080": IMBALANCE}.get(shift, shift)
    if noise == "same":
        return shifted or "nothing"
    return f"{shifted} and order" if shifted else ORDER


def has_learnt(frame: pd.DataFrame, accuracy: str) -> "pd.Series[bool]":
    """Which rows' networks are at most `LEARNT_WITHIN` below the best of their data set and network in the frame.

    A network that a rate too high for its batches kept at chance level has basins of no interest: it is as flat, or as
    rugged, as noise. What is unknown counts as learnt.

    Args:
        frame: with columns dataset and model.
        accuracy: column with the accuracy of a row's networks, as a fraction.
    """
    if accuracy not in frame or frame.empty:
        return pd.Series(True, index=frame.index, dtype=bool)
    values = pd.to_numeric(frame[accuracy], errors="coerce")
    best = values.groupby([frame["dataset"], frame["model"]]).transform("max")
    return (values >= best - LEARNT_WITHIN) | values.isna()


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it needs one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
