"""Tables of when.md."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.result_pages.numbers import Tables, shipped_content, spread
from lmc_mlflow import query
from lmc_mlflow.findings.parting import PARTING, Parting, partings
from lmc_mlflow.papers.frankle.claims import FRANKLE_CLAIMS

START = "start_digest"


def when_tables() -> Tables:
    """Compute the tables of when.md."""
    paths = query.paths()
    random = paths[_text(paths, START) == ""]
    return {
        "mnist": _by_parting(random[random["dataset"] == "mnist"]),
        "digits": _by_parting(random[(random["dataset"] == "digits") & (random["lr"].astype(float) == 0.01)]),
        "pretrained": _by_start(paths),
        "verdicts": _verdicts(),
    }


def _text(table: pd.DataFrame, column: str) -> "pd.Series[str]":
    if column not in table:
        return pd.Series("", index=table.index)
    return table[column].fillna("").astype(str)


def _by_parting(paths: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([row for parting in partings(paths) for row in _rows(parting)])


def _rows(parting: Parting) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of shared epochs of one condition."""
    for k, rows in parting.rows.groupby(PARTING):
        yield {
            "shift": f"`{rows['shift'].iloc[0]}`",
            "shared epochs k": int(str(k)),
            "barrier in the basin (nats)": spread(rows["test/barrier_in_basin"], 3),
            "error barrier (%)": spread(100 * rows["test/error_barrier"], 1),
            "angle (degrees)": f"{rows['angle_deg'].mean():.1f}",
            "connected": _of(rows),
        }


def _by_start(paths: pd.DataFrame) -> pd.DataFrame:
    """Put paths from a pretrained start beside those of the same settings from random ones."""
    started = paths.assign(start=_text(paths, START).ne("").map({True: "MNIST", False: "random"}))
    settings = ["dataset", "model", "lr"]
    named = started.loc[started["start"] == "MNIST", settings].drop_duplicates()
    chosen = started.merge(named, on=settings)
    rows = [
        {
            "shift": f"`{shift}`",
            "start": start,
            "barrier in the basin (nats)": spread(own["test/barrier_in_basin"], 3),
            "error barrier (%)": spread(100 * own["test/error_barrier"], 1),
            "angle (degrees)": f"{own['angle_deg'].mean():.1f}",
            "connected": _of(own),
        }
        for (shift, start), own in chosen.groupby(["shift", "start"], sort=True)
    ]
    return pd.DataFrame(rows)


def _verdicts() -> pd.DataFrame:
    verdicts = shipped_content({}).verdicts
    judged = [(claim, verdicts[claim.name]["interpolate"]) for claim in FRANKLE_CLAIMS]
    return pd.DataFrame(
        [
            {"claim": claim.name, "": claim.sentence, "verdict": f"{one.answer}: {one.sentence.split(';')[0]}"}
            for claim, one in judged
        ]
    )


def _of(rows: pd.DataFrame) -> str:
    return f"{int((rows['connected'] == 'yes').sum())} of {len(rows)}"
