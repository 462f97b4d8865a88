"""Tables of pairs.md and ensembles.md."""

from typing import Any

import pandas as pd

from analysis.result_pages.numbers import Tables, either, spread
from lmc_mlflow import query
from lmc_mlflow.papers.printed import printed_table

NAMES = {"mnist": "MNIST", "imagefolder": "CIFAR-10"}
PAGE_SEEDS = (1, 20)
PAIRS = {
    ("mnist", "mlp_l1_w587", "label_5050", "centered"): "0.00 +- 0.00, +0.02 +- 0.07",
    ("mnist", "mlp_l1_w587", "label_2080", "centered"): "not in its tables",
    ("imagefolder", "mlp_l1_w126", "label_5050", "half"): "0.08 +- 0.02, +0.98 +- 0.39",
    ("imagefolder", "mlp_l1_w126", "label_5050", "centered"): 'the same: "centered" is not defined',
    ("imagefolder", "mlp_l1_w126", "label_5050", "unit"): "0.74 +- 0.43, -15.69 +- 6.63",
}
"""Data set, network, shift and scaling of a row of pairs.md -> what the paper prints for it."""
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
"""Row of ensembles.md -> our score, its scale, its decimals."""
PRINTED = {
    "wrong_agreement": "wrong agreement",
    "wrong_disagreement": "wrong disagreement",
    "majority_vote_accuracy_pct": "majority vote (%)",
    "mean_prediction_accuracy_pct": "averaged prediction (%)",
}
"""Metric of the printed Table III -> row of ensembles.md."""
NUM_PRINTED = {"lmc": "5 to 10", "seeds": "2"}
"""Ensembles behind a printed mean."""


def pairs_tables() -> Tables:
    """Compute the table of pairs.md: one row a seed, one of the five seeds, two of seeds 1 and 20 of one side."""
    paths, ends = query.paths(), query.endpoints()
    within = paths[paths["pair"] != ""]
    rows = []
    for (dataset, model, shift, scaling), printed in PAIRS.items():
        keep = (within["dataset"] == dataset) & (within["shift"] == shift) & (within["normalization"] == scaling)
        own = within[keep & (within["bn"] == "interpolate")].sort_values("seed")
        accuracy = own["pair"].map(100 * ends.groupby("pair")["test/accuracy"].mean())
        name = f"{NAMES[dataset]} `{model}`"
        for seed in PAGE_SEEDS:
            chosen = own["seed"] == seed
            rows.append(_pair_row([name, f"`{shift}`", scaling, seed], own[chosen], accuracy[chosen], printed))
            name, printed = "", ""
        if len(own) > len(PAGE_SEEDS):
            rows.append(_pair_row([name, "", "", f"all {len(own)}"], own, accuracy, printed))
    for dataset in NAMES:
        one = paths[(paths["pair"] == "") & (paths["dataset"] == dataset)]
        rows.append(
            _pair_row([f"{NAMES[dataset]}, side A of seeds 1 and 20", "`label_5050`", "centered", ""], one, None, "")
        )
    return {"pairs": pd.DataFrame(rows)}


def _pair_row(
    named: list[Any], paths: pd.DataFrame, accuracy: "pd.Series[float] | None", printed: str
) -> dict[str, Any]:
    row = dict(zip(("data, network", "shift", "scaling", "seed"), named, strict=True))
    row["test accuracy"] = "" if accuracy is None else f"{spread(accuracy, 2)} %"
    for head, column, scale, decimals, sign in (
        ("barrier", "test/barrier", 1, 3, ""),
        ("in basin", "test/barrier_in_basin", 1, 3, ""),
        ("delta", "test/accuracy_delta", 100, 2, "+"),
        ("side A: delta", "train_a/accuracy_delta", 100, 2, "+"),
        ("angle", "angle_deg", 1, 1, ""),
    ):
        row[head] = spread(scale * paths[column], decimals, sign)
    for head, column in (("connected", "connected"), ("by interval", "connected_interval")):
        words = paths[column].value_counts()
        row[head] = ", ".join(
            f"{word} ({n} of {len(paths)})" if len(paths) > 1 else str(word) for word, n in words.items()
        )
    return row | {"paper: barrier, delta": printed}


def ensembles_tables() -> Tables:
    """Compute the table of ensembles.md."""
    ensembles = query.ensembles()
    groups = {
        "LMC, 5 points": ensembles[(ensembles["sampling"] == "lmc") & (ensembles["num_members"] == 5)],
        "LMC, 21 points": ensembles[(ensembles["sampling"] == "lmc") & (ensembles["num_members"] == 21)],
        "seeds, 5 networks": ensembles[ensembles["sampling"] == "seeds"],
    }
    rows = {"n (ensembles)": {head: str(len(found)) for head, found in groups.items()}}
    for name, (column, scale, decimals) in SCORES.items():
        rows[name] = {head: spread(scale * found[column], decimals) for head, found in groups.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    printed = printed_table("table_iii")
    printed = printed[printed["model"] == "mlp_l1_w126"]
    for sampling, head in (("lmc", "LMC, paper"), ("seeds", "seeds, paper")):
        own = printed[printed["sampling"] == sampling].set_index("metric")
        values = {
            PRINTED[str(name)]: either(row["mean"], row["std"], 3 if row["mean"] < 1 else 2)
            for name, row in own.iterrows()
        }
        table[head] = table.index.map({"n (ensembles)": NUM_PRINTED[sampling], **values}).fillna("")
    table = table[["LMC, paper", "LMC, 5 points", "LMC, 21 points", "seeds, paper", "seeds, 5 networks"]]
    return {"ensembles": table.rename_axis("").reset_index()}
