"""Tables I and III of Hepburn et al., from logged ensembles, beside the printed numbers."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.condition_table import KEYS, POLICIES, Frames, condition_texts, with_columns
from lmc_mlflow.findings.differences import Sample
from lmc_mlflow.findings.families import family_of
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.papers.cell_conditions import condition_words
from lmc_mlflow.papers.commands import sweep_command, train_command
from lmc_mlflow.papers.hepburn.ensemble_groups import (
    EnsembleGroup,
    comparable_ensembles,
    match_sizes,
    select_sampling,
)
from lmc_mlflow.papers.hepburn.tables import REQUIRED, SCALINGS
from lmc_mlflow.papers.marks import NO_DATA, mark
from lmc_mlflow.papers.printed import CELL, printed_table

TABLE_III = {"dataset": "cifar10", "shift": "label_5050"}
METRICS = {
    "wrong_agreement": ("wrong_agreement", 1, 0.0005),
    "wrong_disagreement": ("wrong_disagreement", 1, 0.0005),
    "majority_vote_accuracy_pct": ("majority_vote_accuracy", 100, 0.005),
    "mean_prediction_accuracy_pct": ("mean_prediction_accuracy", 100, 0.005),
}
"""Metric of Table III -> our score, its scale, half a unit of the last digit printed."""
NUM_ENSEMBLES = {"lmc": 5, "seeds": 2}
"""Ensembles behind the printed means ("5 to 10" and 2: one a side)."""
RECIPES = {
    "LMC, B <= 512": ("lmc", 0, 512, "2 models, LR <= 1e-3; stable or after re-basin, flat, better generalization"),
    "LMC, B > 512": ("lmc", 513, math.inf, "2 models, LR <= 1e-3; stable, sharp, poorer generalization"),
    "seeds, B <= 512": ("seeds", 0, 512, "N models, LR as required; greater diversity, flat, better generalization"),
}
"""Row of Table I -> sampling, smallest and largest batch size, what the paper says of it."""
MAX_LMC_LR = 1e-3
SHARPNESS = ("eigenvalue", "adaptive_sharpness")
"""What Table I calls flat and sharp, measured by `curvature`: means over the networks of its condition."""


def table_iii(frames: Frames, min_n: int) -> pd.DataFrame:
    """Compute Table III: one row a network, sampling, metric and batch-norm policy (seeds have none).

    A network's row comes from one condition: the one with most ensembles of both kinds. Ensembles of paths
    have as many members as those of seeds where such ensembles are logged. `same conclusion` means that the
    seeds lie on the same side of the path's points as in the paper.

    Args:
        frames: as `condition_table.prepare` returns them.
        min_n: fewer ensembles than this are no data yet.
    """
    given = printed_table("table_iii")
    rows = []
    for model, part in given.groupby("model", sort=False):
        for policy in POLICIES if has_batch_norm(str(model)) else POLICIES[:1]:
            lmc, seeds = _groups_of(frames, str(model), policy)
            for sampling, mine in (("lmc", lmc), ("seeds", seeds)):
                if sampling == "lmc" or policy == POLICIES[0]:
                    theirs = part[part["sampling"] == sampling]
                    rows += [_row(line, policy, mine, (lmc, seeds), part, min_n) for _, line in theirs.iterrows()]
    return pd.DataFrame(rows)


def _groups_of(frames: Frames, model: str, policy: str) -> tuple[EnsembleGroup, EnsembleGroup]:
    rows = comparable_ensembles(frames.ensembles)
    if rows.empty:
        return match_sizes(rows, policy)
    keep = (rows["model"] == model) & rows["normalization"].isin(SCALINGS["centered"]) & (rows["noise"] == "same")
    for name, value in {**TABLE_III, **REQUIRED}.items():
        keep &= rows[name].isin([value, ""]) | (rows[name].isna() if value == "" else False)
    found = [match_sizes(part, policy) for _, part in rows[keep].groupby("condition", sort=True)]
    return max(
        found, key=lambda two: (min(g.n for g in two), two[0].n + two[1].n), default=match_sizes(rows[:0], policy)
    )


def _row(
    line: "pd.Series[Any]",
    policy: str,
    mine: EnsembleGroup,
    both: tuple[EnsembleGroup, EnsembleGroup],
    part: pd.DataFrame,
    min_n: int,
) -> dict[str, Any]:
    score, scale, rounding = METRICS[line["metric"]]
    values = scale * mine.scores(score)
    ours = Sample(float(values.mean()), float(values.std(ddof=1)), len(values))
    theirs = Sample(float(line["mean"]), float(line["std"]), NUM_ENSEMBLES[line["sampling"]])
    means = part[part["metric"] == line["metric"]].set_index("sampling")["mean"]
    way = (both[1].scores(score).mean() - both[0].scores(score).mean()) * (means["seeds"] - means["lmc"])
    row = {"model": line["model"], "sampling": line["sampling"], "metric": line["metric"]}
    row |= {"bn": policy if line["sampling"] == "lmc" else "", "n": ours.n, "mean": ours.mean, "sd": ours.deviation}
    row |= {"paper_mean": theirs.mean, "paper_sd": theirs.deviation}
    row["mark"] = mark(ours, theirs, bool(way > 0), rounding, min_n)
    first = mine.rows.iloc[0] if len(mine.rows) else None
    row["num_members"] = "" if first is None else str(int(first["num_members"]))
    row["condition"] = "" if first is None else _condition(first)
    row["command"] = _command(row, policy) if row["mark"] == NO_DATA else ""
    return row | {"run_ids": " ".join(mine.run_ids)}


def _condition(row: "pd.Series[Any]") -> str:
    rates = [f"B {int(row['batch_size'])}, lr {float(row['lr']):g}"]
    return ", ".join(filter(None, [*rates, condition_words(row, (*CELL, *REQUIRED))]))


def _command(row: dict[str, Any], policy: str) -> str:
    settings = {"dataset": "cifar10", "model": row["model"], "batch_size": 1024, "shift": "label_5050"}
    train = train_command(settings | ({} if family_of(row["model"]) == "MLP" else {"lr": 1e-4}))
    if row["sampling"] == "seeds":
        return f"{train} && {RUN} ensemble -P runs=<run id>,<run id>"
    bn = "" if policy == POLICIES[0] else f" -P bn={policy}"
    return f"{train} && {RUN} ensemble -P pair=<pair run id> -P num_alphas=5{bn}"


def table_i(frames: Frames) -> pd.DataFrame:
    """Compute Table I: one row a recipe, data set and network that has ensembles.

    Of several conditions the one with most ensembles is shown. `networks` is how many are trained for one
    ensemble, `holds` the share of paths without a break on test data; `eigenvalue` and `adaptive_sharpness` are means
    over pairs of the same condition whose curvature was measured.
    """
    rows = comparable_ensembles(frames.ensembles)
    paths = frames.conditions[POLICIES[0]].set_index("condition")["holds"]
    found = pd.DataFrame([row for recipe in RECIPES for row in _recipe_rows(recipe, rows, paths)])
    sharpness = sharpness_by_condition(frames)
    for name in SHARPNESS:
        found.insert(len(found.columns) - 3, name, found["key"].map(sharpness[name]))
    return found.drop(columns="key")


def sharpness_by_condition(frames: Frames) -> pd.DataFrame:
    """Average the measured curvatures of the pairs of each condition: index condition, columns `SHARPNESS`."""
    measured, columns = frames.curvatures, [f"ends/{name}" for name in SHARPNESS]
    empty = pd.DataFrame(columns=list(SHARPNESS), dtype=float)
    if measured.empty or frames.pairs.empty:
        return empty
    pairs = with_columns(frames.pairs, KEYS)
    conditions = pd.Series(condition_texts(pairs).to_numpy(), index=pairs["run_id"])
    known = with_columns(measured, columns).sort_values("start_time")
    known = known.assign(condition=known["pair"].map(conditions)).dropna(subset=["condition"])
    if known.empty:
        return empty
    values = known.groupby(["condition", "pair"])[columns].last().astype(float)
    means: pd.DataFrame = values.groupby("condition").mean()
    return means.rename(columns=dict(zip(columns, SHARPNESS, strict=True)))


def _recipe_rows(recipe: str, rows: pd.DataFrame, holds: "pd.Series[float]") -> Iterator[dict[str, Any]]:
    sampling, least, most, says = RECIPES[recipe]
    fitting = select_sampling(rows, sampling, POLICIES[0])
    if len(fitting):
        fitting = fitting[(fitting["batch_size"] >= least) & (fitting["batch_size"] <= most)]
        fitting = fitting[fitting["lr"] <= MAX_LMC_LR] if sampling == "lmc" else fitting
    if fitting.empty:
        yield _recipe_row(recipe, says, "", "", None, float("nan"))
        return
    for (dataset, model), part in fitting.groupby(["dataset", "model"], sort=True):
        groups = [
            EnsembleGroup(same, same["pair" if sampling == "lmc" else "side"].nunique())
            for _, same in part.groupby(["condition", "num_members"], sort=True)
        ]
        best = max(groups, key=lambda group: group.n)
        share = float(holds.get(best.rows["condition"].iloc[0], float("nan")))
        yield _recipe_row(recipe, says, str(dataset), str(model), best, share)


def _recipe_row(
    recipe: str, says: str, dataset: str, model: str, best: EnsembleGroup | None, holds: float
) -> dict[str, Any]:
    row: dict[str, Any] = {"recipe": recipe, "paper": says, "dataset": dataset, "model": model}
    row["n"] = 0 if best is None else best.n
    members = 0 if best is None else int(best.rows["num_members"].iloc[0])
    row["num_members"] = members
    row["networks"] = 0 if best is None else (2 if recipe.startswith("LMC") else members)
    for name in ("wrong_agreement", "wrong_disagreement", "mean_prediction_accuracy", "member_accuracy"):
        scale = 100 if name.endswith("accuracy") else 1
        row[name] = float("nan") if best is None else scale * float(best.scores(name).mean())
    row["train_seconds"] = float("nan") if best is None else float(best.scores("cost/train_seconds").mean())
    row["holds"] = holds
    row["key"] = "" if best is None else best.rows["condition"].iloc[0]
    row["condition"] = "" if best is None else _condition(best.rows.iloc[0])
    row["command"] = sweep_command("table_iii") if best is None else ""
    return row | {"run_ids": "" if best is None else " ".join(best.run_ids)}
