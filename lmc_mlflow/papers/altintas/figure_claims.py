"""Claims of Altintas et al. that are behind figures: slope (Fig. 1), layer type (2), data set (3), Adam (5)."""

import functools
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import pandas as pd

from lmc_mlflow.findings.comparisons import contrast, describe_difference, describe_measures, equal_but_for, sample
from lmc_mlflow.findings.differences import Estimate, contrast_of
from lmc_mlflow.findings.evidence import Claim, ConditionTables, Evidence
from lmc_mlflow.findings.families import shape_and_slope
from lmc_mlflow.findings.thresholds import EQUIVALENT_WITHIN, NEGLIGIBLE
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.papers.altintas.acceptance_claims import label
from lmc_mlflow.papers.altintas.error_conditions import order_alone
from lmc_mlflow.papers.commands import sweep_command

NUM_CLASSES = {"mnist": 10, "cifar10": 10, "cifar100": 100, "tiny_imagenet": 200}
"""Data sets of the figures, from the simplest to the most complex -> number of classes."""
COMPLEXITY = tuple(NUM_CLASSES)
TIMES_CHANCE = 4
"""Networks that are not this much more accurate than a guess decide nothing: `learnt` compares a network with its like,
and a rate at which all seeds of a deep network stay near chance would pass there."""
DENSE, SHARED = "patches_dense", "patches_conv"
"""The layer without and the one with shared weights, over the same patches (Fig. 2)."""
MARGIN, EQUIVALENT = NEGLIGIBLE["error_barrier"], EQUIVALENT_WITHIN["error_barrier"]
_DATASET = ("dataset", "data_digest")
_SAYS = "test", "accuracy"


def slope_lowers_the_barrier(tables: ConditionTables) -> Evidence:
    """Collect evidence that the error barrier of leaky ReLUs is lower at their highest slope than at their lowest."""
    evidence = Evidence()
    for _, curve in _curves_by_slope(tables):
        low, high = curve.iloc[0], curve.iloc[-1]
        found = contrast(low, high, "test")
        text = f"{label(low, ('model',))}, {_curve_text(curve)}; lower by {found.text(2, ' %')}, margin {MARGIN:g} %"
        evidence.add(found.direction(MARGIN), text, _runs(low, high))
    return evidence


def slope_matters_more_in_deep_networks(tables: ConditionTables) -> Evidence:
    """Collect evidence that between the same two slopes the error barrier falls further in the deeper network."""
    evidence = Evidence()
    by_setting: dict[str, list[pd.DataFrame]] = {}
    for setting, curve in _curves_by_slope(tables):
        by_setting.setdefault(setting, []).append(curve)
    for curves in by_setting.values():
        ordered = sorted(curves, key=lambda curve: curve["depth"].iloc[0])
        shallow, deep = ordered[0], ordered[-1]
        slopes = sorted(set(shallow["slope"]) & set(deep["slope"]))
        if deep["depth"].iloc[0] > shallow["depth"].iloc[0] and len(slopes) > 1:
            ends = [_at(curve, slope) for curve in (deep, shallow) for slope in (slopes[0], slopes[-1])]
            found = contrast_of((1, -1, -1, 1), [sample(row, "test") for row in ends])
            falls = [contrast(first, last, "test").text(2, " %") for first, last in (ends[2:], ends[:2])]
            text = f"{label(ends[0], ('model',))}, from slope {slopes[0]:g} to {slopes[-1]:g}: "
            text += f"{shallow['shape'].iloc[0]} falls by {falls[0]}, {deep['shape'].iloc[0]} by {falls[1]}; "
            text += f"further by {found.text(2, ' %')}, margin {MARGIN:g} %"
            evidence.add(found.direction(MARGIN), text, _runs(*ends))
    return evidence


def layer_types_differ(tables: ConditionTables) -> Evidence:
    """Collect evidence that two layers over the same patches can have different error barriers.

    A comparison speaks for it by Welch's interval, and against it where two one-sided tests find no difference.
    """
    evidence = Evidence("can")
    for part in _of_layers(tables):
        for first, second in combinations([row for _, row in part.iterrows()], 2):
            found = contrast(first, second, "test")
            way, same = found.direction(MARGIN), found.no_difference(EQUIVALENT)
            evidence.add(None if way is None else 1 if way else -1 if same == 1 else 0, *_layers(first, second, found))
    return evidence


def shared_weights_raise_the_barrier(tables: ConditionTables) -> Evidence:
    """Collect evidence that the convolution has a higher error barrier than the dense layer over the same patches."""
    evidence = Evidence()
    for part in _of_layers(tables):
        by_model = part.set_index("model", drop=False)
        if {DENSE, SHARED} <= set(by_model.index):
            dense, shared = by_model.loc[DENSE], by_model.loc[SHARED]
            found = contrast(shared, dense, "test")
            evidence.add(found.direction(MARGIN), *_layers(dense, shared, found))
    return evidence


