"""Claims of the permutation slides on networks of one hidden layer by width, judged on logged and printed networks."""

from typing import Any

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.comparisons import contrast, describe_measures, equal_but_for, estimate
from lmc_mlflow.findings.condition_table import KEYS, condition_texts, key_text, with_columns
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.families import is_minimal
from lmc_mlflow.findings.thresholds import NEGLIGIBLE
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.papers.permutation.zoo_table import NETWORKS
from lmc_mlflow.papers.printed import printed_table

NARROW = 8
"""The narrowest width of the slides whose networks learn both data sets."""
CHANCE, NEAR_CHANCE = 100 / 10, 5.0
"""Accuracy of a constant predictor of ten classes in percent, and what counts as near it, in points."""
MARGIN = 100 * NEGLIGIBLE["score"]
MNIST_CHANCE = ("mnist", 2)
"""Data set and width of the slides' networks that predict a constant (loss ln 10)."""


def wider_is_more_accurate(tables: ConditionTables) -> Evidence:
    """Collect evidence that the widest networks are more accurate than those of width 8, all else equal."""
    rows = _networks(tables)
    evidence = Evidence()
    for part in equal_but_for(rows[rows["width"] >= NARROW], ("model",)):
        ordered = part.sort_values("width")
        narrow, wide = ordered.iloc[0], ordered.iloc[-1]
        found = contrast(wide, narrow, "accuracy")
        words = [f"width {row['width']}: {_text(row)}" for row in (narrow, wide)]
        text = f"{narrow['dataset']}, {_rates(narrow)}: {', '.join(words)}; "
        text += f"higher by {found.text(2, ' points')}, margin {MARGIN:g}"
        evidence.add(found.direction(MARGIN), text, (*narrow["run_ids"], *wide["run_ids"]))
    return evidence


def narrow_networks_stay_at_chance(tables: ConditionTables) -> Evidence:
    """Collect evidence that networks of width 2 on MNIST predict a constant: they connect for that reason alone."""
    rows = _networks(tables)
    evidence = Evidence("can")
    for _, row in rows[(rows["dataset"] == MNIST_CHANCE[0]) & (rows["width"] == MNIST_CHANCE[1])].iterrows():
        side = estimate(row, "accuracy").side(CHANCE + NEAR_CHANCE)
        text = f"{row['dataset']} width {row['width']}, {_rates(row)}: {_text(row)}, near chance: at most "
        evidence.add(None if side is None else -side, f"{text}{CHANCE + NEAR_CHANCE:g} %", row["run_ids"])
    return evidence


def _networks(tables: ConditionTables) -> pd.DataFrame:
    """Make one row for each condition of networks of one hidden layer: accuracy, its deviation, n, width, runs.

    Every network counts by itself, as on the slides: they see the whole data set and start from different
    initializations.
    """
    rows = _printed() if tables.frames is None else _logged(tables.frames.endpoints)
    rows = rows.assign(width=[facts_of(str(model)).widths[0] for model in rows["model"]])
    return rows[rows["n"] >= max(2, tables.min_seeds)]


def _logged(endpoints: pd.DataFrame) -> pd.DataFrame:
    rows = with_columns(endpoints, (*KEYS, "init", "test/accuracy"))
    rows = rows[(rows["shift"] == "none") & (rows["init"] == "different") & rows["dataset"].isin(list(NETWORKS))]
    rows = rows[rows["model"].map(is_minimal).astype(bool)]
    rows = rows.assign(condition=condition_texts(rows), percent=100 * pd.to_numeric(rows["test/accuracy"]))
    by_condition = rows.groupby("condition")
    found = rows.drop_duplicates("condition").set_index("condition").sort_index()[list(KEYS)]
    found["accuracy"], found["accuracy_sd"] = by_condition["percent"].mean(), by_condition["percent"].std(ddof=1)
    return found.assign(n=by_condition["percent"].count(), run_ids=by_condition["run_id"].agg(tuple)).reset_index()


def _printed() -> pd.DataFrame:
    table = printed_table("permutation_model_zoo")
    table = table[table["config"] == "full"].reset_index(drop=True)
    rows = pd.DataFrame(dict.fromkeys(KEYS, ""), index=table.index)
    return rows.assign(
        dataset=table["dataset"],
        model=[f"mlp_l1_w{width}" for width in table["width"]],
        accuracy=100 * table["test_accuracy_mean"],
        accuracy_sd=100 * table["test_accuracy_std"],
        n=table["dataset"].map(NETWORKS),
        run_ids=pd.Series([()] * len(table), dtype=object),
    )


def _text(row: Any) -> str:
    """Write the accuracy of a condition, and the printed one of the same data set and width beside it."""
    text = describe_measures(row, "accuracy")
    printed = _printed()
    same = printed[(printed["dataset"] == row["dataset"]) & (printed["model"] == row["model"])]
    if same.empty or not row["run_ids"]:
        return text
    return f"{text}, printed {same['accuracy'].iloc[0]:.1f} ± {same['accuracy_sd'].iloc[0]:.1f} %"


def _rates(row: Any) -> str:
    words = [f"{name} {key_text(row[name])}" for name in ("optimizer", "lr", "epochs") if key_text(row[name])]
    return ", ".join(words) or "as on the slides"


PERMUTATION_CLAIMS = (
    Claim(
        "P-05",
        "Of networks with one hidden layer on moons and MNIST, the widest are more accurate than those of width 8",
        wider_is_more_accurate,
        f"`{RUN} sweep -P grid=moons_zoo` and `{RUN} sweep -P grid=mnist_zoo`",
    ),
    Claim(
        "P-06",
        "Networks of width 2 on MNIST can stay at chance (within 5 points of 10 %), and are connected for that reason",
        narrow_networks_stay_at_chance,
        f"`{RUN} sweep -P grid=mnist_zoo -P only=model=mlp_l1_w2`",
    ),
)
