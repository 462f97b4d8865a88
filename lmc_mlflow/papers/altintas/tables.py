"""Tables 1 to 4 of Altintas et al.: the store's numbers beside the printed ones."""

import math
from typing import Any

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.condition_table import (
    KEYS,
    Frames,
    condition_texts,
    key_text,
    with_columns,
)
from lmc_mlflow.findings.differences import Sample
from lmc_mlflow.findings.families import is_minimal, linear_layers
from lmc_mlflow.findings.thresholds import CONNECTED_BELOW_PCT
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.papers.altintas.error_conditions import SPLITS, STATED
from lmc_mlflow.papers.cell_conditions import choose_condition, condition_words, describe_others
from lmc_mlflow.papers.marks import AGREES, DIFFERS, NO_DATA, mark
from lmc_mlflow.papers.printed import printed_table

ROUNDING = 0.005
"""Half a unit of the last printed digit: percent with two decimals."""
PARAMETERS_M = {"patches_conv": 0.09, "patches_local": 0.48, "patches_dense": 25.26}
"""Table 3, in millions."""
EPOCHS = 200
"""Of every network of the paper."""
LAYERS = {2: "mlp_l1_w128", 4: "mlp_l3_w128", 8: "mlp_l7_w128"}
"""The paper's number of layers -> our network; one hidden layer is two layers there."""
DATASETS = ("mnist", "cifar10", "cifar100", "tiny_imagenet")
NOT_HELD = "not in this project"
"""In the place of a printed accuracy of which this project does not know the value."""
DEPENDS = "depends on the reading"
"""In the place of a mark that differs between two readings of a printed table."""
_NAMED = ("dataset", "shift", "noise", "optimizer", "lr", "batch_size", "warmup_epochs", "normalization", "test_split")
_PLAIN = {"warmup_epochs": "0", "clip_norm": "0", "schedule": "constant", "weight_decay": "0"}
"""What the paper varies elsewhere and leaves out in a table unless it says so."""


def linear_networks(conditions: pd.DataFrame, min_seeds: int) -> pd.DataFrame:
    """Compute Table 1: one row a printed cell and split.

    The paper gives no width, momentum, number of seeds or deviation. Any width is taken; a printed value counts as one
    value of a deviation like ours.

    Args:
        conditions: from `error_conditions`.
        min_seeds: fewer than this are no data yet.
    """
    rows = []
    for cell in printed_table("altintas_table_1").to_dict("records"):
        keep = conditions["model"].map(linear_layers) == cell["layers"]
        wanted = {name: cell[name] for name in ("batch_size", "optimizer", "lr")}
        found = _of(conditions[keep], STATED | _PLAIN | {"init": "same"} | wanted)
        named = {name: cell[name] for name in ("layers", "batch_size", "optimizer", "lr", "split")}
        model = "linear_l1" if cell["layers"] == 1 else f"linear_l{cell['layers']}_w128"
        rows.append(named | _cell(found, cell, {"model": model, **wanted}, min_seeds))
    return pd.DataFrame(rows)


def minimal_model(conditions: pd.DataFrame, min_seeds: int) -> pd.DataFrame:
    """Compute Table 2 as `linear_networks` computes Table 1, for networks with one hidden layer of any width."""
    rows = []
    one_hidden = conditions[conditions["model"].map(is_minimal).astype(bool)]
    for cell in printed_table("altintas_table_2").to_dict("records"):
        wanted = {name: cell[name] for name in ("optimizer", "lr")} | {"batch_size": 1024}
        warm = {"warmup_epochs": cell["warmup_epochs"]}
        found = _of(one_hidden, STATED | _PLAIN | {"init": "same"} | wanted | warm)
        named = {name: cell[name] for name in ("optimizer", "lr", "warmup_epochs", "split")}
        rows.append(named | _cell(found, cell, {"model": "mlp_l1_w128", **wanted, **warm}, min_seeds))
    return pd.DataFrame(rows)


def _of(conditions: pd.DataFrame, wanted: dict[str, Any]) -> pd.DataFrame:
    """Select the conditions with these settings; one that was not logged rules out nothing."""
    for name, value in wanted.items():
        conditions = conditions[conditions[name].map(key_text).isin([key_text(value), ""])]
    return conditions


