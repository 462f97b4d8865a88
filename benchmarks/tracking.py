"""Measures the share of time that logging takes, over twenty epochs of a pair of the size of MNIST."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.rounds import alternate
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.data import DataConfig, ShiftTestConfig
from lmc_mlflow.config.train_pair import ModelConfig, OptimizationConfig, ResumeConfig
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.training.loop import train
from lmc_mlflow.workflows.pair.runs import make_trainees
from lmc_mlflow.workflows.pair.train_pair import train_pair

NUM_ROUNDS = 2
EPOCHS = 20
CPU = torch.device("cpu")


def measure() -> list[dict[str, Any]]:
    """Return one row for each engine: the share of wall time that logging everything adds."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root / "images.npz")
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{root / 'mlflow.db'}"
        here = Path.cwd()
        os.chdir(root)
        try:
            return [_measure(root, engine) for engine in ("exact", "fast")]
        finally:
            os.chdir(here)


def _measure(root: Path, engine: str) -> dict[str, Any]:
    config = TrainPairConfig(
        data=DataConfig(dataset="npz", data_root=str(root / "images.npz")),
        model=ModelConfig(model="mlp_l1_w587"),
        optimization=OptimizationConfig(epochs=EPOCHS, batch_size=1024, engine=engine),
        resume=ResumeConfig(force=True),
        shift_test=ShiftTestConfig(c2st_samples=0),
    )
    ways: dict[str, Callable[[], object]] = {
        "unlogged": lambda: _unlogged(config),
        "logged": lambda: train_pair(config),
    }
    times = alternate(ways, NUM_ROUNDS, warm_up=False)
    bare, logged = times["unlogged"], times["logged"]
    return {"engine": engine, "epochs": EPOCHS, "added by logging": f"{logged.least / bare.least - 1:.1%}"}


def _unlogged(config: TrainPairConfig) -> None:
    data = load_shifted(config.data, CPU)
    test = (data.test.images, data.test.labels)
    optimization = config.optimization
    train(make_trainees(config, data, CPU), test, optimization, data.flips, 1, lambda *_: None, optimization.engine)


def _write(path: Path) -> None:
    random = np.random.default_rng(0)
    content = {}
    for part, count in (("train", 60_000), ("test", 10_000)):
        content[f"{part}_images"] = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        content[f"{part}_labels"] = random.integers(0, 10, count)
    np.savez(path, **content)  # type: ignore[arg-type]
