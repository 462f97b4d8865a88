"""The page training_length.md: barriers and accuracies against the epoch of training."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages.numbers import bounds, interval, number, of, spread
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow import plots, query
from lmc_mlflow.papers.printed import printed_table

FIRST, LAST = 21, 400
"""Epochs that are compared: the least that the paper's text allows, and those at which its accuracies lie."""
MODEL = "mlp_l1_w126"
"""The network whose training accuracies the paper prints."""
DEEPER = "mlp_l3_w110_256_110"
CONDITION = ["model", "normalization"]


def parts(runs: ShippedRuns) -> dict[str, pd.DataFrame | str]:
    """Compute the tables and sentences of training_length.md."""
    barriers = on_test_images(runs)
    return {
        "answer": _answer(barriers, _trained(runs)),
        "barriers": _by_epoch(barriers),
        "accuracies": _accuracies(runs),
        "differences": _differences(barriers),
        "verdicts": runs.verdicts("H-62a", "H-62b"),
    }


def on_test_images(runs: ShippedRuns) -> pd.DataFrame:
    """Read the barriers on test images after every kept epoch."""
    found = runs.table(query.barriers_by_epoch)
    return found[found["split"] == "test"]


def _trained(runs: ShippedRuns) -> pd.DataFrame:
    """Read training accuracies in percent after every epoch: of each seed the mean of both sides."""
    ends = runs.endpoints
    curves = query.learning_curves(ends[(ends["epochs"].astype(float) == LAST) & (ends["pair"] != "")])
    curves = curves[curves["split"] == "train"]
    means = curves.groupby([*CONDITION, "seed", "epoch"])["accuracy"].mean()
    return (100 * means).reset_index()


def _answer(barriers: pd.DataFrame, trained: pd.DataFrame) -> str:
    reached = trained[(trained["model"] == MODEL) & (trained["epoch"] == LAST)]
    grown, accuracies = [], []
    for scaling in ("centered", "unit"):
        grown.append(f"from {_grown(barriers, MODEL, scaling)}")
        accuracies.append(f"{interval(reached.loc[reached['normalization'] == scaling, 'accuracy'], 1)} % {scaling}")
    changes = {key: _word(change) for key, change in _changes(barriers, "barrier_in_basin").items()}
    rises = [word for word in changes.values() if word == "rises"]
    others = [f"`{model}`, {scaling}: {word}" for (model, scaling), word in changes.items() if word != "rises"]
    return (
        f"**In the basin it rises from {FIRST} to {LAST} epochs in {of(len(rises), len(changes))} networks "
        f"({'; '.join(others)}), and where the printed accuracies are reached it is about what is printed: that of one "
        f"hidden layer goes {' and '.join(grown)}.** After {LAST} epochs the training accuracy is "
        f"{' and '.join(accuracies)}; the paper prints 98 and 60 %. The barrier of three layers goes from "
        f"{_grown(barriers, DEEPER, 'unit')}."
    )


def _grown(barriers: pd.DataFrame, model: str, scaling: str) -> str:
    own = barriers[(barriers["model"] == model) & (barriers["normalization"] == scaling)]
    first, last = (own.loc[own["epoch"] == epoch, "barrier_in_basin"] for epoch in (FIRST, LAST))
    return (
        f"{interval(first, 2)} to {interval(last, 2)} nats with {scaling} images (printed {_printed(model, scaling)})"
    )


def _printed(model: str, scaling: str) -> str:
    table = printed_table("table_viii")
    chosen = (table["model"] == model) & (table["normalization"] == scaling) & (table["batch_size"] == 1024)
    row = table[chosen].iloc[0]
    return f"{row['barrier_mean']:.2f} +- {row['barrier_std']:.2f}"


def _by_epoch(barriers: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (model, scaling, epoch), own in barriers.groupby([*CONDITION, "epoch"], sort=True):
        rows.append(
            {
                "network": f"`{model}`",
                "scaling": scaling,
                "epochs": int(epoch),
                "n": len(own),
                "barrier, eq. 1 (nats)": spread(own["barrier"], 3),
                "over the chord (nats)": spread(own["barrier_over_chord"], 3),
                "in the basin (nats)": spread(own["barrier_in_basin"], 3),
                "error barrier (%)": spread(100 * own["error_barrier"], 1),
                "accuracy delta (points)": spread(100 * own["accuracy_delta"], 1, "+"),
                "angle (degrees)": number(own["angle_deg"].mean(), 1),
                "connected": of((own["connected"] == "yes").sum(), len(own)),
            }
        )
    return pd.DataFrame(rows)


def _differences(barriers: pd.DataFrame) -> pd.DataFrame:
    """Judge every definition: does the barrier rise from the first to the last of the two epochs?"""
    rows = []
    for (model, scaling), own in barriers.groupby(CONDITION, sort=True):
        row = {"network": f"`{model}`", "scaling": scaling}
        for name, (head, scale) in {
            "barrier": ("eq. 1 (nats)", 1),
            "barrier_over_chord": ("over the chord (nats)", 1),
            "barrier_in_basin": ("in the basin (nats)", 1),
            "error_barrier": ("of the error (%)", 100),
        }.items():
            change = scale * _changes(own, name)[str(model), str(scaling)]
            row[head] = f"{_word(change)}: {interval(change, 3 if scale == 1 else 1, '+')}"
        connected = (own["connected"] == "yes").groupby(own["epoch"]).mean()
        row["verdict"] = "flips" if connected[FIRST] > 0.5 >= connected[LAST] else "stays"
        rows.append(row)
    return pd.DataFrame(rows)


def _changes(barriers: pd.DataFrame, name: str) -> dict[tuple[str, str], "pd.Series[float]"]:
    """Compute by how much a barrier changes from the first to the last of the two epochs: of each network, by seed."""
    found = {}
    for (model, scaling), own in barriers.groupby(CONDITION, sort=True):
        table = own.pivot_table(index="seed", columns="epoch", values=name)
        found[str(model), str(scaling)] = (table[LAST] - table[FIRST]).dropna()
    return found


def _word(change: "pd.Series[float]") -> str:
    low, _, high = bounds(change)
    return "rises" if low > 0 else "falls" if high < 0 else "undecided"


def _accuracies(runs: ShippedRuns) -> pd.DataFrame:
    """Put training accuracies beside the printed ones, at the epochs that were kept."""
    trained, printed = _trained(runs), printed_table("app_g")
    rows = []
    for (model, scaling), own in trained.groupby(CONDITION, sort=True):
        row = {"network": f"`{model}`", "scaling": scaling}
        for epoch in (FIRST, 50, 100, 200, LAST):
            row[f"{epoch} epochs (%)"] = spread(own.loc[own["epoch"] == epoch, "accuracy"], 1)
        theirs = printed[(printed["model"] == model) & (printed["normalization"] == scaling)]
        row["printed (%)"] = "" if theirs.empty else f"{theirs['train_accuracy_pct'].iloc[0]:g}"
        rows.append(row)
    return pd.DataFrame(rows)


def _figure(runs: ShippedRuns) -> Figure:
    return plots.barrier_by_epoch(runs.table(query.barriers_by_epoch))


FIGURES = {"results_training_length.png": _figure}
