"""The page shift.md: barriers over the size of the shift, from 50/50 halves on."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import bounds, interval, number, of, spread
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow import plots
from lmc_mlflow.plots.groups import learnt_only

SAMPLE = "label_5050"
"""Two samples of one distribution."""
SIZES = ("shift/c2st_accuracy", "shift/label_divergence")
KINDS = {"label": "of labels", ("corrupt", "rotate"): "of images"}
"""Beginnings of a shift's name -> what it changes."""
UNLEARNT = "not compared"
BARRIER = "test/barrier_in_basin"


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of shift.md."""
    rows = _rows(runs)
    return {"answer": _answer(rows[rows["learnt"]]), "shifts": _by_shift(rows)}


def _rows(runs: ShippedRuns) -> pd.DataFrame:
    """Find paths within pairs, with the size of their shift, and what each has more than the 50/50 pair of its seed."""
    pairs = runs.frames.pairs.set_index("run_id")[[*SIZES]]
    rows = runs.paths[runs.paths["pair"] != ""].drop(columns=list(SIZES), errors="ignore").join(pairs, on="pair")
    alone = rows[rows["shift"] == SAMPLE].set_index("seed")[BARRIER]
    learnt, _ = learnt_only(rows)
    return rows.assign(more=rows[BARRIER] - rows["seed"].map(alone), learnt=rows.index.isin(learnt.index))


def _word(more: "pd.Series[float]") -> str:
    low, _, high = bounds(more)
    return "adds" if low > 0 else "takes away" if high < 0 else "undecided"


def _more(rows: pd.DataFrame) -> str:
    return f"{_word(rows['more'])}: {interval(rows['more'], 2, '+')}" if rows["learnt"].all() else UNLEARNT


def _answer(rows: pd.DataFrame) -> str:
    """Say what two samples have, and what shifts of labels and of images add to it."""
    sample = rows.loc[rows["shift"] == SAMPLE, BARRIER]
    more = {str(name): own["more"] for name, own in rows[rows["shift"] != SAMPLE].groupby("shift")}
    told = []
    for kind, head in KINDS.items():
        own = {name: values for name, values in more.items() if name.startswith(kind)}
        words = [_word(values) for values in own.values()]
        worst = max(own, key=lambda name: own[name].mean())
        told.append(
            f"{head} in {of(words.count('adds'), len(words))} ({words.count('takes away')} take away, "
            f"{words.count('undecided')} undecided; at most {interval(own[worst], 2, '+')} nats, `{worst}`)"
        )
    return (
        f"**Two samples of one distribution have a barrier of {interval(sample, 2)} nats; a shift adds to it, "
        f"{' and '.join(told)}.** {_seen(rows)}"
    )


def _seen(rows: pd.DataFrame) -> str:
    seen = rows.groupby("shift")["shift/c2st_accuracy"].mean()
    labels = seen.index.str.startswith("label")
    return (
        f"A classifier tells the changed images from the others with an accuracy of {number(seen[~labels].min(), 3)} "
        f"and more, and two sides with unequal labels with at most {number(seen[labels].max(), 3)}."
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
                "more than 50/50 (nats)": "" if shift == SAMPLE else _more(own),
                "error barrier (%)": spread(100 * own["test/error_barrier"], 1),
                "angle (degrees)": number(own["angle_deg"].mean(), 1),
                "connected": of((own["connected"] == "yes").sum(), len(own)),
            }
        )
    return pd.DataFrame(found)


def _figure(runs: ShippedRuns) -> Figure:
    return plots.barrier_by_shift_size(runs.frames.paths, runs.frames.pairs)


FIGURES = {"results_shift.png": _figure}
