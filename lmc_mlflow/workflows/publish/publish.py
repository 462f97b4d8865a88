"""Publishes what a finished run holds as an MLflow model: a network, a point of a path, or an ensemble."""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lmc_mlflow import __version__, weights
from lmc_mlflow.config.publish import PIXELS, PublicationConfig, PublishCommandConfig
from lmc_mlflow.contract import SETTING_TAGS, Kind, Tag, tag
from lmc_mlflow.query.networks import resolve_finished
from lmc_mlflow.query.runs import Run
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.tracking.exported_networks import export_network
from lmc_mlflow.tracking.launcher_run import point_launcher_at
from lmc_mlflow.tracking.locks import hold_locks
from lmc_mlflow.tracking.published_models import (
    ModelCard,
    PublishedModel,
    find_model,
    link_metrics,
    register,
    write_model,
)
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import Outcome
from lmc_mlflow.workflows.publish.build import BuiltNetwork, build_published
from lmc_mlflow.workflows.publish.sources import Source, find_source

PUBLISHED_BEFORE = "published before"
FORMAT = 1
"""Of the models: another number makes a new model of what was published before."""
MAX_NAME = 100
INPUTS = {
    PIXELS: "images (N, {shape}) float32 with pixels from 0 to 1",
    "scaled": "images (N, {shape}) float32, scaled as in training",
}
"""What a model takes -> in words."""
OUTPUTS = {"log_probabilities": "log-probabilities", "logits": "logits"}


@dataclass(frozen=True)
class PublishOutcome(Outcome):
    """A published model; the run is the one that it came from.

    Attributes:
        model_id: of the model.
        model_uri: by which MLflow loads it.
        takes: its inputs, in words.
        gives: its outputs, in words.
        registered: the name that it is registered under, or empty.
        version: of that name, or empty.
    """

    model_id: str
    model_uri: str
    takes: str
    gives: str
    registered: str
    version: str


def publish(config: PublishCommandConfig) -> PublishOutcome:
    """Publish what a run holds; or give the model, where the same was published before.

    Raises:
        ValueError: a run, a network or data that cannot be used; says how to put it right.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    outcome = publish_run(store, config.publication, device)
    point_launcher_at(store, outcome.run_id, f"published as {outcome.model_uri}")
    return outcome


def publish_run(store: Store, wanted: PublicationConfig, device: torch.device) -> PublishOutcome:
    """Publish what a run holds.

    Args:
        store: where the run is.
        wanted: which run, and how.
        device: where batch norm is recalibrated.

    Raises:
        LockedError: another process publishes the same now.
    """
    run = resolve_finished(store.client, wanted.run)
    store = beside(store, run.info.experiment_id)
    source = find_source(store, run, wanted.alpha)
    key = _key(run, source, wanted.input)
    model, how = _find(store, run, key), PUBLISHED_BEFORE
    if model is None:
        with hold_locks(store) as lock:
            lock(f"publish-{key}")
            model = _find(store, run, key)  # another process may have published it meanwhile
            if model is None:
                model, how = _publish(store, run, source, wanted, key, device), "published"
    version = register(store.client, model, wanted.name) if wanted.name else ""
    if run.data.tags.get(Tag.PUBLISHED) != model.uri:
        store.client.set_tag(run.info.run_id, Tag.PUBLISHED, model.uri)
    return PublishOutcome.of(
        run,
        how,
        model_id=model.model_id,
        model_uri=model.uri,
        takes=_takes(source, wanted.input),
        gives=_gives(source),
        registered=wanted.name,
        version=version,
    )


def _find(store: Store, run: Run, key: str) -> PublishedModel | None:
    return find_model(store.client, run.info.experiment_id, run.info.run_id, key)


def _publish(
    store: Store, run: Run, source: Source, wanted: PublicationConfig, key: str, device: torch.device
) -> PublishedModel:
    built = build_published(store, source, wanted.input, device, wanted.data_root)
    card = _card(run, source, wanted.input, built, key)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        try:
            exported = export_network(built.network, built.example, card.metadata, place)
        except ValueError as error:
            raise ValueError(f"run {run.info.run_id}: model {source.networks[0].spec.model}: {error}") from None
        model = write_model(store.client, run.info.run_id, card, exported, place)
    link_metrics(store.client, run.info.run_id, model.model_id, source.metrics, source.step)
    return model


def _key(run: Run, source: Source, taken: str) -> str:
    """Digest all that decides a model: the weights that it is made of, and how."""
    content = {
        "format": FORMAT,
        "run": run.info.run_id,
        "networks": [[weights.digest(network.state), vars(network.spec)] for network in source.networks],
        "members": source.members,
        "recipe": dict(source.recipe),
        "input": taken,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _card(run: Run, source: Source, taken: str, built: BuiltNetwork, key: str) -> ModelCard:
    first = source.networks[0]
    settings = {name: run.data.tags[tag(name)] for name in SETTING_TAGS if tag(name) in run.data.tags}
    how = {name: source.recipe[name] for name in ("alpha", "bn") if source.recipe.get(name)}
    kind = run.data.tags[Tag.KIND]
    metadata: dict[str, Any] = {
        "made_by": f"lmc_mlflow {__version__}",
        "run_id": run.info.run_id,
        "kind": kind,
        **settings,
        **how,
        **({"alpha": float(how["alpha"])} if "alpha" in how else {}),
        "num_members": len(source.members),
        "networks": [network.run.info.run_id for network in source.networks],
        "takes": _takes(source, taken),
        "gives": _gives(source),
        "classes": list(built.classes),
        "normalization": first.config.data.normalization,
    }
    if built.scaling is not None:
        metadata |= {
            "full_scale": built.scaling.full_scale,
            "mean": list(built.scaling.mean),
            "deviation": list(built.scaling.deviation),
        }
    tags = {Tag.KIND: kind, **{tag(name): value for name, value in settings.items()}}
    params = {**settings, "kind": kind, **how, "input": taken}
    words = [run.info.run_name or kind, *([f"alpha {source.recipe['alpha']}"] if kind == Kind.PATH else []), taken]
    return ModelCard(_model_name(words), key, tags, params, metadata)


def _model_name(words: Iterable[str]) -> str:
    """Join words to a name of the characters that MLflow allows in names of models."""
    return re.sub(r"[^\w]+", "-", " ".join(words).replace(".", "_"), flags=re.ASCII).strip("-")[:MAX_NAME]


def _takes(source: Source, taken: str) -> str:
    spec = source.networks[0].spec
    return INPUTS[taken].format(shape=f"{spec.channels}, {spec.height}, {spec.width}")


def _gives(source: Source) -> str:
    spec = source.networks[0].spec
    return f"{OUTPUTS[spec.output]} (N, {spec.num_classes})"
