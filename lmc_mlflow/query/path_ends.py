"""Reads the networks that paths end at and ensembles are made of, whichever command made them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.query.mixtures import MADE_BY, PLAIN
from lmc_mlflow.query.rows import FIXED, SETTINGS, frame_of, runs_of, training_row


def star_networks(uri: str | None) -> list[pd.DataFrame]:
    """Read the stars as rows of `endpoints`, if there are any: their networks can be ends of paths too."""
    runs = runs_of(Kind.STAR, None, False, uri)
    return [frame_of(runs, training_row, [*FIXED, "side", *SETTINGS])] if runs else []


def permuted_networks(uri: str | None) -> dict[str, tuple[str, str]]:
    """Map each alignment run, whatever its state, to the run whose network it permuted, and the method."""
    tags = {run.info.run_id: run.data.tags for run in runs_of(Kind.ALIGNMENT, None, False, uri)}
    return {run_id: (own.get(Tag.RUN_B, ""), own.get(Tag.METHOD, "")) for run_id, own in tags.items()}


def settings_of_networks(
    ends: pd.DataFrame, stars: list[pd.DataFrame], permuted: Mapping[str, tuple[str, str]], uri: str | None
) -> pd.DataFrame:
    """Give the settings of every network by run id, and the command that made it.

    A permuted or pruned network has the settings of the network that it was made from.

    Args:
        ends: all endpoints.
        stars: from `star_networks`.
        permuted: from `permuted_networks`.
        uri: of the tracking server.

    Returns:
        Columns side, the settings of a training, `made_by`; the index are run ids.
    """
    trajectory = ends["trajectory"] if "trajectory" in ends else pd.Series("", ends.index)
    made_by = trajectory.map(lambda run_id: "trajectory" if run_id else PLAIN)
    networks = pd.concat([ends.assign(**{MADE_BY: made_by}), *(frame.assign(**{MADE_BY: "star"}) for frame in stars)])
    known = networks.set_index("run_id")[["side", *SETTINGS, MADE_BY]]
    pruned = {run.info.run_id: run.data.tags.get(Tag.ENDPOINT, "") for run in runs_of(Kind.PRUNED, None, False, uri)}
    known = _with_derived(known, pruned, {MADE_BY: "prune"})
    return _with_derived(known, {run_id: origin for run_id, (origin, _) in permuted.items()}, {})


def _with_derived(known: pd.DataFrame, origins: Mapping[str, str], changed: Mapping[str, str]) -> pd.DataFrame:
    """Add networks made from others, which may be made from such networks in turn."""
    found = {}
    for run_id in origins:
        origin = run_id
        while origin in origins:
            origin = origins[origin]
        if origin in known.index:
            found[run_id] = origin
    if not found:
        return known
    return pd.concat([known, known.loc[list(found.values())].set_axis(list(found), axis=0).assign(**changed)])


def methods_of(paths: pd.DataFrame, permuted: Mapping[str, tuple[str, str]]) -> "pd.Series[Any]":
    """Name the method by which an end of each path was permuted: in the path's own run, or before."""
    before = paths["run_b"].map(lambda run_id: permuted.get(run_id, ("", "none"))[1])
    before = before.where(before != "none", paths["run_a"].map(lambda run_id: permuted.get(run_id, ("", "none"))[1]))
    return paths["align"].where(paths["align"] != "none", before)
