"""Which run is a star, was it trained before, and what is logged of it before training?"""

import json

from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import StarConfig, TrainPairConfig
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.contract import Artifact, Kind, Tag
from lmc_mlflow.query.runs import Run, find_trainings
from lmc_mlflow.tracking.lifecycle import (
    Keep,
    open_run,
    point_launcher_at,
    probe_artifacts,
    reopen_run,
)
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.tracking.store import Store
from lmc_mlflow.workflows.ensemble.ensemble import members_tag
from lmc_mlflow.workflows.lifecycle.previous_runs import Before, sort_out
from lmc_mlflow.workflows.star.sources import Joined

TRAINED = ("data", "model", "noise", "optimization")
"""Sections under which a star says how it was trained, as an endpoint does."""


def trained_as(config: StarConfig, joined: Joined, optimization: OptimizationConfig) -> TrainPairConfig:
    """A star's training in the words of a pair's: what its checkpoint says, so that it can be used as an endpoint.

    Dropout and data are the first source's.
    """
    first = joined.sources[0].config
    return TrainPairConfig(
        data=first.data,
        model=type(first.model)(
            model=first.model.model, dropout_rate=first.model.dropout_rate, seed=config.segments.star_seed
        ),
        noise=NoiseConfig(),
        optimization=optimization,
    )


def star_name(config: StarConfig, joined: Joined) -> str:
    """What a person would call the star."""
    first = joined.sources[0].config
    return (
        f"star {first.data.dataset} {first.model.model} {first.data.shift} of {len(joined.sources)} sources, "
        f"seed {config.segments.star_seed}"
    )


def claim_key(store: Store, config: StarConfig, joined: Joined) -> str:
    """What a process claims that is going to train this star."""
    return f"star-{store.experiment_id}-{fingerprint(config)}-{joined.data.digest}"


def look_before(store: Store, config: StarConfig, joined: Joined) -> Before:
    """Look for the same star in the store.

    Raises:
        AtWorkError: it is being trained at this moment.
    """
    runs = find_trainings(store.client, store.experiment_id, Kind.STAR, fingerprint(config), joined.data.digest)
    return sort_out(runs)


def open_star(
    store: Store,
    config: StarConfig,
    joined: Joined,
    optimization: OptimizationConfig,
    interrupted: Run | None,
    keep: Keep,
) -> TrackedRun:
    """Open the run, or reopen the interrupted one, and log all that is known before training."""
    if interrupted is None:
        run = keep(open_run, store, Kind.STAR, star_name(config, joined), _tags(config, joined, optimization))
    else:
        run = keep(reopen_run, store, interrupted)
        point_launcher_at(store, run.run_id, "resumed an interrupted star")
    content = {"sources": list(config.joined.sources), "held_out": list(config.joined.held_out)}
    probe_artifacts(run, json.dumps(content, indent=1), Artifact.STAR_SOURCES)
    sides = joined.data.sides
    run.log_arrays({"A": sides.a, "B": sides.b}, Artifact.SPLIT)
    as_pair = to_params(trained_as(config, joined, optimization))
    run.log_params({key: text for key, text in as_pair.items() if key.split(".")[0] in TRAINED})
    run.log_params(to_params(config))
    section = joined.sources[0].config.data
    for name, part in (("train", joined.train), ("test", joined.data.test)):
        run.log_dataset(
            f"{section.dataset} {section.shift} {joined.side if name == 'train' else name}",
            part.digest,
            section.data_root,
            {"num_images": len(part), "num_classes": len(joined.data.classes)},
            name,
        )
    return run


def _tags(config: StarConfig, joined: Joined, optimization: OptimizationConfig) -> dict[str, str]:
    first = joined.sources[0].config
    return {
        Tag.DATASET: first.data.dataset,
        Tag.MODEL: first.model.model,
        Tag.SHIFT: first.data.shift,
        Tag.SEED: str(config.segments.star_seed),
        Tag.SIDE: joined.side,
        Tag.LR: f"{optimization.lr:g}",
        Tag.BATCH_SIZE: str(optimization.batch_size),
        Tag.FINGERPRINT: fingerprint(config),
        Tag.DATA_DIGEST: joined.data.digest,
        Tag.NUM_SOURCES: str(len(joined.sources)),
        Tag.SOURCES: members_tag(config.joined.sources),
        Tag.HELD_OUT: members_tag(config.joined.held_out),
    }
