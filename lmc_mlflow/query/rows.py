"""What does one run say of itself, as a row of a table?"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from mlflow import MlflowClient

from lmc_mlflow.config.canonical import Parameter, parameters
from lmc_mlflow.config.commands import (
    EnsembleConfig,
    InterpolateConfig,
    MatrixConfig,
    PruneCommandConfig,
    StarConfig,
    TrainPairConfig,
)
from lmc_mlflow.config.options import read_value
from lmc_mlflow.contract import FINISHED, Tag, tag
from lmc_mlflow.contract import where as has_tags
from lmc_mlflow.paths.barriers import connected_by_error
from lmc_mlflow.query.runs import Run, default_client, search

FIXED = ["run_id", "name", "status", "start_time", "experiment_id"]
SETTINGS = [*(p.name for p in parameters(TrainPairConfig).values() if p.rule.identity), "data_digest"]
RULES = [p.name for p in parameters(PruneCommandConfig).values() if p.rule.identity and p.name not in ("run", "query")]
STAR_SETTINGS = [p.name for p in parameters(StarConfig).values() if p.section == "segments" and p.rule.identity]

MATRIX_SETTINGS = [p.name for p in parameters(MatrixConfig).values() if p.section == "pairwise"]


def runs_of(kind: str, experiment: str | None, finished: bool, uri: str | None) -> list[Run]:
    """The runs of a kind, of one experiment or of all.

    Raises:
        ValueError: no such experiment.
    """
    client = default_client() if uri is None else MlflowClient(tracking_uri=uri)
    ids = None
    if experiment is not None:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise ValueError(f"experiment {experiment!r} does not exist; leave it out to read all experiments")
        ids = [found.experiment_id]
    where = has_tags(kind=kind) + (f" and {FINISHED}" if finished else "")
    return search(client, where, ids)


def frame_of(runs: list[Run], row: Callable[[Run], dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """One row a run: what is fixed, what `row` says of it, its last metrics; these columns first."""
    rows = [{**_fixed(run), **row(run), **run.data.metrics} for run in runs]
    frame = pd.DataFrame(rows, columns=None if rows else columns)
    return frame[columns + sorted(set(frame.columns) - set(columns))]


def _fixed(run: Run) -> dict[str, Any]:
    info = run.info
    started = datetime.fromtimestamp(info.start_time / 1000, UTC)
    own = {"run_id": info.run_id, "name": info.run_name, "status": info.status, "start_time": started}
    return own | {"experiment_id": info.experiment_id}


def trained(run: Run) -> dict[str, Any]:
    """A pair, or a trained network."""
    tags = run.data.tags
    own = {}
    if Tag.SIDE in tags:
        own = {"pair": tags.get("mlflow.parentRunId", ""), "side": tags[Tag.SIDE]}
        own["trajectory"] = tags.get(Tag.TRAJECTORY, "")
    known = parameters(TrainPairConfig)
    own["data_digest"] = tags.get(Tag.DATA_DIGEST, "")
    return own | {name: value for name, value in _settings(run, known) if name in SETTINGS}


def star(run: Run) -> dict[str, Any]:
    """A star."""
    known = parameters(StarConfig)
    settings = {name: value for name, value in _settings(run, known) if name in STAR_SETTINGS}
    own = {name: run.data.tags.get(tag(name), "") for name in ("star", "sources", "held_out")}
    return trained(run) | settings | own | {"num_sources": int(run.data.tags.get(Tag.NUM_SOURCES, 0))}


def _settings(run: Run, known: Mapping[str, Parameter]) -> Iterator[tuple[str, Any]]:
    """The logged configuration, typed; what an older version did not log has its default."""
    for name, parameter in known.items():
        text = run.data.params.get(f"{parameter.section}.{name}")
        yield name, parameter.default if text is None else read_value(name, parameter.kind, text)


def path(run: Run) -> dict[str, Any]:
    """A path."""
    tags = run.data.tags
    settings = dict(_settings(run, parameters(InterpolateConfig)))
    ending = "/error_barrier"
    barriers = {
        name.removesuffix(ending): value
        for name, value in run.data.metrics.items()
        if name.endswith(ending) and name.count("/") == 1
    }
    by_error = connected_by_error(barriers, settings["error_barrier_threshold"]) if barriers else ""
    names = {
        "run_a": Tag.RUN_A,
        "run_b": Tag.RUN_B,
        "pair": Tag.PAIR,
        "connected": Tag.CONNECTED,
        "connected_unaligned": Tag.CONNECTED_UNALIGNED,
        "bn": Tag.BN,
    }
    align = tags.get(Tag.ALIGN, "none")
    own = {"connected_by_error": by_error, "align": align, "num_alphas": settings["num_alphas"]}
    return {name: tags.get(tag, "") for name, tag in names.items()} | own


def ensemble(run: Run) -> dict[str, Any]:
    """An ensemble."""
    tags = run.data.tags
    keys = ("sampling", "pair", "dataset", "model", "shift", "seed", "side", "lr", "batch_size")
    first = tags.get(Tag.MEMBERS, "").split(",")[0].split("@")[0]
    config = dict(_settings(run, parameters(EnsembleConfig)))
    return {key: tags.get(tag(key), "") for key in keys} | {
        "bn": config["bn"],
        "first_run": first,
        "normalization": "",
    }


def alignment(run: Run) -> dict[str, Any]:
    """An alignment."""
    tags = run.data.tags
    own = {"run_a": Tag.RUN_A, "run_b": Tag.RUN_B, "method": Tag.METHOD, "converged": Tag.CONVERGED}
    shape = ("dataset", "model", "shift", "seed", "side")
    names = own | {name: tag(name) for name in shape}
    return {name: tags.get(tag, "") for name, tag in names.items()}


def matrix(run: Run) -> dict[str, Any]:
    """A matrix."""
    settings = {name: value for name, value in _settings(run, parameters(MatrixConfig)) if name in MATRIX_SETTINGS}
    names = ("dataset", "model", "shift", "star_candidate")
    return {name: run.data.tags.get(tag(name), "") for name in names} | settings


def pruned_network(run: Run) -> dict[str, Any]:
    """A pruned network."""
    rules = {name: value for name, value in _settings(run, parameters(PruneCommandConfig)) if name in RULES}
    return {"endpoint": run.data.tags.get(Tag.ENDPOINT, "")} | rules
