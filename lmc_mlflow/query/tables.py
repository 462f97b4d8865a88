"""Reads the runs of each kind as a table, one row a run."""

import logging
from collections.abc import Sequence

import pandas as pd

from lmc_mlflow.contract import Kind
from lmc_mlflow.query.members import network_runs
from lmc_mlflow.query.mixtures import MADE_BY, MIXTURE, mixtures
from lmc_mlflow.query.path_ends import methods_of, permuted_networks, settings_of_networks, star_networks
from lmc_mlflow.query.rows import (
    ALIGNMENT_TAGS,
    FIXED,
    MATRIX_SETTINGS,
    MATRIX_TAGS,
    PATH_TAGS,
    PRUNED_TAGS,
    RULES,
    SETTINGS,
    STAR_SETTINGS,
    STAR_TAGS,
    alignment_row,
    ensemble_row,
    frame_of,
    matrix_row,
    path_row,
    pruned_row,
    runs_of,
    star_row,
    training_row,
)
from lmc_mlflow.query.runs import default_client

logger = logging.getLogger(__name__)
MOST_NAMED = 6
"""Run ids that a warning names."""


def pairs(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read one row for each pair: its configuration and the means of both sides' last metrics.

    Args:
        experiment: name of an experiment; None: all.
        finished: whether runs that have not finished are left out.
        uri: of the tracking server; None: of the one that MLflow's own settings name.
    """
    return frame_of(runs_of(Kind.PAIR, experiment, finished, uri), training_row, [*FIXED, *SETTINGS])


def endpoints(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read one row for each trained network: `pair`, `side`, its configuration and its last metrics.

    `trajectory` is empty, or the run of the trajectory that the network belongs to, which then is its `pair` too.
    A network with neither is that of epochs which pairs share.
    Arguments as in `pairs`.
    """
    own = [*FIXED, "pair", "side", "trajectory", *SETTINGS]
    return frame_of(runs_of(Kind.ENDPOINT, experiment, finished, uri), training_row, own)


def paths(
    experiment: str | None = None, finished: bool = True, uri: str | None = None, ends: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Read one row for each path: its ends, its verdicts, its measures, and the configuration of end A.

    Further columns are `seed_a`, `seed_b`, `side_a`, `side_b`, `same_initialization`, `joins_star` (an end is a star)
    and `align`, the method by which B's units were permuted, or `none`. `path` is `segment`, or the form of a trained
    curve. A permuted or pruned network has the settings
    of the network that it was made from. Where the two ends differ in a setting other than their seeds, `mixture_of`
    names it and `mixture` says it in words, as in `epochs 100 and 15`; both are empty for plain ends.
    `<split>/barrier_low`, `_high`, `<split>/barrier_error_bound` and so on are nan, and `connected_interval` is empty,
    where a path was measured without intervals or by a version that had none. Paths whose networks were deleted, or are
    not in this store, are left out with a warning.

    Args:
        experiment: as in `pairs`.
        finished: as in `pairs`.
        uri: as in `pairs`.
        ends: `endpoints(finished=False)` of all experiments, where it was read before; None: it is read here.
    """
    found, gone = read_paths(experiment, finished, uri, ends)
    _say_left_out("paths", gone)
    return found


def read_paths(
    experiment: str | None, finished: bool, uri: str | None, ends: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[str]]:
    """Read the table of `paths`, and the run ids of the paths that it leaves out."""
    own = [*FIXED, *PATH_TAGS, "num_alphas", "alphas"]
    columns = [*own, *MIXTURE, "seed_a", "seed_b", "side_a", "side_b", "same_initialization", "joins_star"]
    frame = frame_of(runs_of(Kind.PATH, experiment, finished, uri), path_row, own)
    stars_too, permuted = star_networks(uri), permuted_networks(uri)
    known = settings_of_networks(endpoints(finished=False, uri=uri) if ends is None else ends, stars_too, permuted, uri)
    frame["align"] = methods_of(frame, permuted)
    frame[list(MIXTURE)] = mixtures(frame[["run_a", "run_b"]].to_numpy().tolist(), known)
    is_whole = frame["run_a"].isin(known.index) & frame["run_b"].isin(known.index)
    frame, gone = frame[is_whole].reset_index(drop=True), frame.loc[~is_whole, "run_id"].tolist()
    sides = known.drop(columns=MADE_BY)
    joined = frame.join(sides.add_suffix("_of_b"), on="run_b").join(sides, on="run_a")
    joined = joined.rename(columns={"side": "side_a", "side_of_b": "side_b", "seed_of_b": "seed_b"})
    joined["seed_a"] = joined["seed"]
    same = (joined["seed_a"] == joined["seed_b"]) & (joined["model"] == joined["model_of_b"])
    ids = [run_id for frame in stars_too for run_id in frame["run_id"]]
    joined["joins_star"] = joined[["run_a", "run_b"]].isin(ids).any(axis=1)
    same &= ~joined["joins_star"]
    joined["same_initialization"] = same & ((joined["side_a"] == joined["side_b"]) | (joined["init"] == "same"))
    kept = [name for name in joined.columns if not name.endswith("_of_b")]
    return joined[columns + [name for name in kept if name not in columns]], gone


def ensembles(
    experiment: str | None = None, finished: bool = True, uri: str | None = None, ends: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Read one row for each ensemble: `sampling`, `num_members`, scores with `_low` and `_high`, its members' settings.

    Settings that the ensemble itself did not log (`epochs`, for example) are those of its first member; where its
    members differ, `mixture_of` and `mixture` say in what, as for the ends of `paths`. Ensembles whose networks are
    gone are left out as paths are. Arguments as in `paths`.
    """
    found, gone = read_ensembles(experiment, finished, uri, ends)
    _say_left_out("ensembles", gone)
    return found


def read_ensembles(
    experiment: str | None, finished: bool, uri: str | None, ends: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[str]]:
    """Read the table of `ensembles`, and the run ids of the ensembles that it leaves out."""
    own = ["dataset", "model", "shift", "seed", "side", "normalization", "lr", "batch_size"]
    columns = [*FIXED, "sampling", "num_members", "pair", *own, *MIXTURE]
    logged = [name for name in columns if name not in MIXTURE]
    runs = runs_of(Kind.ENSEMBLE, experiment, finished, uri)
    frame = frame_of(runs, ensemble_row, logged)
    if frame.empty:
        return frame, []
    ends, stars_too = (endpoints(finished=False, uri=uri) if ends is None else ends), star_networks(uri)
    known = settings_of_networks(ends, stars_too, permuted_networks(uri), uri)
    client = default_client(uri)
    members = pd.Series([network_runs(client, run) for run in runs], frame.index)
    networks = pd.concat([ends, *stars_too])
    pairs = networks[(networks["pair"] != "") & networks.duplicated("pair", keep=False)]  # with both sides
    by_pair = pairs.drop_duplicates("pair").set_index("pair")
    settings = pd.concat([known[SETTINGS], by_pair[SETTINGS]])
    is_whole = members.map(lambda ids: bool(ids) and all(run_id in settings.index for run_id in ids))
    frame, gone = frame[is_whole].reset_index(drop=True), frame.loc[~is_whole, "run_id"].tolist()
    members = members[is_whole].reset_index(drop=True)
    chosen = members.where(frame["sampling"] == "seeds", "")
    frame[list(MIXTURE)] = mixtures([list(ids) for ids in chosen], known)
    for name in [*(name for name in SETTINGS if name not in columns), "normalization"]:
        frame[name] = members.str[0].map(settings[name])
    frame["num_members"] = frame["num_members"].fillna(members.map(len)).astype(int)
    frame[["lr", "batch_size"]] = frame[["lr", "batch_size"]].apply(pd.to_numeric, errors="coerce")
    return frame, gone


def pruned(
    experiment: str | None = None, finished: bool = True, uri: str | None = None, ends: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Read one row for each pruned network: `endpoint`, the rules, units of each layer, and the endpoint's settings.

    `model` is the endpoint's; `units_before/layer_1` and `units/layer_1` are widths, `test/loss_before` and
    `test/loss` the losses. Arguments as in `paths`.
    """
    frame = frame_of(runs_of(Kind.PRUNED, experiment, finished, uri), pruned_row, [*FIXED, *PRUNED_TAGS, *RULES])
    networks = (endpoints(finished=False, uri=uri) if ends is None else ends).set_index("run_id")[["side", *SETTINGS]]
    is_whole = frame["endpoint"].isin(networks.index)
    _say_left_out("pruned networks", frame.loc[~is_whole, "run_id"].tolist())
    return frame[is_whole].reset_index(drop=True).join(networks, on="endpoint")


def alignments(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read one row for each alignment: its two networks, `method`, `converged`, its measures.

    Arguments as in `pairs`.
    """
    runs = runs_of(Kind.ALIGNMENT, experiment, finished, uri)
    return frame_of(runs, alignment_row, [*FIXED, *ALIGNMENT_TAGS])


def stars(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read one row for each star: `star` (its verdict), `num_sources`, its training, its measures.

    Arguments as in `pairs`.
    """
    own = [*FIXED, *STAR_TAGS, *STAR_SETTINGS, *SETTINGS]
    return frame_of(runs_of(Kind.STAR, experiment, finished, uri), star_row, own)


def matrices(experiment: str | None = None, finished: bool = True, uri: str | None = None) -> pd.DataFrame:
    """Read one row for each matrix: data set and model of its networks, how and what was measured.

    Arguments as in `pairs`.
    """
    own = [*FIXED, *MATRIX_TAGS, *MATRIX_SETTINGS]
    return frame_of(runs_of(Kind.MATRIX, experiment, finished, uri), matrix_row, own)


def _say_left_out(what: str, run_ids: Sequence[str]) -> None:
    """Name the rows whose networks are gone: nothing is known of how these were trained."""
    if run_ids:
        named = ", ".join(run_id[:8] for run_id in run_ids[:MOST_NAMED]) + (
            ", ..." if len(run_ids) > MOST_NAMED else ""
        )
        logger.warning(
            "%d %s are left out: their networks were deleted, or are not in this store (%s)", len(run_ids), what, named
        )
