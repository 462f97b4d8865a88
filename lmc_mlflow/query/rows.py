"""Makes a row of a table from each run: its identity, tags, configuration and last metrics."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from lmc_mlflow.config.canonical import Parameter, parameters
from lmc_mlflow.config.commands import (
    EnsembleConfig,
    InterpolateConfig,
    MatrixConfig,
    PruneCommandConfig,
    StarConfig,
    TrainPairConfig,
)
from lmc_mlflow.config.options import read_value, write_value
from lmc_mlflow.config.path import ADAPTIVE
from lmc_mlflow.config.train_pair import ELSEWHERE
from lmc_mlflow.contract import FINISHED, Kind, Tag, tag
from lmc_mlflow.contract import where as has_tags
from lmc_mlflow.errors import first_line
from lmc_mlflow.paths.barriers import OF_ACCURACIES, OF_LOSSES, connected_by_error
from lmc_mlflow.query.runs import Run, default_client, search

logger = logging.getLogger(__name__)
FIXED = ["run_id", "name", "status", "start_time", "experiment_id"]
SETTINGS = [*(p.name for p in parameters(TrainPairConfig).values() if p.rule.identity), "data_digest"]
RULES = [p.name for p in parameters(PruneCommandConfig).values() if p.rule.identity and p.name not in ("run", "query")]
STAR_SETTINGS = [p.name for p in parameters(StarConfig).values() if p.section == "segments" and p.rule.identity]
MATRIX_SETTINGS = [p.name for p in parameters(MatrixConfig).values() if p.section == "pairwise"]
PATH_TAGS = (
    "run_a",
    "run_b",
    "pair",
    "connected",
    "connected_unaligned",
    "connected_by_error",
    "connected_interval",
    "connected_interval_unaligned",
    "bn",
    "align",
    "refined",
)
ENSEMBLE_TAGS = ("sampling", "pair", "dataset", "model", "shift", "seed", "side", "lr", "batch_size")
ALIGNMENT_TAGS = ("run_a", "run_b", "method", "converged", "dataset", "model", "shift", "seed", "side")
STAR_TAGS = ("star", "side", "num_sources", "sources", "held_out")
MATRIX_TAGS = ("dataset", "model", "shift", "star_candidate")
PRUNED_TAGS = ("endpoint",)
"""Tags, without their prefix, that are columns of a table."""


def runs_of(kind: str, experiment: str | None, finished: bool, uri: str | None) -> list[Run]:
    """Find the runs of a kind, of one experiment or of all.

    Raises:
        ValueError: there is no such experiment.
    """
    client = default_client(uri)
    ids = None
    if experiment is not None:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise ValueError(f"experiment {experiment!r} does not exist; leave it out to read all experiments")
        ids = [found.experiment_id]
    where = has_tags(kind=kind) + (f" and {FINISHED}" if finished else "")
    return search(client, where, ids)


def frame_of(runs: list[Run], row: Callable[[Run], dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Make one row for each run.

    Args:
        runs: of one kind.
        row: gives what the kind has besides the fixed columns and the last metrics.
        columns: those that come first, in this order; the others follow in alphabetical order.
    """
    rows = [found for run in runs if (found := _row_of(run, row)) is not None]
    frame = pd.DataFrame(rows, columns=None if rows else columns)
    return frame[columns + sorted(set(frame.columns) - set(columns))]


def _row_of(run: Run, row: Callable[[Run], dict[str, Any]]) -> dict[str, Any] | None:
    """Make the row of a run; one whose params or tags cannot be read is named and left out."""
    try:
        return {**_fixed(run), **row(run), **run.data.metrics}
    except (ValueError, TypeError, OverflowError) as error:
        logger.warning("run %s is left out of the table: %s", run.info.run_id, first_line(error))
        return None


def _fixed(run: Run) -> dict[str, Any]:
    info = run.info
    started = datetime.fromtimestamp(info.start_time / 1000, UTC)
    own = {"run_id": info.run_id, "name": info.run_name, "status": info.status, "start_time": started}
    return own | {"experiment_id": info.experiment_id}


