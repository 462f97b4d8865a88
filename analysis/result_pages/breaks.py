"""Tables of breaks.md."""

from functools import partial

import pandas as pd

from analysis.result_pages.numbers import MIN_SEEDS, Tables, either, number, shipped_content
from lmc_mlflow.papers.claims import CLAIMS
from lmc_mlflow.papers.report.content import Content


def breaks_tables() -> Tables:
    """Compute the tables of breaks.md."""
    content = shipped_content({})
    return {
        "head_to_head": _head_to_head(content.tables["head_to_head"]),
        "altintas_table_2": _by_split(content.tables["altintas_table_2"], ["optimizer", "lr", "warmup_epochs"]),
        "altintas_table_1": _by_split(
            content.tables["altintas_table_1"], ["layers", "batch_size", "optimizer", "lr", "n"]
        ),
        "altintas_table_4": _accuracies(content.tables["altintas_table_4"]),
        "model_zoo": _zoo(content.tables["model_zoo"]),
        "claims": _claims(content),
    }


def _head_to_head(table: pd.DataFrame) -> pd.DataFrame:
    small, large = (table[f"batch_{size}"].iloc[0] for size in ("small", "large"))
    columns = {
        "source of noise": table["source"],
        "network": "`" + table["model"] + "`",
        "optimizer, rate": table["optimizer"] + ", " + table["lr"].map("{:g}".format),
        f"error barrier (%), batch {small}": table["error_pct_small"].map(partial(number, decimals=2)),
        f"batch {large:,}": table["error_pct_large"].map(partial(number, decimals=2)),
        f"barrier (nats), batch {small}": table["barrier_small"].map(partial(number, decimals=4)),
        f"batch {large:,} ": table["barrier_large"].map(partial(number, decimals=4)),
        "by error, larger batches": table["error_says"].str.removeprefix("larger batches: "),
        "by loss": table["loss_says"].str.removeprefix("larger batches: "),
    }
    return pd.DataFrame(columns)


def _by_split(table: pd.DataFrame, named: list[str]) -> pd.DataFrame:
    """Put error barriers on test and training data of one printed condition side by side."""
    rows = []
    for keys, part in table[table["n"] >= MIN_SEEDS].groupby(named, sort=False):
        row = dict(zip(named, keys, strict=True)) | {}
        for split in ("test", "train"):
            one = part[part["split"] == split].iloc[0]
            head = "error barrier, test (%)" if split == "test" else "train (%)"
            row |= {head: either(one["error_barrier_pct"], one["sd"], 2), f"printed, {split}": one["printed_pct"]}
        rows.append(row)
    heads = {"lr": "rate", "warmup_epochs": "warm-up epochs", "batch_size": "batch size"}
    return pd.DataFrame(rows).rename(columns=heads)


def _accuracies(table: pd.DataFrame) -> pd.DataFrame:
    found = table[table["n"] >= MIN_SEEDS]
    columns = {
        "data set": found["dataset"],
        "layers": found["layers"],
        "rate": found["lr"],
        "n": found["n"],
        "test accuracy (%)": [either(mean, sd, 2) for mean, sd in found[["accuracy_pct", "sd"]].to_numpy()],
        "printed": found["printed_pct"],
        "epochs": found["condition"].str.extract(r"(\d+) epochs", expand=False),
    }
    return pd.DataFrame(columns)


def _zoo(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (dataset, width), part in table[table["networks"] > 0].groupby(["dataset", "width"], sort=False):
        row = {"data set": dataset, "width": width, "networks": part["networks"].iloc[0]}
        for measure in ("test loss", "test accuracy"):
            one = part[part["measure"] == measure].iloc[0]
            row |= {measure: either(one["mean"], one["sd"], 3)}
            row |= {f"printed, {measure.split()[1]}": either(one["printed_mean"], one["printed_sd"], 3)}
        rows.append(row)
    return pd.DataFrame(rows)


def _claims(content: Content) -> pd.DataFrame:
    rows = []
    for claim in CLAIMS:
        verdict = content.verdicts[claim.name]["interpolate"]
        if verdict.answer != "insufficient":
            said = f"{verdict.answer}: {verdict.sentence.split(';')[0]}"
            rows.append({"claim": claim.name, "": claim.sentence, "verdict": said})
    return pd.DataFrame(rows)
