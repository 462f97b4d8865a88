"""The table of networks without their redundant units, by width before, beside the permutation slides (P-14)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import RUN, PruneCommandConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.findings.condition_table import KEYS, Frames, condition_texts, key_text, with_columns
from lmc_mlflow.findings.differences import Sample
from lmc_mlflow.papers.cell_conditions import condition_words
from lmc_mlflow.papers.marks import NO_DATA
from lmc_mlflow.papers.permutation.zoo_table import NAMED, NETWORKS, compare
from lmc_mlflow.papers.printed import printed_table

MEASURES = {
    "width": ("units/layer_1", "reduced_width", 0.005),
    "test loss": ("test/loss", "test_loss", 0.0005),
    "test accuracy": ("test/accuracy", "test_accuracy", 0.0005),
}
"""What is compared -> our column, the beginning of the printed one, half a unit of its last digit."""
RULES = ("drop_dead", "merge_cosine", "merge_to", "drop_below")
"""Settings of `prune` that say which units are redundant; they make a condition too."""


def reduced_table(frames: Frames, min_seeds: int) -> pd.DataFrame:
    """Compute one row for each printed width and measure, of the pruned networks of the zoo.

    Every network counts by itself, as in `zoo_table`. The condition and rules with most networks fill a row. A network
    that was pruned twice by the same rules, with its units in other places, counts once. The slides do not say how they
    prune, so the rules behind a row are named in it.

    Args:
        frames: as `condition_table.prepare` returns them.
        min_seeds: fewer networks are no data yet.
    """
    rows = with_columns(frames.pruned, (*KEYS, "init", "endpoint", *RULES))
    known = {column for column, _, _ in MEASURES.values()}
    rows = rows.iloc[:0].assign(**dict.fromkeys(known, 0.0)) if not known <= set(rows) else rows
    rows = rows[(rows["shift"] == "none") & (rows["init"] == "different")]
    texts = [condition_texts(rows), *(rows[name].map(key_text) for name in RULES)]
    rows = rows.assign(condition=["|".join(parts) for parts in zip(*texts, strict=True)])
    rows = rows.drop_duplicates(["condition", "endpoint"])
    printed = printed_table("permutation_model_zoo")
    found = []
    for line in printed[printed["config"] == "reduced"].to_dict("records"):
        of_width = rows[(rows["dataset"] == line["dataset"]) & (rows["model"] == f"mlp_l1_w{line['width']}")]
        chosen = of_width["condition"].value_counts()
        mine = of_width[of_width["condition"] == chosen.index[0]] if len(chosen) else of_width
        found += [_row(line, measure, mine, min_seeds) for measure in MEASURES]
    return pd.DataFrame(found)


def _row(line: dict[Any, Any], measure: str, mine: pd.DataFrame, min_seeds: int) -> dict[str, Any]:
    column, beginning, rounding = MEASURES[measure]
    theirs = Sample(float(line[f"{beginning}_mean"]), float(line[f"{beginning}_std"]), NETWORKS[line["dataset"]])
    found = compare(mine[column], theirs, rounding, min_seeds)
    return {
        "dataset": line["dataset"],
        "width_before": int(line["width"]),
        "measure": measure,
        **found,
        "rules": _rules(mine.iloc[0]) if len(mine) else "",
        "condition": condition_words(mine.iloc[0], NAMED) if len(mine) else "",
        "command": _command(line) if found["mark"] == NO_DATA else "",
        "run_ids": " ".join(sorted(mine["run_id"])),
    }


def _rules(row: "pd.Series[Any]", names: Sequence[str] = RULES) -> str:
    """Name the rules by which networks were pruned: those that are not the default, or that all are."""
    usual = {name: parameters(PruneCommandConfig)[name].default for name in names}
    changed = [f"{name} {key_text(row[name])}" for name in names if key_text(row[name]) != key_text(usual[name])]
    return ", ".join(changed) or "default"


def _command(line: dict[Any, Any]) -> str:
    model = f"mlp_l1_w{line['width']}"
    sweep = f"{RUN} sweep -P grid={line['dataset']}_zoo -P only=model={model}"
    return f'{sweep} && {RUN} prune -P query=\'tags."{Tag.MODEL}" = "{model}"\' -P heat_maps=false'
