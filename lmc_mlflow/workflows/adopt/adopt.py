"""Logs a network that was trained elsewhere as an endpoint run, once."""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lmc_mlflow import weights
from lmc_mlflow.config.adopting import AdoptConfig, AdoptingConfig
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.train_pair import ELSEWHERE, ModelConfig, OptimizationConfig
from lmc_mlflow.contract import UNKNOWN_SIDE, Artifact, Kind, Tag
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.models.libraries.timm_networks import timm_normalization
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.adopt.fit import Fitted, fit_network
from lmc_mlflow.workflows.adopt.found_network import FoundNetwork, find_network
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE, Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, run_once
from lmc_mlflow.workflows.networks.dataset_inputs import InputImages, log_data
from lmc_mlflow.workflows.networks.derived import log_checkpoint
from lmc_mlflow.workflows.networks.run_names import adopted_run_name

logger = logging.getLogger(__name__)
CHANCE = 2.0
"""Times the accuracy of guessing: an adopted network below it is likely given the wrong images."""


@dataclass(frozen=True)
class AdoptOutcome(Outcome):
    """An adopted network.

    Attributes:
        source: where it came from.
        side: that it was trained on.
        notes: what was done to read its weights.
    """

    source: str
    side: str
    notes: tuple[str, ...] = ()


def adopt(config: AdoptConfig) -> AdoptOutcome:
    """Log a network that was trained elsewhere: verified, tested once, and usable wherever an endpoint is.

    Raises:
        ValueError: the network, its weights or the data cannot be used; says how to put it right.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    with tempfile.TemporaryDirectory() as folder:
        source = find_network(store, config.adopting, Path(folder))
    config = _with_scaling(config, source)
    data = load_shifted(config.data, device)
    fitted = fit_network(source, config.adopting, data)
    training = _training(config, source)
    identity = _identity(config.adopting, training, fitted, data)
    side = config.adopting.trained_on
    with run_once(store, Kind.ENDPOINT, identity, config.adopting.force) as wanted:
        if wanted.finished is not None:
            return AdoptOutcome.of(wanted.finished, FINISHED_BEFORE, source=source.where, side=side)
        name = adopted_run_name(source.label, training)
        tags = {Tag.DATASET: config.data.dataset, Tag.MODEL: source.model, Tag.SHIFT: config.data.shift}
        known = {key: text for key, text in to_params(training).items() if key.startswith(("model.model", "data."))}
        params = to_params(config) | known | {"optimization.loop": ELSEWHERE}
        first_file = ("source.txt", f"{source.where}\n")
        run = wanted.open(RunStart(name, {**tags, **source.tags, Tag.SIDE: side}, params, first_file))
        metrics = _log(run, config, training, source, fitted, data)
    return AdoptOutcome(
        run.run_id, name, "adopted", metrics, run.experiment_id, source.where, side, source.notes + fitted.notes
    )


def _with_scaling(config: AdoptConfig, source: FoundNetwork) -> AdoptConfig:
    """Scale pixels as timm does for a network, where that is asked for.

    Raises:
        ValueError: the network is none of timm's, or another scaling is given too.
    """
    if config.adopting.scaling != "timm":
        return config
    if facts_of(source.model).library != "timm" or config.data.normalization != DataConfig().normalization:
        raise ValueError("scaling=timm belongs to model=timm:<name>, without normalization; leave one of them out")
    mean, std = timm_normalization(source.model)
    return replace(config, data=replace(config.data, normalization="given", mean=mean, std=std))


def _training(config: AdoptConfig, source: FoundNetwork) -> TrainPairConfig:
    """Give what is known of the training, in the form that all networks have."""
    model = ModelConfig(model=source.model, model_options=source.model_options)
    return TrainPairConfig(config.data, model, optimization=OptimizationConfig(loop=ELSEWHERE))


def _identity(config: AdoptingConfig, training: TrainPairConfig, fitted: Fitted, data: ShiftedData) -> dict[str, str]:
    beside = (f"output={config.output}",)
    return {
        Tag.FINGERPRINT: fingerprint(training, beside=beside),
        Tag.DATA_DIGEST: data.digest,
        Tag.WEIGHTS_DIGEST: weights.digest(fitted.state),
        Tag.SIDE: config.trained_on,
    }


def _log(
    run: TrackedRun,
    config: AdoptConfig,
    training: TrainPairConfig,
    source: FoundNetwork,
    fitted: Fitted,
    data: ShiftedData,
) -> dict[str, float]:
    """Log weights, what rebuilds the network, its scores, and where it came from."""
    side = config.adopting.trained_on
    digests = {"data": data.digest, "test": data.test.digest, "train": ""}
    inputs = {"test": InputImages(data.test, config.data)}
    if side != UNKNOWN_SIDE:
        own = data.side(side)
        digests["train"] = own.digest
        inputs |= {f"train_{side.lower()}": InputImages(own, config.data, side)}
        run.log_arrays({"A": data.sides.a, "B": data.sides.b}, Artifact.SPLIT)
    log_data(run, inputs, len(data.classes))
    if Tag.SOURCE_MODEL in source.tags:
        run.log_model_input(source.tags[Tag.SOURCE_MODEL])
    metrics = _scores(fitted, data, side) | {"num_parameters": float(num_parameters(fitted.network))}
    run.log_metrics(metrics)
    log_checkpoint(run, fitted.state, fitted.spec, training, side, run.run_id, digests)
    notes = source.notes + fitted.notes
    if notes:
        run.log_text("".join(f"{note}\n" for note in notes), "adopting.txt")
    run.describe(_description(config, source, metrics, score_name(data.test.labels), notes))
    _warn_of_chance(metrics, len(data.classes))
    return metrics


def _scores(fitted: Fitted, data: ShiftedData, side: str) -> dict[str, float]:
    parts = {"test": data.test} | ({} if side == UNKNOWN_SIDE else {"train": data.side(side)})
    found: dict[str, float] = {}
    for name, part in parts.items():
        scores = evaluate(fitted.network, part.images, part.labels)
        found |= {f"{name}/loss": scores.loss, f"{name}/{score_name(part.labels)}": scores.score}
    return found


def _warn_of_chance(metrics: Mapping[str, float], num_classes: int) -> None:
    accuracy = metrics.get("test/accuracy", 1.0)
    if accuracy < CHANCE / num_classes and num_classes > CHANCE:
        logger.warning(
            "the adopted network is right on %.1f %% of the test images, and guessing is on %.1f %%: are its "
            "normalization, its classes and their order those of the data set?",
            100 * accuracy, 100 / num_classes,
        )  # fmt: skip


def _description(
    config: AdoptConfig, source: FoundNetwork, metrics: Mapping[str, float], score: str, notes: tuple[str, ...]
) -> str:
    side = config.adopting.trained_on
    trained = (
        "nobody has said on what; only the test set can be used"
        if side == UNKNOWN_SIDE
        else f"on {'both sides' if side == 'both' else f'side {side}'} of `{config.data.shift}`"
    )
    run = f" of run `{source.tags[Tag.SOURCE_RUN]}`" if Tag.SOURCE_RUN in source.tags else ""
    told = "".join(f"\n- {note}" for note in notes)
    return (
        f"**Test {score.replace('_', ' ')} {metrics[f'test/{score}']:.2%}**, loss {metrics['test/loss']:.4f} on "
        f"{config.data.dataset}.\n\nTrained elsewhere, {trained}. From `{source.where}`{run}; network "
        f"`{source.model}`, {metrics['num_parameters']:,.0f} trained parameters.{told}"
    )
