"""Measures the share of time that a matrix of MLPs takes in two processes, each with as many threads as the one has."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.rounds import alternate
from lmc_mlflow.config.commands import MatrixConfig, TrainPairConfig
from lmc_mlflow.config.data import DataConfig, ShiftTestConfig
from lmc_mlflow.config.network_groups import PairwiseConfig, SurveyedConfig
from lmc_mlflow.config.runtime import DevicesConfig, RuntimeConfig
from lmc_mlflow.config.train_pair import ModelConfig, OptimizationConfig
from lmc_mlflow.query.matrices import matrix_pairs
from lmc_mlflow.workflows.matrix.matrix import matrix
from lmc_mlflow.workflows.pair.train_pair import train_pair

MODEL = "mlp_l3_w256_512_256"
NUM_PAIRS = 6
NUM_ALPHAS = 501
NUM_ROUNDS = 2
WAYS: Mapping[str, tuple[str, ...]] = {"one": (), "two": ("cpu", "cpu")}


def measure() -> list[dict[str, Any]]:
    """Return one row: the time of two processes over that of one, and whether their results are equal."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        here = Path.cwd()
        os.chdir(folder)
        try:
            return [_measure()]
        finally:
            os.chdir(here)


def _measure() -> dict[str, Any]:
    endpoints: list[str] = []
    for seed in range(1, NUM_PAIRS + 1):
        pair = train_pair(
            TrainPairConfig(
                data=DataConfig(shift="none"),
                model=ModelConfig(model=MODEL, init="different", seed=seed),
                optimization=OptimizationConfig(epochs=1),
                runtime=RuntimeConfig(device="cpu", threads=1),
                shift_test=ShiftTestConfig(c2st_samples=0),
            )
        )
        endpoints += pair.endpoints.values()
    runs: dict[str, str] = {}

    def way(name: str) -> Callable[[], None]:
        config = MatrixConfig(
            SurveyedConfig(runs=tuple(endpoints), force=True),
            PairwiseConfig(num_alphas=NUM_ALPHAS),
            runtime=RuntimeConfig(threads=1, device="auto" if WAYS[name] else "cpu"),
            sharing=DevicesConfig(WAYS[name]),
        )

        def measure_matrix() -> None:
            runs[name] = matrix(config).run_id

        return measure_matrix

    times = alternate({name: way(name) for name in WAYS}, NUM_ROUNDS, warm_up=False)
    one, two = (matrix_pairs(pd.DataFrame([{"run_id": runs[name]}])).drop(columns="run_id") for name in WAYS)
    num_pairs = len(endpoints) * (len(endpoints) - 1) // 2
    return {
        "case": f"{num_pairs} pairs of {MODEL}, {NUM_ALPHAS} alphas",
        "two processes: minima": f"{times['two'].least / times['one'].least:.2f}",
        "two processes: medians": f"{times['two'].median / times['one'].median:.2f}",
        "equal": one.equals(two),
    }