def _cell(found: pd.DataFrame, cell: dict[Any, Any], settings: dict[str, Any], min_seeds: int) -> dict[str, Any]:
    chosen = choose_condition({"": found}, EPOCHS, min_seeds)
    mine = found[found["condition"] == chosen]
    n = int(mine["n"].iloc[0]) if len(mine) else 0
    split = cell["split"] if cell["split"] in SPLITS else "test"
    mean, deviation = (float(mine[c].iloc[0]) if n else float("nan") for c in (split, f"{split}_sd"))
    theirs = pd.to_numeric(cell["barrier_pct"], errors="coerce")
    same = (mean < CONNECTED_BELOW_PCT) == (theirs < CONNECTED_BELOW_PCT)  # what is unstable is not below
    verdict = mark(Sample(mean, deviation, n), Sample(float(theirs), float("nan"), 1), same, ROUNDING, min_seeds)
    return {
        "n": n,
        "error_barrier_pct": mean,
        "sd": deviation,
        "printed_pct": "unstable" if theirs != theirs else f"{theirs:.2f}",
        "mark": verdict,
        "condition": condition_words(mine.iloc[0], _NAMED) if n else "",
        "left_out": "; ".join(describe_others(found[found["condition"] != chosen], _NAMED)),
        "command": _command(settings) if verdict == NO_DATA else "",
        "run_ids": " ".join(mine["run_ids"].iloc[0]) if n else "",
    }


def _command(settings: dict[str, Any]) -> str:
    momentum = {"momentum": 0.9} if settings["optimizer"] == "sgd" else {}
    flags = STATED | settings | momentum | {"epochs": EPOCHS}
    given = " ".join(f"-P {name}={key_text(value)}" for name, value in flags.items() if key_text(value) != "0")
    return f"{RUN} train_pair {given} -P seeds=1,20,100 && {RUN} interpolate -P pair=<pair run id> -P num_alphas=11"


def patch_parameters() -> pd.DataFrame:
    """Compute Table 3: parameters of the three networks over patches, counted from the networks themselves."""
    rows = []
    for model, millions in PARAMETERS_M.items():
        count = num_parameters(build_network(NetworkSpec(model, 3, 32, 32, 10), seed=0))
        agrees = round(count / 1e6, 2) == millions
        rows.append(
            {
                "model": model,
                "parameters": count,
                "printed_millions": millions,
                "mark": AGREES if agrees else DIFFERS,
            }
        )
    return pd.DataFrame(rows)


def accuracies(frames: Frames, min_seeds: int) -> pd.DataFrame:
    """Compute Table 4: test accuracy by data set, depth and rate, beside the printed values of MNIST.

    Their column heads are not known, so each cell has the printed value of both readings (`altintas_table_4`). A mark
    is given where it is the same for both. *same conclusion* means that ours is higher than printed.

    Args:
        frames: as `condition_table.prepare` returns them.
        min_seeds: fewer than this are no data yet.
    """
    pairs = with_columns(frames.pairs, (*KEYS, "init"))
    pairs = pairs.assign(condition=condition_texts(pairs)) if len(pairs) else pairs.assign(condition="")
    printed = {tuple(row[:3]): tuple(row[3:]) for row in printed_table("altintas_table_4").to_numpy().tolist()}
    rows = []
    for dataset in DATASETS:
        for layers, model in LAYERS.items():
            for lr in (0.1, 0.01):
                wanted = {"dataset": dataset, "model": model, "optimizer": "sgd", "lr": lr, "batch_size": 1024}
                found = _of(pairs, {"shift": "none", "noise": "different", "init": "same"} | _PLAIN | wanted)
                theirs = printed.get((dataset, layers, lr), ())
                named = {"dataset": dataset, "layers": layers, "lr": lr}
                rows.append(named | _accuracy(found, wanted, theirs, min_seeds))
    return pd.DataFrame(rows)


def _accuracy(
    found: pd.DataFrame, settings: dict[str, Any], theirs: tuple[float, ...], min_seeds: int
) -> dict[str, Any]:
    found = found[found["test/accuracy"].notna()] if "test/accuracy" in found else found.iloc[:0]
    best = None
    if len(found):
        sizes = found.groupby("condition").agg(n=("seed", "nunique"), epochs=("epochs", "first"))
        sizes["as_printed"] = (pd.to_numeric(sizes["epochs"]) == EPOCHS) & (sizes["n"] >= min_seeds)
        best = sizes.sort_values(["as_printed", "n", "epochs"], ascending=False).index[0]
    mine = found[found["condition"] == best]
    by_seed = 100 * mine.groupby("seed")["test/accuracy"].mean() if len(mine) else pd.Series(dtype=float)
    n = len(by_seed)
    mean, deviation = float(by_seed.mean()) if n else math.nan, float(by_seed.std(ddof=1)) if n > 1 else math.nan
    ours, values = Sample(mean, deviation, n), dict.fromkeys(theirs)
    marks = {mark(ours, Sample(one, math.nan, 1), mean > one, ROUNDING, min_seeds) for one in values}
    return {
        "n": n,
        "accuracy_pct": mean,
        "sd": deviation,
        "printed_pct": " or ".join(f"{one:.2f}" for one in values) or NOT_HELD,
        "mark": marks.pop() if len(marks) == 1 else DEPENDS if marks else "",
        "condition": condition_words(mine.iloc[0], _NAMED) if len(mine) else "",
        "command": _command(settings) if n < min_seeds else "",
        "run_ids": " ".join(sorted(mine["run_id"])) if len(mine) else "",
    }
