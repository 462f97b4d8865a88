"""The page shift.md: barriers over the size of the shift, from 50/50 halves on."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import bounds, interval, number, of, spread
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow import plots

SAMPLE = "label_5050"
"""Two samples of one distribution."""
SIZES = ("shift/c2st_accuracy", "shift/label_divergence")
BARRIER = "test/barrier_in_basin"


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of shift.md."""
    rows = _rows(runs)
    return {"answer": _answer(rows), "shifts": _by_shift(rows)}


def _rows(runs: ShippedRuns) -> pd.DataFrame:
    """Find paths within pairs, with the size of their shift, and what each has more than the 50/50 pair of its seed."""
    pairs = runs.frames.pairs.set_index("run_id")[[*SIZES]]
    rows = runs.paths[runs.paths["pair"] != ""].drop(columns=list(SIZES), errors="ignore").join(pairs, on="pair")
    alone = rows[rows["shift"] == SAMPLE].set_index("seed")[BARRIER]
    return rows.assign(more=rows[BARRIER] - rows["seed"].map(alone))


def _word(more: "pd.Series[float]") -> str:
    low, _, high = bounds(more)
    return "adds" if low > 0 else "takes away" if high < 0 else "undecided"


def _more(more: "pd.Series[float]") -> str:
    return f"{_word(more)}: {interval(more, 2, '+')}"


def _answer(rows: pd.DataFrame) -> str:
    sample = rows.loc[rows["shift"] == SAMPLE, BARRIER]
    shifts = {str(name): own for name, own in rows[rows["shift"] != SAMPLE].groupby("shift")}
    words = [_word(own["more"]) for own in shifts.values()]
    worst = max(shifts, key=lambda name: shifts[name][BARRIER].mean())
    return (
        f"**Two samples of one distribution have a barrier of {interval(sample, 2)} nats; a shift adds to it in "
        f"{of(words.count('adds'), len(words))}, takes away in {words.count('takes away')}, and is undecided in "
        f"{words.count('undecided')}.** The largest barrier is that of `{worst}`, with "
        f"{interval(shifts[worst][BARRIER], 2)} nats."
    )


def _by_shift(rows: pd.DataFrame) -> pd.DataFrame:
    found = []
    for shift, own in rows.groupby("shift", sort=True):
        accuracy, divergence = (own[name].mean() for name in SIZES)
        found.append(
            {
                "shift": f"`{shift}`",
                "n": len(own),
                "C2ST accuracy": number(accuracy, 3),
                "label divergence (bits)": number(divergence, 3),
                "barrier in the basin (nats)": spread(own[BARRIER], 3),
                "more than 50/50 (nats)": "" if shift == SAMPLE else _more(own["more"]),
                "error barrier (%)": spread(100 * own["test/error_barrier"], 1),
                "angle (degrees)": number(own["angle_deg"].mean(), 1),
                "connected": of((own["connected"] == "yes").sum(), len(own)),
            }
        )
    return pd.DataFrame(found)


def _figure(runs: ShippedRuns) -> Figure:
    return plots.barrier_by_shift_size(runs.frames.paths, runs.frames.pairs)


FIGURES = {"results_shift.png": _figure}
