"""Opens the run of a star and logs what is known before training."""

import json

from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import StarConfig, TrainPairConfig
from lmc_mlflow.config.starting import StartConfig
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, WantedRun
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, log_data
from lmc_mlflow.workflows.networks.run_names import condition_words, fit
from lmc_mlflow.workflows.networks.tags import members_tag
from lmc_mlflow.workflows.star.sources import StarInputs

TRAINED = ("data", "model", "noise", "optimization")
"""Sections of a pair's configuration that are logged of a star too, as an endpoint logs them."""


def pair_config_of(config: StarConfig, inputs: StarInputs, optimization: OptimizationConfig) -> TrainPairConfig:
    """Describe a star's training by a pair's configuration, so that its checkpoint can be used as an endpoint's.

    Dropout and data are the first source's.
    """
    first = inputs.sources[0].config
    return TrainPairConfig(
        data=first.data,
        model=type(first.model)(
            model=first.model.model, dropout_rate=first.model.dropout_rate, seed=config.segments.star_seed
        ),
        noise=NoiseConfig(),
        optimization=optimization,
        starting=StartConfig(**vars(config.starting)),
    )


def star_name(config: StarConfig, inputs: StarInputs) -> str:
    """Name a star as a person would."""
    first = inputs.sources[0].config
    return (
        f"star {first.data.dataset} {first.model.model} {first.data.shift} of {len(inputs.sources)} sources, "
        f"seed {config.segments.star_seed}"
    )


def star_identity(config: StarConfig, inputs: StarInputs) -> dict[str, str]:
    """Give the tags that tell a star from all others: its configuration and the content of its data."""
    return {Tag.FINGERPRINT: fingerprint(config), Tag.DATA_DIGEST: inputs.data.digest}


def open_star(
    wanted: WantedRun, config: StarConfig, inputs: StarInputs, optimization: OptimizationConfig
) -> TrackedRun:
    """Open the run, or reopen the interrupted one, and log all that is known before training."""
    trained = pair_config_of(config, inputs, optimization)
    as_pair = to_params(trained)
    params = {key: text for key, text in as_pair.items() if key.split(".")[0] in TRAINED} | to_params(config)
    content = {"sources": list(config.joined.sources), "held_out": list(config.joined.held_out)}
    first_file = (Artifact.STAR_SOURCES, json.dumps(content, indent=1))
    tags = _tags(config, inputs, optimization)
    run_name = fit([f"star s{config.segments.star_seed} of {len(inputs.sources)}", *condition_words([trained])])
    run = wanted.open(RunStart(run_name, tags, params, first_file))
    sides = inputs.data.sides
    run.log_arrays({"A": sides.a, "B": sides.b}, Artifact.SPLIT)
    section = inputs.sources[0].config.data
    used = {"train": InputImages(inputs.train, section, inputs.side), "test": InputImages(inputs.data.test, section)}
    log_data(run, used, len(inputs.data.classes))
    return run


def _tags(config: StarConfig, inputs: StarInputs, optimization: OptimizationConfig) -> dict[str, str]:
    first = inputs.sources[0].config
    return {
        Tag.DATASET: first.data.dataset,
        Tag.MODEL: first.model.model,
        Tag.SHIFT: first.data.shift,
        Tag.SEED: str(config.segments.star_seed),
        Tag.SIDE: inputs.side,
        Tag.LR: f"{optimization.lr:g}",
        Tag.BATCH_SIZE: str(optimization.batch_size),
        Tag.NUM_SOURCES: str(len(inputs.sources)),
        Tag.SOURCES: members_tag(config.joined.sources),
        Tag.HELD_OUT: members_tag(config.joined.held_out),
        **({Tag.START: config.starting.start} if config.starting.start else {}),
    }