def complex_data_raise_the_barrier(tables: ConditionTables, optimizer: str, datasets: tuple[str, ...]) -> Evidence:
    """Collect evidence that MLPs have a higher normalized error barrier on the more complex of two data sets.

    Each data set is compared with the next more complex one that the same networks were trained on.

    Args:
        tables: whose conditions are compared.
        optimizer: of the networks.
        datasets: in the order of their complexity.
    """
    rows = _above_chance(tables)
    rows = rows[(rows["optimizer"] == optimizer) & rows["dataset"].isin(list(datasets))]
    rows = rows[_are_relu_mlps(rows) & rows["test_normalized"].notna()]
    evidence = Evidence()
    for part in equal_but_for(rows, _DATASET):
        ordered = part.assign(_order=part["dataset"].map(datasets.index)).sort_values("_order")
        for (_, simple), (_, rich) in pairwise(ordered.iterrows()):
            if simple["dataset"] != rich["dataset"]:
                found = contrast(rich, simple, "test_normalized")
                numbers = [f"{row['dataset']} {_numbers(row)}" for row in (simple, rich)]
                text = f"{label(simple, ('dataset',))}: {', '.join(numbers)}; "
                text += describe_difference(found, "test_normalized", MARGIN)
                evidence.add(found.direction(MARGIN), text, _runs(simple, rich))
    return evidence


def _above_chance(tables: ConditionTables) -> pd.DataFrame:
    """Select the paper's conditions whose accuracy is above chance, `TIMES_CHANCE` times; unknown numbers pass."""
    rows = order_alone(tables.enough_errors)
    least = TIMES_CHANCE * 100 / pd.to_numeric(rows["dataset"].map(NUM_CLASSES), errors="coerce")
    accuracy = pd.to_numeric(rows["accuracy"], errors="coerce")
    return rows[~(accuracy <= least)]


def _curves_by_slope(tables: ConditionTables) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield settings as text, and the conditions of one shape by slope; two or more slopes, trained by SGD."""
    rows = _above_chance(tables)
    rows = rows[rows["optimizer"] == "sgd"]
    found = [shape_and_slope(str(model)) for model in rows["model"]]
    rows = rows.assign(shape=[one.shape for one in found], slope=[one.slope for one in found])
    rows = rows.assign(depth=[one.depth for one in found])
    for number, part in enumerate(equal_but_for(rows[rows["shape"] != ""], ("model",))):
        for _, curve in part.groupby("shape", sort=True):
            if curve["slope"].nunique() > 1:
                widths = facts_of(str(curve["model"].iloc[0])).widths_text
                yield f"{number} {widths}", curve.sort_values("slope")


def _curve_text(curve: pd.DataFrame) -> str:
    low, high = curve.iloc[0], curve.iloc[-1]
    ends = [f"slope {row['slope']:g}: {describe_measures(row, *_SAYS)}" for row in (low, high)]
    return f"{low['shape']}, {len(curve)} slopes: {', '.join(ends)}"


def _at(curve: pd.DataFrame, slope: float) -> Any:
    return curve[curve["slope"] == slope].iloc[0]


def _of_layers(tables: ConditionTables) -> Iterator[pd.DataFrame]:
    rows = _above_chance(tables)
    yield from equal_but_for(rows[[facts_of(str(model)).family == "patches" for model in rows["model"]]], ("model",))


def _layers(first: Any, second: Any, found: Estimate) -> tuple[str, tuple[str, ...]]:
    """Write a comparison of two layers, with its runs."""
    numbers = [f"{row['model']} {describe_measures(row, *_SAYS)}" for row in (first, second)]
    text = f"{label(first, ('model',))}: {', '.join(numbers)}; {describe_difference(found, 'test', MARGIN)}"
    return text, _runs(first, second)


def _are_relu_mlps(rows: pd.DataFrame) -> "pd.Series[bool]":
    facts = [facts_of(str(model)) for model in rows["model"]]
    return pd.Series([one.family == "MLP" and not one.variant for one in facts], rows.index, dtype=bool)


def _numbers(row: Any) -> str:
    return describe_measures(row, "test_normalized", "accuracy")


def _runs(*rows: Any) -> tuple[str, ...]:
    return tuple(run_id for row in rows for run_id in row["run_ids"])


_ORDER = "the order being the only noise"
FIGURE_CLAIMS = (
    Claim(
        "D-06a",
        f"The error barrier of MLPs with leaky ReLUs and SGD falls from ReLU towards linear (Fig. 1), {_ORDER}",
        slope_lowers_the_barrier,
        f"`{sweep_command('altintas_fig_1')}`",
    ),
    Claim(
        "D-06b",
        "From ReLU towards linear the error barrier falls further in the deeper network (Fig. 1)",
        slope_matters_more_in_deep_networks,
        f"`{sweep_command('altintas_fig_1')}`",
    ),
    Claim(
        "D-12a",
        f"Dense, locally connected, convolutional and attention layers can differ in error barrier (Fig. 2), {_ORDER}",
        layer_types_differ,
        f"`{sweep_command('altintas_fig_2')}`",
    ),
    Claim(
        "D-12b",
        "A convolution has a higher error barrier than a dense layer over the same patches (Fig. 2)",
        shared_weights_raise_the_barrier,
        f"`{sweep_command('altintas_fig_2')}`",
    ),
    Claim(
        "D-16",
        "MLPs trained by SGD have a higher normalized error barrier on more complex data: MNIST, CIFAR-10, CIFAR-100, "
        "Tiny ImageNet (Fig. 3)",
        functools.partial(complex_data_raise_the_barrier, optimizer="sgd", datasets=COMPLEXITY),
        f"`{sweep_command('altintas_fig_3')}`",
    ),
    Claim(
        "D-20",
        "MLPs trained by Adam have a higher normalized error barrier on CIFAR-10 than on MNIST (Fig. 5)",
        functools.partial(complex_data_raise_the_barrier, optimizer="adam", datasets=COMPLEXITY[:2]),
        f"`{sweep_command('altintas_fig_5')}`",
    ),
)
