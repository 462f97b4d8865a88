"""Linear mode connectivity under data shifts: trains, measures and compares networks, and logs all to MLflow.

`import lmc_mlflow as lmc; pair = lmc.train_pair(shift="label_2080"); lmc.interpolate(pair).connected`. The functions
stand in `lmc_mlflow.api`; they are loaded when they are first asked for.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
FUNCTIONS = (
    "adopt",
    "align",
    "curvature",
    "diagnose",
    "ensemble",
    "interpolate",
    "interpolate_epochs",
    "interpolate_layers",
    "matrix",
    "network",
    "options",
    "pair",
    "plane",
    "prune",
    "publish",
    "star",
    "train_pair",
    "train_pairs",
    "trajectory",
)
"""Names of `lmc_mlflow.api`."""
ROOMS = ("plots", "query")
"""Rooms that a notebook reads from."""
__all__ = [*FUNCTIONS, *ROOMS]


def __getattr__(name: str) -> Any:
    """Load a function, or a room, when it is first asked for."""
    if name in FUNCTIONS:
        return getattr(importlib.import_module("lmc_mlflow.api"), name)
    if name in ROOMS:
        return importlib.import_module(f"lmc_mlflow.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
