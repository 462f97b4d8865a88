"""Numbers as the pages write them, and the report over the store of this process."""

import math
from collections.abc import Mapping

import pandas as pd

from lmc_mlflow.papers.report.content import Content, report_content
from lmc_mlflow.workflows.report.report import read_frames

MIN_SEEDS = 2
Tables = dict[str, pd.DataFrame]


def number(value: float, decimals: int, sign: str = "") -> str:
    """Write a number; a tie, of whatever last bit, is rounded away from zero."""
    return f"{value + math.copysign(1e-9, value):{sign}.{decimals}f}"


def either(mean: float, deviation: float, decimals: int, sign: str = "") -> str:
    """Write a mean, and the deviation that stands beside it in a table of the report if there is one."""
    text = number(mean, decimals, sign)
    return text if math.isnan(deviation) else f"{text} +- {number(deviation, decimals)}"


def spread(values: "pd.Series[float]", decimals: int, sign: str = "") -> str:
    """Write mean and sample deviation of some values; the deviation is left out where there is one value."""
    return either(float(values.mean()), float(values.std(ddof=1)), decimals, sign)


def shipped_content(stand_ins: Mapping[str, str]) -> Content:
    """Compute the content of the report over the store of this process."""
    return report_content(read_frames(()), stand_ins, MIN_SEEDS)
