"""What is in the store, as tidy tables? One call each, no knowledge of MLflow needed."""

from collections.abc import Iterator, Mapping
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
from lmc_mlflow.query.runs import Run, default_client, search

FIXED = ["run_id", "name", "status", "start_time", "experiment_id"]
SETTINGS = [*(p.name for p in parameters(TrainPairConfig).values() if p.rule.identity), "data_digest"]
RULES = [p.name for p in parameters(PruneCommandConfig).values() if p.rule.identity and p.name not in ("run", "query")]
STAR_SETTINGS = [p.name for p in parameters(StarConfig).values() if p.section == "segments" and p.rule.identity]

MATRIX_SETTINGS = [p.name for p in parameters(MatrixConfig).values() if p.section == "pairwise"]


def pairs(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """One row a pair: its configuration and the means of both sides' last metrics.

    Args:
        experiment: name of an experiment; None: all.
        finished: whether runs that have not finished are left out.
        uri: of the tracking server; None: MLflow's own settings.
    """
    return _frame(_runs("pair", experiment, finished, uri), _trained, [*FIXED, *SETTINGS])


def endpoints(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """One row a trained network: `pair`, `side`, its configuration and its last metrics. Arguments as in `pairs`.

    `trajectory` is empty, or the run of the trajectory that the network belongs to, which then is its `pair` too.
    """
    own = [*FIXED, "pair", "side", "trajectory", *SETTINGS]
    return _frame(_runs("endpoint", experiment, finished, uri), _trained, own)


def paths(
    experiment: str | None = None, finished: bool = True, uri: str | None = None, ends: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row a path: its ends, its verdict, its measures, and the configuration of end A.

    Besides: `seed_a`, `seed_b`, `side_a`, `side_b`, `same_initialization`, `joins_star` (an end is a star); `align`,
    the method by which B's units were permuted, or `none`. A permuted network has the settings of the one it was made
    from. Arguments as in `pairs`.

    Args:
        experiment: as in `pairs`.
        finished: as in `pairs`.
        uri: as in `pairs`.
        ends: `endpoints(finished=False)` of all experiments where it was read before; None: read here.
    """
    own = [*FIXED, "run_a", "run_b", "pair", "connected", "connected_unaligned", "bn", "align", "num_alphas"]
    columns = [*own, "seed_a", "seed_b", "side_a", "side_b", "same_initialization", "joins_star"]
    frame = _frame(_runs("path", experiment, finished, uri), _path, own)
    stars_too = _star_networks(uri)
    trained = pd.concat([endpoints(finished=False, uri=uri) if ends is None else ends, *stars_too])
    permuted = _permuted(uri)
    sides = _with_permuted(trained.set_index("run_id")[["side", *SETTINGS]], permuted)
    frame["align"] = _methods(frame, permuted)
    joined = frame.join(sides.add_suffix("_of_b"), on="run_b").join(sides, on="run_a")
    joined = joined.rename(columns={"side": "side_a", "side_of_b": "side_b", "seed_of_b": "seed_b"})
    joined["seed_a"] = joined["seed"]
    same = (joined["seed_a"] == joined["seed_b"]) & (joined["model"] == joined["model_of_b"])
    ids = [run_id for frame in stars_too for run_id in frame["run_id"]]
    joined["joins_star"] = joined[["run_a", "run_b"]].isin(ids).any(axis=1)
    same &= ~joined["joins_star"]
    joined["same_initialization"] = same & ((joined["side_a"] == joined["side_b"]) | (joined["init"] == "same"))
    kept = [name for name in joined.columns if not name.endswith("_of_b")]
    return joined[columns + [name for name in kept if name not in columns]]


def ensembles(
    experiment: str | None = None, finished: bool = True, uri: str | None = None, ends: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row an ensemble: `sampling`, `num_members`, every score with `_low` and `_high`, its members' settings.

    Settings that the ensemble does not say itself (`epochs`, say) are those of its first member. Arguments as
    in `paths`.
    """
    said = ["dataset", "model", "shift", "seed", "side", "normalization", "lr", "batch_size"]
    columns = [*FIXED, "sampling", "num_members", "pair", *said]
    frame = _frame(_runs("ensemble", experiment, finished, uri), _ensemble, columns)
    if frame.empty:
        return frame
    trained = pd.concat([endpoints(finished=False, uri=uri) if ends is None else ends, *_star_networks(uri)])
    by_run, by_pair = trained.set_index("run_id"), trained.drop_duplicates("pair").set_index("pair")
    for name in [*(name for name in SETTINGS if name not in columns), "normalization"]:
        first = frame["first_run"].map(by_run[name])
        frame[name] = first.where(first.notna(), frame["first_run"].map(by_pair[name]))
    frame["num_members"] = frame["num_members"].astype(int)
    frame[["lr", "batch_size"]] = frame[["lr", "batch_size"]].apply(pd.to_numeric, errors="coerce")
    return frame.drop(columns="first_run")


def pruned(
    experiment: str | None = None, finished: bool = True, uri: str | None = None, ends: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row a pruned network: `endpoint`, the rules, units of each layer, and the endpoint's settings.

    `model` is the endpoint's; `units_before/layer_1` and `units/layer_1` are widths, `test/loss_before` and
    `test/loss` the losses. Arguments as in `paths`.
    """
    frame = _frame(_runs("pruned", experiment, finished, uri), _pruned, [*FIXED, "endpoint", *RULES])
    trained = endpoints(finished=False, uri=uri) if ends is None else ends
    return frame.join(trained.set_index("run_id")[["side", *SETTINGS]], on="endpoint")


def alignments(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """One row an alignment: its two networks, `method`, `converged`, its measures. Arguments as in `pairs`."""
    own = [*FIXED, "run_a", "run_b", "method", "converged", "dataset", "model", "shift", "seed", "side"]
    return _frame(_runs("alignment", experiment, finished, uri), _alignment, own)


def stars(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """One row a star: `star` (its verdict), `num_sources`, its training, its measures. Arguments as in `pairs`."""
    own = [*FIXED, "star", "side", "num_sources", "sources", "held_out", *STAR_SETTINGS, *SETTINGS]
    return _frame(_runs("star", experiment, finished, uri), _star, own)


def matrices(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """One row a matrix: its networks' data set and model, how and what was measured. Arguments as in `pairs`."""
    own = [*FIXED, "dataset", "model", "shift", "star_candidate", *MATRIX_SETTINGS]
    return _frame(_runs("matrix", experiment, finished, uri), _matrix, own)


def _runs(kind: str, experiment: str | None, finished: bool, uri: str | None) -> list[Run]:
    client = default_client() if uri is None else MlflowClient(tracking_uri=uri)
    ids = None
    if experiment is not None:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            raise ValueError(f"experiment {experiment!r} does not exist; leave it out to read all experiments")
        ids = [found.experiment_id]
    where = f"tags.`lmc.kind` = '{kind}'" + (" and attributes.status = 'FINISHED'" if finished else "")
    return search(client, where, ids)


def _frame(runs: list[Run], row: Any, columns: list[str]) -> pd.DataFrame:
    rows = [{**_fixed(run), **row(run), **run.data.metrics} for run in runs]
    frame = pd.DataFrame(rows, columns=None if rows else columns)
    return frame[columns + sorted(set(frame.columns) - set(columns))]


def _fixed(run: Run) -> dict[str, Any]:
    info = run.info
    started = datetime.fromtimestamp(info.start_time / 1000, UTC)
    own = {"run_id": info.run_id, "name": info.run_name, "status": info.status, "start_time": started}
    return own | {"experiment_id": info.experiment_id}


def _trained(run: Run) -> dict[str, Any]:
    tags = run.data.tags
    own = {}
    if "lmc.side" in tags:
        own = {"pair": tags.get("mlflow.parentRunId", ""), "side": tags["lmc.side"]}
        own["trajectory"] = tags.get("lmc.trajectory", "")
    known = parameters(TrainPairConfig)
    own["data_digest"] = tags.get("lmc.data_digest", "")
    return own | {name: value for name, value in _settings(run, known) if name in SETTINGS}


def _star(run: Run) -> dict[str, Any]:
    known = parameters(StarConfig)
    settings = {name: value for name, value in _settings(run, known) if name in STAR_SETTINGS}
    own = {name: run.data.tags.get(f"lmc.{name}", "") for name in ("star", "sources", "held_out")}
    return _trained(run) | settings | own | {"num_sources": int(run.data.tags.get("lmc.num_sources", 0))}


def _settings(run: Run, known: Mapping[str, Parameter]) -> Iterator[tuple[str, Any]]:
    """The logged configuration, typed; what an older version did not log has its default."""
    for name, parameter in known.items():
        text = run.data.params.get(f"{parameter.section}.{name}")
        yield name, parameter.default if text is None else read_value(name, parameter.kind, text)


def _path(run: Run) -> dict[str, Any]:
    tags = run.data.tags
    num_alphas = dict(_settings(run, parameters(InterpolateConfig)))["num_alphas"]
    names = {
        "run_a": "lmc.run_a",
        "run_b": "lmc.run_b",
        "pair": "lmc.pair",
        "connected": "lmc.connected",
        "connected_unaligned": "lmc.connected_unaligned",
        "bn": "lmc.bn",
    }
    align = tags.get("lmc.align", "none")
    return {name: tags.get(tag, "") for name, tag in names.items()} | {"align": align, "num_alphas": num_alphas}


def _star_networks(uri: str | None) -> list[pd.DataFrame]:
    """The stars as rows of `endpoints`, in a table if there are any: their networks are used like those."""
    runs = _runs("star", None, False, uri)
    return [_frame(runs, _trained, [*FIXED, "side", *SETTINGS])] if runs else []


def _alignment(run: Run) -> dict[str, Any]:
    tags = run.data.tags
    own = {"run_a": "lmc.run_a", "run_b": "lmc.run_b", "method": "lmc.method", "converged": "lmc.converged"}
    shape = ("dataset", "model", "shift", "seed", "side")
    names = own | {name: f"lmc.{name}" for name in shape}
    return {name: tags.get(tag, "") for name, tag in names.items()}


def _matrix(run: Run) -> dict[str, Any]:
    settings = {name: value for name, value in _settings(run, parameters(MatrixConfig)) if name in MATRIX_SETTINGS}
    names = ("dataset", "model", "shift", "star_candidate")
    return {name: run.data.tags.get(f"lmc.{name}", "") for name in names} | settings


def _permuted(uri: str | None) -> dict[str, tuple[str, str]]:
    """Alignment run -> the run whose network it permuted, and the method; whatever their state."""
    tags = {run.info.run_id: run.data.tags for run in _runs("alignment", None, False, uri)}
    return {run_id: (own.get("lmc.run_b", ""), own.get("lmc.method", "")) for run_id, own in tags.items()}


def _with_permuted(sides: pd.DataFrame, permuted: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """The settings of networks by run id, with those of permuted networks, which may be permuted ones themselves."""
    origins = {}
    for run_id in permuted:
        origin = run_id
        while origin in permuted:
            origin = permuted[origin][0]
        if origin in sides.index:
            origins[run_id] = origin
    if not origins:
        return sides
    added = sides.loc[list(origins.values())].set_axis(list(origins), axis=0)
    return pd.concat([sides, added])


def _methods(frame: pd.DataFrame, permuted: Mapping[str, tuple[str, str]]) -> "pd.Series[Any]":
    """How an end of each path was permuted: on the way, or before."""
    before = frame["run_b"].map(lambda run_id: permuted.get(run_id, ("", "none"))[1])
    before = before.where(before != "none", frame["run_a"].map(lambda run_id: permuted.get(run_id, ("", "none"))[1]))
    return frame["align"].where(frame["align"] != "none", before)


def _pruned(run: Run) -> dict[str, Any]:
    rules = {name: value for name, value in _settings(run, parameters(PruneCommandConfig)) if name in RULES}
    return {"endpoint": run.data.tags.get("lmc.endpoint", "")} | rules


def _ensemble(run: Run) -> dict[str, Any]:
    tags = run.data.tags
    keys = ("sampling", "pair", "dataset", "model", "shift", "seed", "side", "lr", "batch_size")
    first = tags.get("lmc.members", "").split(",")[0].split("@")[0]
    config = dict(_settings(run, parameters(EnsembleConfig)))
    return {key: tags.get(f"lmc.{key}", "") for key in keys} | {
        "bn": config["bn"],
        "first_run": first,
        "normalization": "",
    }