def training_row(run: Run) -> dict[str, Any]:
    """Return the columns of a pair or of a trained network."""
    tags = run.data.tags
    own = {}
    if Tag.SIDE in tags or tags.get(Tag.KIND) == Kind.ENDPOINT:
        own = {"pair": tags.get("mlflow.parentRunId", ""), "side": tags.get(Tag.SIDE, "")}
        own["trajectory"] = tags.get(Tag.TRAJECTORY, "")
    own["data_digest"] = tags.get(Tag.DATA_DIGEST, "")
    settings = settings_of_run(run, parameters(TrainPairConfig), SETTINGS)
    if settings["loop"] == ELSEWHERE:  # of a network that was adopted only some is known
        known = parameters(TrainPairConfig)
        settings = {
            name: value if f"{known[name].section}.{name}" in run.data.params else None
            for name, value in settings.items()
        }
    return own | settings


def star_row(run: Run) -> dict[str, Any]:
    """Return the columns of a star."""
    own = _tags(run, STAR_TAGS) | {"num_sources": int(run.data.tags.get(Tag.NUM_SOURCES, 0))}
    return training_row(run) | settings_of_run(run, parameters(StarConfig), STAR_SETTINGS) | own


def path_row(run: Run) -> dict[str, Any]:
    """Return the columns of a path; ends of intervals that it has not are nan, and `num_alphas` counts its points."""
    settings = settings_of_run(run, parameters(InterpolateConfig), ("num_alphas", "alphas", "error_barrier_threshold"))
    ending = "/error_barrier"
    barriers = {
        name.removesuffix(ending): value
        for name, value in run.data.metrics.items()
        if name.endswith(ending) and name.count("/") == 1
    }
    by_error = connected_by_error(barriers, settings["error_barrier_threshold"]) if barriers else ""
    own = {"connected_by_error": by_error, "align": run.data.tags.get(Tag.ALIGN, "none")}
    points = {"num_alphas": settings["num_alphas"], "alphas": settings["alphas"]}
    if settings["alphas"] == ADAPTIVE:
        points["num_alphas"] = int(run.data.metrics.get("num_points", 0))
    return _tags(run, PATH_TAGS) | own | points | _without_intervals(run.data.metrics)


def _without_intervals(metrics: Mapping[str, float]) -> dict[str, float]:
    """The ends of intervals and the bounds that a path could have, all of them nan."""
    names = [name for name in metrics if name.rpartition("/")[2] in (*OF_LOSSES, *OF_ACCURACIES)]
    bounds = [f"{name}_error_bound" for name in names if name.endswith("/barrier")]
    return dict.fromkeys([f"{name}_{end}" for name in names for end in ("low", "high")] + bounds, math.nan)


def ensemble_row(run: Run) -> dict[str, Any]:
    """Return the columns of an ensemble."""
    own = {"normalization": "", "num_members": math.nan}
    return _tags(run, ENSEMBLE_TAGS) | settings_of_run(run, parameters(EnsembleConfig), ("bn",)) | own


def alignment_row(run: Run) -> dict[str, Any]:
    """Return the columns of an alignment."""
    return _tags(run, ALIGNMENT_TAGS)


def matrix_row(run: Run) -> dict[str, Any]:
    """Return the columns of a matrix."""
    return _tags(run, MATRIX_TAGS) | settings_of_run(run, parameters(MatrixConfig), MATRIX_SETTINGS)


def pruned_row(run: Run) -> dict[str, Any]:
    """Return the columns of a pruned network."""
    return _tags(run, PRUNED_TAGS) | settings_of_run(run, parameters(PruneCommandConfig), RULES)


def _tags(run: Run, names: Sequence[str]) -> dict[str, Any]:
    """Read tags by their names without prefix; a missing one is empty."""
    return {name: run.data.tags.get(tag(name), "") for name in names}


def settings_of_run(run: Run, known: Mapping[str, Parameter], names: Sequence[str]) -> dict[str, Any]:
    """Read these settings of the logged configuration, typed, a list as text; what was not logged means what it did."""
    return {name: _setting(run, known[name]) for name in known if name in names}


def _setting(run: Run, parameter: Parameter) -> Any:
    text = run.data.params.get(f"{parameter.section}.{parameter.name}")
    if text is not None:
        value = read_value(parameter.name, parameter.kind, text)
    else:
        value = parameter.value_before(
            {name: run.data.params.get(f"{parameter.section}.{name}") for name in parameter.rule.only_with}
        )
    return write_value(value) if isinstance(value, tuple) else value
