"""Finds an interrupted pair that an earlier version began, whose reading of Algorithm 1 seeded the epochs from 1."""

import logging
from dataclasses import replace

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import Kind, Tag, where_tags
from lmc_mlflow.query.runs import Run, search
from lmc_mlflow.tracking.connection.store import Store

logger = logging.getLogger(__name__)
FIRST_EPOCH = "noise.paper_first_epoch"
"""Param that pairs of earlier versions lack."""


def begun_earlier(run: Run) -> bool:
    """Tell whether a pair was begun before `paper_first_epoch` was an option."""
    return "noise.noise_scope" in run.data.params and FIRST_EPOCH not in run.data.params


def earlier_reading(config: TrainPairConfig) -> TrainPairConfig | None:
    """Give the configuration with the earlier reading of Algorithm 1, or None where there is no other reading."""
    noise = config.noise
    if noise.noise_scope != "paper" or noise.noise != "same" or noise.paper_first_epoch == 1:
        return None
    return replace(config, noise=replace(noise, paper_first_epoch=1))


def has_interrupted(store: Store, identity: dict[str, str]) -> bool:
    """Tell whether an earlier version has begun a pair of this identity, and none is finished."""
    runs = search(store.client, where_tags({Tag.KIND: Kind.PAIR, **identity}), [store.experiment_id])
    if any(run.info.status == "FINISHED" for run in runs):
        return False
    begun = [run for run in runs if begun_earlier(run)]
    if begun:
        logger.warning(
            "pair %s was begun by an earlier version, which seeded epochs from 1 (paper_first_epoch=1): it goes on "
            "with the draws it began with; force=true trains a pair with epochs seeded from 0, as printed",
            begun[-1].info.run_id,
        )
    return bool(begun)
