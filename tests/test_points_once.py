"""A command that was stopped after it had logged its results, and is given again, logs no point twice."""

import importlib
from collections.abc import Callable

import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.matrix import main as matrix
from entry_points.plane import main as plane
from entry_points.train_pair import main as train_pair
from entry_points.trajectory import main as trajectory

HERE = ["--device=cpu", "--threads=1"]


@pytest.mark.parametrize(
    ("kind", "module", "figure"),
    [
        ("pair", "pair.results", "learning_figure"),
        ("matrix", "matrix.results", "matrix_figure"),
        ("plane", "plane.results", "plane_figure"),
        ("trajectory", "trajectory.trajectory", "trajectory_figure"),
    ],
)
def test_results_are_logged_once_however_late_a_command_was_stopped(
    store: MlflowClient, kind: str, module: str, figure: str
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    training = [*QUICK, "--epochs=1", "--init=different", "--seeds=1,20", "--optimizer=sgd"]
    if kind != "pair":
        assert train_pair(training) == 0
    ends = [run.info.run_id for run in runs_of_kind(store, "endpoint")]
    commands: dict[str, Callable[[], int]] = {
        "pair": lambda: train_pair(training),
        "matrix": lambda: matrix([f"--runs={','.join(ends[:3])}", "--num_alphas=2", *HERE]),
        "plane": lambda: plane(
            [*(f"--run_{name}={end}" for name, end in zip("abc", ends, strict=False)), "--num_points=2", *HERE]
        ),
        "trajectory": lambda: trajectory([f"--run={ends[0]}", "--epochs=1", *HERE]),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module(f"lmc_mlflow.workflows.{module}"), figure, stopped)
        assert commands[kind]() == 130
    assert {run.info.status for run in runs_of_kind(store, kind)} & {"KILLED"}
    assert commands[kind]() == 0
    for run in store.search_runs(["0"]):
        assert run.info.status == "FINISHED"
        for key in run.data.metrics:
            steps = [point.step for point in store.get_metric_history(run.info.run_id, key)]
            assert len(steps) == len(set(steps)), (kind, run.data.tags["lmc.kind"], key)
