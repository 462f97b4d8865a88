"""Claims on how far networks are trained: the trend of Fig. 16 and the training accuracies of Appendix G."""

import dataclasses
import functools
import math
from typing import Any

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.comparisons import (
    EPOCHS,
    contrast,
    describe_condition,
    describe_difference,
    describe_measures,
    ended_by,
    equal_but_for,
    estimate,
    with_architecture,
)
from lmc_mlflow.findings.condition_table import key_text
from lmc_mlflow.findings.differences import Estimate
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.thresholds import NEGLIGIBLE
from lmc_mlflow.papers.commands import sweep_command, train_command
from lmc_mlflow.papers.printed import printed_table

APPENDIX_G = {"dataset": "cifar10", "model": "mlp_l1_w126", "shift": "label_5050", "lr": 0.001, "batch_size": 1024}
"""The networks whose training accuracy is printed."""
PRINTED_ACCURACY = {
    str(row["normalization"]): float(row["train_accuracy_pct"]) for row in printed_table("app_g").to_dict("records")
}
"""Scaling -> training accuracy in percent that Appendix G prints: the only printed anchor on the number of epochs."""
NEAR = 3.0
"""Percentage points within which a training accuracy is the printed one."""
AXES = {"batch_size": "batch size", "lr": "learning rate"}


def mlps_trend_the_other_way(tables: ConditionTables, axis: str) -> Evidence:
    """Collect evidence that the training loss of MLPs and of ResNets and VGGs changes in opposite directions.

    Args:
        tables: whose conditions are compared.
        axis: batch_size or lr; its smallest and largest value are compared, all else equal.
    """
    rows = with_architecture(ended_by(tables.enough, EPOCHS))
    rows = rows[rows["train_loss"].notna()]
    trends: dict[bool, list[tuple[Any, Any]]] = {True: [], False: []}
    for part in equal_but_for(rows[rows["family"].isin(["MLP", "ResNet", "VGG"])], (axis,)):
        ordered = part.sort_values(axis)
        ends = ordered.iloc[0], ordered.iloc[-1]
        trends[bool(ends[0]["family"] == "MLP")].append(ends)
    evidence = Evidence()
    for mlp in trends[True]:
        for deep in trends[False]:
            if mlp[0]["dataset"] == deep[0]["dataset"] and mlp[0]["shift"] == deep[0]["shift"]:
                ways = [_trend(*ends).direction(NEGLIGIBLE["train_loss"]) for ends in (mlp, deep)]
                text = " against ".join(_trend_text(*ends, axis) for ends in (mlp, deep))
                ids = [run_id for row in (*mlp, *deep) for run_id in row["run_ids"]]
                known = [way for way in ways if way is not None]
                evidence.add(-math.prod(known) if len(known) == len(ways) else None, text, ids)
    return evidence


def _trend(small: Any, large: Any) -> Estimate:
    return contrast(large, small, "train_loss")


def _trend_text(small: Any, large: Any, axis: str) -> str:
    ends = ", ".join(f"{axis} {row[axis]:g}: {describe_measures(row, 'train_loss')}" for row in (small, large))
    said = describe_difference(_trend(small, large), "train_loss", NEGLIGIBLE["train_loss"])
    return f"{describe_condition(small, (axis,))}: {ends}; {said}"


def reaches_printed_accuracy(tables: ConditionTables, normalization: str) -> Evidence:
    """Collect evidence that networks of Appendix G reach the printed training accuracy at some number of epochs.

    Two one-sided tests decide that a condition does; a whole interval beyond the margin, that it does not.

    Args:
        tables: whose conditions are searched.
        normalization: centered or unit.
    """
    rows, printed = tables.enough, PRINTED_ACCURACY[normalization]
    rows = rows[(rows["normalization"] == normalization) & (rows["optimizer"].map(key_text) == "adam")]
    for name, value in APPENDIX_G.items():
        rows = rows[rows[name].map(key_text) == key_text(value)]
    evidence = Evidence("can")
    for _, row in rows.iterrows():
        reached = estimate(row, "train_accuracy")
        away = dataclasses.replace(reached, value=reached.value - printed)
        text = f"{describe_condition(row)}: {describe_measures(row, 'train_accuracy')}, printed {printed:g} %, margin "
        evidence.add(away.no_difference(NEAR), f"{text}{NEAR:g} points", row["run_ids"])
    return evidence


def _acceptance(name: str, normalization: str) -> Claim:
    train = train_command(APPENDIX_G | {"normalization": normalization, "epochs": 400})
    return Claim(
        name,
        f"One hidden layer on CIFAR-10 ({normalization}, B 1024) is trained here as far as Appendix G prints: to "
        f"{PRINTED_ACCURACY[normalization]:g} % training accuracy, to {NEAR:g} points",
        functools.partial(reaches_printed_accuracy, normalization=normalization),
        f"three seeds or more: `{train} && {RUN} interpolate -P pair=<pair run id>`",
    )


TRAINING_LOSS_CLAIMS = (
    *(
        Claim(
            name,
            f"The final training loss of MLPs changes with the {AXES[axis]} in the direction opposite to that of "
            "ResNets and VGGs (Fig. 16)",
            functools.partial(mlps_trend_the_other_way, axis=axis),
            f"`{sweep_command('table_vi')}`",
        )
        for name, axis in (("H-51a", "batch_size"), ("H-51b", "lr"))
    ),
    _acceptance("H-62a", "centered"),
    _acceptance("H-62b", "unit"),
)
