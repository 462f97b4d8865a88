"""Estimates how long the rest of a grid takes, from the finished runs of the store."""

from collections.abc import Iterable, Mapping
from statistics import median

from lmc_mlflow.config.canonical import to_params
from lmc_mlflow.config.options import AUTO
from lmc_mlflow.config.train_pair import BUDGETS
from lmc_mlflow.contract import Tag
from lmc_mlflow.query.runs import Run
from lmc_mlflow.sweeps.grid import Cell
from lmc_mlflow.sweeps.progress import FINISHED, Snapshot, Status
from lmc_mlflow.sweeps.steps import GridStep

EXACT_MATCH = ("data.dataset", "model.model", "optimization.batch_size", "optimization.engine")
ANY_BATCH = EXACT_MATCH[:2]


def cell_seconds(cell: Cell, status: Status, snapshot: Snapshot) -> float | None:
    """Estimate what is left of a cell in seconds of one process; None where nothing like it has finished.

    A pair counts the seconds per epoch (or step) that finished pairs of the same dataset, network, batch size
    and engine took in training (or, where there are none, of any batch size and engine); a path or
    ensemble what others of the same network took.
    """
    if status.word == FINISHED:
        return 0.0
    seconds = [0.0 if status.pair else _training_seconds(cell, snapshot)]
    seconds += [_step_seconds(step, cell, snapshot) for step in cell.then]
    known = [value for value in seconds if value is not None]
    return None if seconds[0] is None else sum(known)


def _training_seconds(cell: Cell, snapshot: Snapshot) -> float | None:
    finished = [run for runs in snapshot.pairs.values() for run in runs if run.info.status == "FINISHED"]
    values = {
        "data.dataset": cell.config.data.dataset,
        "model.model": cell.config.model.model,
        "optimization.batch_size": str(cell.config.optimization.batch_size),
        "optimization.engine": cell.config.optimization.engine,
    }
    unit, amount = _extent(to_params(cell.config))
    for names in (EXACT_MATCH, ANY_BATCH):
        like = [run for run in finished if all(run.data.params.get(name) == values[name] for name in names)]
        extents = [(run, *_extent(run.data.params)) for run in like if "cost/train_seconds" in run.data.metrics]
        rates = [run.data.metrics["cost/train_seconds"] / theirs for run, of_run, theirs in extents if of_run == unit]
        if rates:
            return median(rates) * amount
    return None


def _extent(params: Mapping[str, str]) -> tuple[str, int]:
    """Tell what the time of a training is proportional to, and how much of it there is.

    Steps or epochs; a training that ends at a loss or an accuracy takes as long as another one that ends there.
    """
    given = {name: text for name in BUDGETS if (text := params.get(f"optimization.{name}", AUTO)) != AUTO}
    if "steps" in given:
        return "steps", int(given["steps"])
    for name, text in given.items():
        return f"{name}={text}", 1
    return "epochs", int(params["optimization.epochs"])


def _step_seconds(step: GridStep, cell: Cell, snapshot: Snapshot) -> float | None:
    like = _durations(
        run
        for runs in snapshot.steps.values()
        for run in runs
        if run.data.tags.get(Tag.KIND) == step.run_kind
        and run.data.tags.get(Tag.DATASET) == cell.config.data.dataset
        and run.data.tags.get(Tag.MODEL) == cell.config.model.model
    )
    return median(like) if like else None


def _durations(runs: Iterable[Run]) -> list[float]:
    return [
        (run.info.end_time - run.info.start_time) / 1000
        for run in runs
        if run.info.status == "FINISHED" and run.info.end_time
    ]


def readable_time(seconds: float) -> str:
    """Write a duration as seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
