"""Selects the networks that a query finds: runs of one kind of network, and each network once."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lmc_mlflow import weights
from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.options import write_value
from lmc_mlflow.contract import FINISHED, KINDS, SETTING_TAGS, Kind, Tag, tag
from lmc_mlflow.contract import where as has_tags
from lmc_mlflow.query.mixtures import UNTOLD
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.query.rows import training_row
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.tracking.connection.store import Store

logger = logging.getLogger(__name__)
OF_EPOCHS = (Tag.TRAJECTORY, Tag.EPOCH, Tag.SWA)
"""Tags of networks that are epochs of one training, or their average. A query that names one of them asks for these."""
SHOWN = 4
"""Kinds that a message names."""


def find_runs(store: Store, query: str, any_kind: bool = False) -> list[Run]:
    """Find the finished endpoint runs that a query selects, oldest first.

    Epochs of a trajectory, their average, and networks of shared epochs are left out unless the query names one of
    `OF_EPOCHS`.

    Args:
        store: where to look.
        query: an MLflow filter.
        any_kind: whether runs of other kinds are found where the query names `lmc.kind` itself.
    """
    kind = "" if any_kind and Tag.KIND in query else f" and {has_tags(kind=Kind.ENDPOINT)}"
    found = [
        run
        for run in search(store.client, f"{query}{kind} and {FINISHED}")
        if run.data.tags.get(Tag.KIND) in KINDS  # a user's own runs may have our tags
    ]
    if _asks_for_epochs(query):
        return found
    kept = [run for run in found if not any(name in run.data.tags for name in OF_EPOCHS)]
    if len(kept) < len(found):
        of_trajectories = any(Tag.TRAJECTORY in run.data.tags for run in found)
        what, name = ("trajectories", Tag.TRAJECTORY) if of_trajectories else ("shared epochs", Tag.EPOCH)
        logger.warning(
            'query %r: %d networks of %s are left out; name tags."%s" in it to take them',
            query, len(found) - len(kept), what, name,
        )  # fmt: skip
    return kept


def refuse_mixed(runs: Sequence[Run], query: str, mixed: bool, sides: bool = False, option: str = "query") -> None:
    """Refuse endpoint runs that differ in a setting other than their seeds, unless that is asked for.

    Args:
        runs: that the query found; those of other kinds are passed over.
        query: named in the message. Where it asks for epochs, these may differ.
        mixed: whether differences are asked for.
        sides: whether both sides together are a mixture.
        option: name of the option that holds the query.

    Raises:
        ValueError: they differ; the message names the filter that selects the most frequent kind.
    """
    ends = [run for run in runs if run.data.tags.get(Tag.KIND) == Kind.ENDPOINT]
    if mixed or len(ends) < 2:
        return
    free = {*UNTOLD, *(["epochs"] if _asks_for_epochs(query) else [])} - ({"side"} if sides else set())
    settings = [_settings(run, free) for run in ends]
    kinds = Counter(tuple(own.values()) for own in settings)
    if len(kinds) < 2:
        return
    names = list(settings[0])
    (most, number), *_ = kinds.most_common(1)
    differing = [i for i in range(len(names)) if len({kind[i] for kind in kinds}) > 1]
    words = [", ".join(f"{names[i]} {kind[i]}" for i in differing) + f": {n}" for kind, n in kinds.most_common(SHOWN)]
    more = f"; and {len(kinds) - SHOWN} more" if len(kinds) > SHOWN else ""
    chosen = _filter(names, most, [kind for kind in kinds if kind != most])
    raise ValueError(
        f"{option}={query!r} finds {len(kinds)} kinds of networks ({'; '.join(words)}{more}); for the {number} of one "
        f"kind add to it: and {chosen}; for all of them give mixed=true"
    )


def _asks_for_epochs(query: str) -> bool:
    return any(name in query for name in OF_EPOCHS)


def _settings(run: Run, free: set[str]) -> Mapping[str, str]:
    row: Mapping[str, Any] = training_row(run)
    names = [name for name in ("side", *SETTING_TAGS, *row) if name not in (*free, "pair", "trajectory")]
    return {name: _text(row[name]) for name in dict.fromkeys(names) if name in row}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else write_value(value)


def _filter(names: Sequence[str], wanted: tuple[str, ...], others: list[tuple[str, ...]]) -> str:
    """Write the shortest filter, in the order of the settings, that tells one kind from the others."""
    known = parameters(TrainPairConfig)
    parts = []
    for i, name in enumerate(names):
        left = [other for other in others if other[i] == wanted[i]]
        if len(left) < len(others):
            is_tag = name in ("side", "data_digest", "dataset", "model", "shift")
            key = f'tags."{tag(name)}"' if is_tag else f'params."{known[name].section}.{name}"'
            parts.append(f'{key} = "{wanted[i]}"')
        others = left
    return " and ".join(parts)


def each_once(networks: Sequence[LoggedNetwork]) -> list[LoggedNetwork]:
    """Leave out networks whose weights are those of an earlier one, and say which."""
    kept: dict[str, LoggedNetwork] = {}
    for network in networks:
        first = kept.setdefault(weights.digest(network.state), network)
        if first is not network:
            logger.warning(
                "run %s is left out: its weights are, bit by bit, those of run %s",
                network.run.info.run_id, first.run.info.run_id,
            )  # fmt: skip
    return list(kept.values())
