"""Forecasts from the first epochs of pairs whether their sides will end connected."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lmc_mlflow.findings.conditions import CONDITIONS, counted, plain_rows
from lmc_mlflow.findings.forecast_model import Examples, Numbers, area, area_interval, held_out_log_odds
from lmc_mlflow.findings.sentences import each_condition, is_first_policy, measured_last
from lmc_mlflow.query.early_facts import EARLY_FACTS, LAST_EPOCH, early_facts
from lmc_mlflow.query.tables import pairs as read_pairs
from lmc_mlflow.query.tables import paths as read_paths

FEWEST_PAIRS = 30
"""With fewer pairs whose verdict is known nothing is forecast."""
KNOWN_SHARE = 0.5
"""A fact is used where at least this share of the known pairs has it, and a pair is forecast from at least as many."""
LOGARITHMS = ("train_loss", "test_loss", "distance")
"""Facts that are taken as logarithms: their ratios count, not their differences."""
SMALLEST = 1e-6
"""Below this such a fact counts as this."""
ENDS = ("epochs", "steps", "until_train_loss", "until_train_accuracy")
"""Settings that say when a training ends: pairs that differ in these alone have the same first epochs."""
SETTINGS = [name for name in (*CONDITIONS, "init") if name not in ENDS]
"""Settings that make a condition."""
CONNECTED = "yes"
"""The verdict of a path that counts as connected; `no` and `apparent` do not."""
COLUMNS = ["run_id", "name", "condition", "connected", "probability"]


@dataclass(frozen=True)
class Forecast:
    """What the first epochs say of the final verdicts.

    Attributes:
        epoch: up to which facts were read.
        frame: a row for each pair that was asked for: `run_id`, `name`, `condition`, `connected` (its verdict, empty
            where there is none yet) and `probability` of ending connected, predicted without any pair of its own
            condition; NaN: no forecast.
        facts: the columns of `EARLY_FACTS` that were used.
        missing: those that too few pairs have.
        num_pairs: that were learnt from.
        num_conditions: of these.
        area: under the ROC curve, over conditions that were left out in turn; NaN: no forecast.
        low: end of its 95 % interval over conditions; NaN: unknown.
        high: the other end.
        text: all this in sentences.
    """

    epoch: int
    frame: pd.DataFrame
    facts: tuple[str, ...]
    missing: tuple[str, ...]
    num_pairs: int
    num_conditions: int
    area: float = math.nan
    low: float = math.nan
    high: float = math.nan
    text: str = ""

    def __str__(self) -> str:
        return self.text


def forecast(pairs: pd.DataFrame, epoch: int = 5, uri: str | None = None) -> Forecast:
    """Forecast whether pairs will end connected, from what the other pairs of the store showed after as many epochs.

    A logistic regression learns from all pairs of the store that trained for more epochs and whose plain path has a
    verdict. Each pair is predicted without the pairs of its own condition, and so it is scored.

    Args:
        pairs: rows of `query.pairs`, with `finished=False` for those that still train.
        epoch: up to which the pairs are known, counted from 1.
        uri: of the tracking server; None: MLflow's own settings.

    Raises:
        ValueError: an epoch below 1, or a table that is not of pairs.
    """
    if epoch < 1:
        raise ValueError(f"epoch={epoch}: give an epoch, counted from 1")
    if not {"run_id", "name", "init"} <= set(pairs):
        raise ValueError("pairs: give rows of query.pairs()")
    rows = _rows(pairs, epoch, uri)
    is_known = (rows["connected"] != "") & (rows[LAST_EPOCH] > epoch)
    shares = rows[is_known][list(EARLY_FACTS)].notna().mean()
    facts = tuple(name for name in EARLY_FACTS if shares[name] >= KNOWN_SHARE)
    numbers, conditions = _numbers(rows, facts), rows["number"].to_numpy(np.int64)
    known = Examples(numbers, (rows["connected"] == CONNECTED).to_numpy(bool), conditions).take(is_known.to_numpy(bool))
    counts = len(known.connected), len(np.unique(known.conditions))
    missing = tuple(name for name in EARLY_FACTS if name not in facts)
    reason = _why_none(known, facts)
    if reason:
        silent = _asked(rows.assign(probability=math.nan), pairs)
        return Forecast(epoch, silent, facts, missing, *counts, text=f"no forecast after epoch {epoch}: {reason}")
    odds, frequencies = held_out_log_odds(known, numbers, conditions)
    is_enough = np.isfinite(numbers).mean(axis=1) >= KNOWN_SHARE
    rows["probability"] = np.where(is_enough, 1 / (1 + np.exp(-odds - frequencies)), np.nan)
    found = Forecast(epoch, _asked(rows, pairs), facts, missing, *counts)
    return _scored(found, known, odds[is_known.to_numpy(bool)])


def _rows(pairs: pd.DataFrame, epoch: int, uri: str | None) -> pd.DataFrame:
    """Join the pairs of the store and those asked for with their conditions, verdicts and early facts."""
    every = pd.concat([pairs, read_pairs(uri=uri)], ignore_index=True).drop_duplicates("run_id", ignore_index=True)
    rows = every.assign(condition="", number=0)
    for number, (label, part) in enumerate(each_condition(every, SETTINGS)):
        rows.loc[part.index, ["condition", "number"]] = label, number
    paths = measured_last(plain_rows(read_paths(uri=uri)))
    paths = paths[(paths["pair"] != "") & (paths["connected"] != "")]
    paths = paths[is_first_policy(paths)].drop_duplicates("pair", keep="last")
    verdicts = rows["run_id"].map(paths.set_index("pair")["connected"])
    return rows.assign(connected=verdicts.fillna("")).merge(early_facts(every, epoch, uri), on="run_id")


def _numbers(rows: pd.DataFrame, facts: Sequence[str]) -> Numbers:
    """Give the facts as numbers (N, F); losses and distances as logarithms."""
    columns = [np.log(rows[name].clip(lower=SMALLEST)) if name in LOGARITHMS else rows[name] for name in facts]
    found: Numbers = (
        np.stack([column.to_numpy(float) for column in columns], axis=1) if columns else np.empty((len(rows), 0))
    )
    return np.where(np.isfinite(found), found, np.nan)


def _why_none(known: Examples, facts: Sequence[str]) -> str:
    """Say why nothing is forecast; empty where something can be."""
    number = len(known.connected)
    if number < FEWEST_PAIRS:
        return (
            f"it needs {FEWEST_PAIRS} pairs of more epochs than that, each with a path measured by `interpolate`; the "
            f"store has {number}"
        )
    if not facts:
        return f"more than half of the {number} pairs have logged nothing of their epochs"
    if not known.has_both:
        verdict = "connected" if known.connected.all() else "not connected"
        return f"all {number} pairs of the store are {verdict}, so there is nothing to tell apart"
    conditions = np.unique(known.conditions)
    usable = [known.take(known.conditions != condition).has_both for condition in conditions]
    if not any(usable):
        return f"its {counted(len(conditions), 'condition')} cannot be predicted from one another: vary more settings"
    return ""


def _scored(found: Forecast, known: Examples, odds: Numbers) -> Forecast:
    """Add the area, its interval and the sentences."""
    predicted = ~np.isnan(odds)
    scored, odds = known.take(predicted), odds[predicted]
    score, (low, high) = area(odds, scored.connected), area_interval(odds, scored)
    interval = "unknown, too few conditions" if math.isnan(low) else f"{low:.2f} to {high:.2f}"
    use = "better than chance" if low > 0.5 else "not shown to be better than chance"
    parts = [
        f"After epoch {found.epoch}: area under the ROC curve {score:.2f} (95 % interval {interval}), {use}, over "
        f"{counted(len(scored.connected), 'pair')} of {counted(len(np.unique(scored.conditions)), 'condition')}, each "
        "condition predicted from the others.",
        f"Used: {'; '.join(EARLY_FACTS[name] for name in found.facts)}.",
    ]
    if found.missing:
        parts.append(
            f"Not known of more than half of the pairs: {'; '.join(EARLY_FACTS[name] for name in found.missing)}."
        )
    return replace(found, area=score, low=low, high=high, text=" ".join(parts))


def _asked(rows: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Select the pairs that were asked for, in their order."""
    return rows.set_index("run_id").reindex(pairs["run_id"]).reset_index()[COLUMNS]
