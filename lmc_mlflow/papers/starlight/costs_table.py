"""Table 2 of Sonthalia et al.: accuracy of one network, of the ensemble and of the star, and what each costs."""

import math
from typing import Any, NamedTuple

import pandas as pd

from lmc_mlflow.findings.condition_table import KEYS, Frames, condition_texts, key_text, with_columns
from lmc_mlflow.findings.conditions import per_seed
from lmc_mlflow.findings.differences import sample_of
from lmc_mlflow.papers.cell_conditions import condition_words

SCORES = ("accuracy", "average_precision")
"""What a star logs of itself, its sources and their ensemble; the second where images have several labels."""
SECONDS = "cost/train_seconds"
COLUMNS = (
    *("dataset", "model", "sources", "predictor", "n", "score", "percent", "sd", "trainings"),
    *("stored_networks", "evaluations_per_image", "train_seconds", "condition", "run_ids"),
)


class Cost(NamedTuple):
    """What a predictor from N sources costs.

    Attributes:
        metric: a star's name for it, after the score.
        trainings: networks that must be trained: a number, and a multiple of N.
        networks: networks that are stored, and that evaluate each image: a number, and a multiple of N.
    """

    metric: str
    trainings: tuple[int, int]
    networks: tuple[int, int]


PREDICTORS = {
    "one network": Cost("sources", (1, 0), (1, 0)),
    "ensemble of the sources": Cost("ensemble", (0, 1), (0, 1)),
    "star": Cost("star", (1, 1), (1, 0)),
}
_NAMED = ("dataset", "model")


def star_costs(frames: Frames) -> pd.DataFrame:
    """Compute three rows for each condition and number of sources: what is printed in Table 2, and its row of costs.

    Stars of one `star_seed` are averaged first. A star needs its sources trained, and is stored and evaluated alone.

    Args:
        frames: as `condition_table.prepare` returns them.

    Returns:
        Columns `COLUMNS`; percent is the mean score on test data with its sample deviation sd over stars, trainings
        how many networks must be trained, train_seconds the mean time that these trainings took as it was logged (NaN
        where that of a source is not known).
    """
    rows = with_columns(frames.stars, (*KEYS, "num_sources", "star_seed", "sources", SECONDS))
    rows = rows.assign(condition=condition_texts(rows) + "|" + rows["num_sources"].map(key_text)) if len(rows) else rows
    seconds = _logged_seconds(frames.endpoints)
    found = []
    for _, part in rows.groupby("condition", sort=True) if len(rows) else ():
        spent = [_seconds(row, seconds) for row in part.to_dict("records")]
        for score in SCORES:
            if f"{score}/star" in part and part[f"{score}/star"].notna().any():
                found += [_row(part, score, name, cost, spent) for name, cost in PREDICTORS.items()]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _logged_seconds(endpoints: pd.DataFrame) -> dict[str, float]:
    if SECONDS not in endpoints:
        return {}
    return dict(zip(endpoints["run_id"], pd.to_numeric(endpoints[SECONDS]), strict=True))


def _seconds(row: dict[Any, Any], seconds: dict[str, float]) -> dict[str, float]:
    """Add up what the trainings behind each predictor of a star took."""
    of_sources = [seconds.get(run_id, math.nan) for run_id in str(row["sources"]).split(",")]
    own = float(row[SECONDS]) if row[SECONDS] != "" else math.nan
    total = sum(of_sources)
    return {"sources": total / len(of_sources), "ensemble": total, "star": total + own}


def _row(part: pd.DataFrame, score: str, name: str, cost: Cost, spent: list[dict[str, float]]) -> dict[str, Any]:
    first, number = part.iloc[0], int(part["num_sources"].iloc[0])
    metric = f"{score}/{cost.metric}"
    values = per_seed(part, metric, ("star_seed",)) if metric in part else pd.Series(dtype=float)
    ours = sample_of(100 * values)
    trainings, networks = (fixed + each * number for fixed, each in (cost.trainings, cost.networks))
    return {
        "dataset": first["dataset"],
        "model": first["model"],
        "sources": number,
        "predictor": name,
        "n": ours.n,
        "score": score.replace("_", " "),
        "percent": ours.mean,
        "sd": ours.deviation,
        "trainings": trainings,
        "stored_networks": networks,
        "evaluations_per_image": networks,
        "train_seconds": sum(one[cost.metric] for one in spent) / len(spent),
        "condition": condition_words(first, _NAMED),
        "run_ids": " ".join(part["run_id"]),
    }
