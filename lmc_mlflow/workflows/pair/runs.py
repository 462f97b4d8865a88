"""Which three runs is a pair, and what is logged on them before training?"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from lmc_mlflow.config.canonical import fingerprint, to_nested, to_params
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.data.loading import SIDES, ShiftedData
from lmc_mlflow.query.runs import Run, children, find_pairs
from lmc_mlflow.tracking.lifecycle import (
    Keep,
    open_run,
    point_launcher_at,
    probe_artifacts,
    reopen_run,
)
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import Store
from lmc_mlflow.training.optimizers import noise_scale
from lmc_mlflow.workflows.lifecycle.previous_runs import Before, sort_out, take


@dataclass(frozen=True)
class PairRuns:
    """A pair run and its two endpoint runs, being written."""

    pair: TrackedRun
    endpoints: dict[str, TrackedRun]


def pair_name(config: TrainPairConfig) -> str:
    """What a person would call the pair."""
    extras = [f"lr {config.optimization.lr:g}", f"B {config.optimization.batch_size}"]
    if config.noise.noise != "same":
        extras.append("different noise")
    if config.model.init != "same":
        extras.append("different init")
    return (
        f"{config.data.dataset} {config.model.model} {config.data.shift} seed {config.model.seed} ({', '.join(extras)})"
    )


def claim_key(store: Store, config: TrainPairConfig, data: ShiftedData) -> str:
    """What a process claims that is going to train this configuration on these data."""
    return f"pair-{store.experiment_id}-{fingerprint(config)}-{data.digest}"


def claim_pair(claim: Callable[[str], None], store: Store, config: TrainPairConfig, data: ShiftedData) -> Before:
    """Claim a configuration for this process, then look in the store again: it may have been finished meanwhile.

    Raises:
        AtWorkError: another process was quicker.
    """
    take(claim, claim_key(store, config, data))
    return look_before(store, config, data)


def look_before(store: Store, config: TrainPairConfig, data: ShiftedData) -> Before:
    """Look for the same configuration on the same data in the store.

    Raises:
        AtWorkError: it is being trained at this moment.
    """
    return sort_out(find_pairs(store.client, store.experiment_id, fingerprint(config), data.digest))


def open_pair(
    store: Store,
    config: TrainPairConfig,
    data: ShiftedData,
    interrupted: Run | None,
    parent: TrackedRun | None,
    keep: Keep,
) -> PairRuns:
    """Open the three runs, or reopen those of an interrupted pair, and log all that is known before training."""
    tags = _tags(config, data)
    name = pair_name(config)
    if interrupted is None:
        pair = keep(open_run, store, Kind.PAIR, name, tags, parent)
        known: dict[str | None, Run] = {}
    else:
        pair = keep(reopen_run, store, interrupted)
        point_launcher_at(store, pair.run_id, "resumed an interrupted pair")
        if parent is not None:
            pair.set_tags({"mlflow.parentRunId": parent.run_id})
        known = {run.data.tags.get(Tag.SIDE): run for run in children(store.client, interrupted, Kind.ENDPOINT)}
    endpoints = {}
    for side in SIDES:
        if side in known:
            endpoints[side] = keep(reopen_run, store, known[side])
        else:
            endpoints[side] = keep(
                open_run, store, Kind.ENDPOINT, f"{name} side {side}", {**tags, Tag.SIDE: side}, pair
            )
    probe_artifacts(pair, _config_text(config), "config.json")
    pair.log_arrays({"A": data.sides.a, "B": data.sides.b}, Artifact.SPLIT)
    for side, run in [("A", pair), ("B", pair), *endpoints.items()]:
        _log_inputs(run, config, data, side)
    for run in (pair, *endpoints.values()):
        run.log_params(to_params(config))
    for side, run in endpoints.items():
        g = noise_scale(config.optimization.lr, len(data.side(side)), config.optimization.batch_size)
        run.set_tags({Tag.NOISE_SCALE: f"{g:.6g}"})
    return PairRuns(pair, endpoints)


def _tags(config: TrainPairConfig, data: ShiftedData) -> dict[str, str]:
    return {
        Tag.DATASET: config.data.dataset,
        Tag.MODEL: config.model.model,
        Tag.SHIFT: config.data.shift,
        Tag.SEED: str(config.model.seed),
        Tag.NOISE: config.noise.noise,
        Tag.LR: f"{config.optimization.lr:g}",
        Tag.BATCH_SIZE: str(config.optimization.batch_size),
        Tag.FINGERPRINT: fingerprint(config),
        Tag.DATA_DIGEST: data.digest,
    }


def _config_text(config: TrainPairConfig) -> str:
    return json.dumps(to_nested(config), indent=1)


def _log_inputs(run: TrackedRun, config: TrainPairConfig, data: ShiftedData, side: str) -> None:
    name, root = config.data.dataset, config.data.data_root
    part = data.side(side)
    profile = {"num_images": len(part), "num_classes": len(data.classes)}
    run.log_dataset(f"{name} {config.data.shift} side {side}", part.digest, root, profile, f"train_{side.lower()}")
    run.log_dataset(f"{name} test", data.test.digest, root, {"num_images": len(data.test)}, "test")
