"""The page ensembles.md: the MLP column of Table III."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import either, interval, spread
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow import plots, query
from lmc_mlflow.papers.printed import printed_table

MODEL, SCALING = "mlp_l1_w126", "centered"
SCORES = {
    "wrong agreement": ("wrong_agreement", 1, 3),
    "wrong disagreement": ("wrong_disagreement", 1, 3),
    "wrong disagreement, as printed": ("wrong_disagreement_printed", 1, 3),
    "majority vote (%)": ("majority_vote_accuracy", 100, 2),
    "averaged prediction (%)": ("mean_prediction_accuracy", 100, 2),
    "averaged log-prediction (%)": ("mean_log_prediction_accuracy", 100, 2),
    "single members (%)": ("member_accuracy", 100, 2),
    "calibration error": ("ece", 1, 3),
}
"""Row of the table -> our score, its scale, its decimals."""
PRINTED = {
    "wrong_agreement": "wrong agreement",
    "wrong_disagreement": "wrong disagreement",
    "majority_vote_accuracy_pct": "majority vote (%)",
    "mean_prediction_accuracy_pct": "averaged prediction (%)",
}
"""Metric of the printed Table III -> row of the table."""
NUM_PRINTED = {"lmc": "5 to 10", "seeds": "2"}
"""Ensembles behind a printed mean."""
SAMPLINGS = {"lmc": "LMC", "seeds": "seeds"}


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of ensembles.md."""
    found = _ensembles(runs)
    return {
        "answer": _answer(found),
        "ensembles": _beside(found),
        "verdicts": runs.verdicts("H-05a", "H-05b", "H-05c", "H-05d", "H-05e"),
    }


def _ensembles(runs: ShippedRuns) -> pd.DataFrame:
    found = runs.table(query.ensembles)
    chosen = (found["model"] == MODEL) & (found["normalization"] == SCALING) & found["sampling"].isin([*SAMPLINGS])
    found = found[chosen]
    return found.assign(epochs=found["epochs"].astype(float).astype(int), num_members=found["num_members"].astype(int))


def _answer(found: pd.DataFrame) -> str:
    last = found[found["epochs"] == found["epochs"].max()]
    groups = {
        "lmc": last[(last["sampling"] == "lmc") & (last["num_members"] == 5)],
        "five": last[(last["sampling"] == "seeds") & (last["num_members"] == 5)],
        "two": last[(last["sampling"] == "seeds") & (last["num_members"] == 2)],
    }
    wrong = {name: interval(own["wrong_agreement"], 3) for name, own in groups.items()}
    right = {name: f"{interval(100 * own['mean_prediction_accuracy'], 1)} %" for name, own in groups.items()}
    return (
        f"**Points of one path repeat each other's mistakes: after {last['epochs'].iloc[0]} epochs their wrong "
        f"agreement is "
        f"{wrong['lmc']}, that of five seeds {wrong['five']} (printed 0.245 and 0.185).** Averaged predictions of "
        f"five points are "
        f"right on {right['lmc']}, of five seeds on {right['five']} (printed 52.43 and 53.80), and of two seeds, "
        f"which cost as much as a path, on {right['two']}."
    )


def _beside(found: pd.DataFrame) -> pd.DataFrame:
    """Make a column for each way of sampling, number of members and number of epochs, beside the paper's."""
    columns: dict[str, dict[str, str]] = {}
    printed = printed_table("table_iii")
    printed = printed[printed["model"] == MODEL]
    for sampling, name in SAMPLINGS.items():
        own = printed[printed["sampling"] == sampling].set_index("metric")
        values = {
            PRINTED[str(metric)]: either(row["mean"], row["std"], 3 if row["mean"] < 1 else 2)
            for metric, row in own.iterrows()
        }
        columns[f"{name}, paper"] = {"n (ensembles)": NUM_PRINTED[sampling], **values}
        for (epochs, members), rows in found[found["sampling"] == sampling].groupby(
            ["epochs", "num_members"], sort=True
        ):
            column = {"n (ensembles)": str(len(rows))}
            for score, (metric, scale, decimals) in SCORES.items():
                column[score] = spread(scale * rows[metric], decimals)
            columns[f"{name}, {members} members, {epochs} epochs"] = column
    table = pd.DataFrame(columns, index=["n (ensembles)", *SCORES]).fillna("")
    return table.rename_axis("").reset_index()


def _figure(runs: ShippedRuns) -> Figure:
    return plots.ensemble_comparison(_ensembles(runs))


FIGURES = {"results_ensembles.png": _figure}
