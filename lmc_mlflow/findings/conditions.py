"""Conditions: runs that differ in their seeds alone repeat one condition; every other setting makes another."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.curve import SEGMENT
from lmc_mlflow.findings.thresholds import LEARNT_WITHIN
from lmc_mlflow.query.mixtures import MIXTURE

ORDER, COVARIATE, IMBALANCE = "order alone", "covariate shift", "label imbalance"
SOURCES = (ORDER, COVARIATE, IMBALANCE)
"""The sources of noise that the papers speak of."""
SEEDS = ("seed", "seed_a", "seed_b", "noise_seed", "order_seed", "augmentation_seed")
"""Settings in which repetitions of one condition differ."""
_MOST_IMPORTANT = (
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
    *_MOST_IMPORTANT,
    *(
        parameter.name
        for parameter in parameters(TrainPairConfig).values()
        if parameter.rule.identity and parameter.name not in (*_MOST_IMPORTANT, *SEEDS, "init")
    ),
    "data_digest",
    *MIXTURE,
    "bn",
    "align",
    "path",
    "sampling",
    "num_members",
)
"""Settings that make a condition, the most important first (`same_initialization` stands for `init`)."""
PLAIN = {"mixture_of": "", "mixture": "", "align": "none", "path": SEGMENT, "bn": "interpolate"}
"""How a path was measured, and whether its ends differ: what is so by default. All else is always named."""


def distinguishing(frame: pd.DataFrame, names: Sequence[str] = CONDITIONS, given: Sequence[str] = ()) -> list[str]:
    """List the columns in which rows of a table differ, without those that follow from the ones before.

    Columns of `PLAIN` are listed wherever they differ, whatever they follow from, and with `mixture` the settings that
    it speaks of: beside a path of 100 and 15 epochs the others say their epochs too.

    Args:
        frame: a table of `query`.
        names: candidates, the most important first; those that the table does not have are passed over.
        given: columns by which the rows are grouped already.
    """
    kept = list(given)
    told = mixed_settings(frame) if "mixture" in names and frame.get("mixture", pd.Series()).nunique() > 1 else set()
    for name in names:
        if name not in frame or frame.empty or name in kept:
            continue
        values = frame[name].astype(str)
        alone = not kept or name in PLAIN
        within = values.nunique() if alone else values.groupby([frame[k].astype(str) for k in kept]).nunique().max()
        if within > 1 or name in told:
            kept.append(name)
    return kept[len(given) :]


def mixed_settings(frame: pd.DataFrame) -> set[str]:
    """Collect the settings in which the ends of some path, or the members of some ensemble, differ."""
    return set(",".join(frame["mixture_of"].dropna().unique()).split(",")) - {""} if "mixture_of" in frame else set()


def unusual(frame: pd.DataFrame) -> list[str]:
    """List the columns of `PLAIN` in which all rows of a table have one value that is not the plain one."""
    found = []
    for name, plain in PLAIN.items():
        values = set(frame[name].dropna()) if name in frame else set()
        if len(values) == 1 and values != {plain} and frame[name].notna().all():
            found.append(name)
    return found


def plain_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Select straight paths and ensembles of networks as they were logged, of equal settings but for their seeds."""
    plain = pd.Series(True, index=frame.index)
    for name in ("mixture", "align", "path"):
        if name in frame:
            plain &= frame[name].isna() | (frame[name] == PLAIN[name])
    return frame[plain]


def per_seed(rows: pd.DataFrame, value: str, along: Sequence[str] = ()) -> "pd.Series[Any]":
    """Average a column over the runs of one seed, so that no seed counts twice.

    Args:
        rows: a table of `query`.
        value: the column.
        along: further columns, each of whose values keeps its own mean, such as alpha.
    """
    return _means(rows, value, [*(name for name in SEEDS if name in rows), *along])


def per_ensemble(ensembles: pd.DataFrame, value: str) -> "pd.Series[Any]":
    """Average a score over the ensembles of one path, or of one set of seeds, so that neither counts twice."""
    return _means(ensembles, value, [name for name in ("pair", "seed", "side") if name in ensembles])


def _means(rows: pd.DataFrame, value: str, keys: list[str]) -> "pd.Series[Any]":
    return rows.groupby(keys, dropna=False)[value].mean() if keys else rows[value]


def describe(name: str, value: Any) -> str:
    """Write a setting's value in words; empty where it says nothing."""
    if name in ("dataset", "model", "shift", "sampling"):
        return str(value)
    if value is None or value != value or (isinstance(value, str) and not value):
        return ""
    if name == "mixture_of":
        return ""
    if name == "mixture":
        return str(value)
    if name == "same_initialization":
        return "same initialization" if value else "different initializations"
    if name == "align":
        return "not aligned" if value == "none" else f"aligned by {value}"
    if name == "path":
        return "straight" if value == SEGMENT else f"along a {value} curve"
    if name == "noise":
        return f"{value} noise"
    if name == "num_members":
        return f"{value:g} members"
    if name == "data_digest":
        return f"data {str(value)[:6]}"
    if isinstance(value, bool):
        return f"{name} {str(value).lower()}"
    return f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"


def describe_all(names: Sequence[str], values: Sequence[Any]) -> list[str]:
    """Write several settings in words; one in which the ends of a path differ is named by the words for both ends."""
    settings = dict(zip(names, values, strict=True))
    mixed = str(settings.get("mixture_of", "")).split(",")
    return [words for name, value in settings.items() if name not in mixed and (words := describe(name, value))]


def noise_source(shift: str, noise: str) -> str:
    """Name what makes two networks of one initialization differ, in the words of the papers.

    Args:
        shift: as in the configuration.
        noise: `same` or `different` order and augmentation of both sides.
    """
    shifted = {"none": "", "label_5050": COVARIATE, "label_2080": IMBALANCE}.get(shift, shift)
    if noise == "same":
        return shifted or "nothing"
    return f"{shifted} and order" if shifted else ORDER


def has_learnt(frame: pd.DataFrame, accuracy: str) -> "pd.Series[bool]":
    """Tell of each row whether its networks were trained at all.

    They were where their accuracy is at most `LEARNT_WITHIN` below the best of their data set and network in the frame.
    A network that stayed at chance level, because its learning rate was too high for its batches, says nothing about
    basins. What is unknown counts as learnt.

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
    """Write a number with its noun, in the plural where it needs one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
