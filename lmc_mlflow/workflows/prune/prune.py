"""How are redundant units taken out of logged MLPs, and what is logged of it?"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import PruneCommandConfig
from lmc_mlflow.contract import FINISHED, Kind, Tag
from lmc_mlflow.contract import where as has_tags
from lmc_mlflow.data.loading import ShiftedData
from lmc_mlflow.evaluation import BATCH_SIZE
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.models.pruning import prune
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.query.runs import Run, resolve_run, search
from lmc_mlflow.tracking.lifecycle import (
    ending,
    open_run,
    point_launcher_at,
    probe_artifacts,
)
from lmc_mlflow.tracking.store import Store, open_store
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.networks.checkpoints import log_network
from lmc_mlflow.workflows.networks.derived import (
    TRAIN_SECONDS,
    display_name,
    inherited_tags,
    train_seconds,
)
from lmc_mlflow.workflows.networks.pair_of_networks import rebuild
from lmc_mlflow.workflows.prune.results import (
    compared,
    layers_of,
    log_heat_maps,
    pruned_description,
    pruned_network,
    unit_counts,
)


@dataclass(frozen=True)
class PruneOutcome:
    """A pruned network's run, and its numbers; `how` is `pruned` or `finished before`."""

    run: str
    endpoint: str
    name: str
    how: str
    metrics: dict[str, float]
    experiment_id: str


def prune_runs(config: PruneCommandConfig) -> list[PruneOutcome]:
    """Prune the networks that a configuration names, each in a run of its own; those pruned before are pointed at.

    Raises:
        ValueError: a run cannot be used, or is no MLP without norms; found before any run is opened.
        StoreError: the tracking store cannot be used.
    """
    device = prepare_machine(config.runtime)
    store = open_store()
    origins = _origins(store, config)
    for origin in origins:
        _refuse_others(origin)
    data: dict[str, ShiftedData] = {}
    outcomes = []
    for origin in tqdm(origins, desc="pruning", unit="network", disable=None if len(origins) > 1 else True):
        before = _before(store, config, origin)
        if before is not None:
            outcomes.append(_outcome(before, origin.info.run_id, "finished before"))
            continue
        network = load_network(store.client, origin.info.run_id)
        key = f"{network.config.data} {network.split_run} {network.digests}"
        if key not in data:
            data = {key: rebuild(store, network, config.pruning.data_root, device)}  # the last one's alone
        run_id = _prune_one(store, config, network, data[key])
        outcomes.append(_outcome(store.client.get_run(run_id), origin.info.run_id, "pruned"))
    if all(outcome.how == "finished before" for outcome in outcomes):
        point_launcher_at(store, outcomes[0].run, "this network was pruned so before")
    return outcomes


def _origins(store: Store, config: PruneCommandConfig) -> list[Run]:
    if config.pruning.run:
        return [resolve_run(store.client, config.pruning.run)]
    where = f"{has_tags(kind=Kind.ENDPOINT)} and {FINISHED} and {config.pruning.query}"
    found = search(store.client, where)
    if not found:
        raise ValueError(f"query={config.pruning.query!r} finds no finished endpoint run")
    return found


def _refuse_others(origin: Run) -> None:
    model = origin.data.tags.get(Tag.MODEL, "")
    facts = facts_of(model)
    if facts.family != "MLP" or facts.norm:
        raise ValueError(
            f"run {origin.info.run_id}: {model or 'no network of ours'} cannot be pruned; "
            "choose an MLP without norms, as mlp_l1_w587"
        )


def _before(store: Store, config: PruneCommandConfig, origin: Run) -> Run | None:
    wanted = {Tag.KIND: Kind.PRUNED, Tag.ENDPOINT: origin.info.run_id, Tag.FINGERPRINT: prune_fingerprint(config)}
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items())
    found = search(store.client, f"{where} and attributes.status = 'FINISHED'", [store.experiment_id])
    return found[-1] if found else None


def prune_fingerprint(config: PruneCommandConfig) -> str:
    """Digest of what counts as redundant, whichever the network."""
    return fingerprint(config, without=("run", "query"))


def _outcome(run: Run, endpoint: str, how: str) -> PruneOutcome:
    return PruneOutcome(
        run.info.run_id, endpoint, run.info.run_name or "", how, dict(run.data.metrics), run.info.experiment_id
    )


def _prune_one(store: Store, config: PruneCommandConfig, origin: LoggedNetwork, data: ShiftedData) -> str:
    device = data.test.labels.device
    network = origin.network().to(device)
    training = data.side(origin.side).images
    layers = layers_of(network)
    activation = network.get_submodule("relu1")

    def batches() -> "map[Tensor]":
        return map(_flat, training.batches(None, BATCH_SIZE))

    with torch.no_grad():
        reduced = prune(layers, _applied(activation), batches, config.pruning)
    pruned = pruned_network(origin, reduced, config.pruning)
    with ending() as keep:
        name = f"pruned {display_name(origin)}"
        tags = inherited_tags(origin) | {
            Tag.MODEL: pruned.config.model.model,
            Tag.ENDPOINT: origin.run.info.run_id,
            Tag.FINGERPRINT: prune_fingerprint(config),
        }
        run = keep(open_run, store, Kind.PRUNED, name, tags)
        probe_artifacts(run, f"{origin.run.info.run_id}\n", "endpoint.txt")
        run.log_params(to_params(config))
        metrics = compared(network, pruned.network().to(device), data.test) | unit_counts(reduced)
        metrics[TRAIN_SECONDS] = train_seconds(origin)
        run.log_metrics(metrics)
        log_network(run, pruned)
        run.log_arrays({f"layer_{i}": kept.cpu().numpy() for i, kept in enumerate(reduced.kept, start=1)}, "kept.npz")
        if config.pruning.heat_maps:
            log_heat_maps(run, origin, layers, reduced)
        run.describe(pruned_description(config.pruning, origin, reduced, metrics, score_name(data.test.labels)))
        run.seal()
        run.finish()
    return run.run_id


def _flat(images: Tensor) -> Tensor:
    return images.flatten(1)


def _applied(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def activation(x: Tensor) -> Tensor:
        out: Tensor = module(x)
        return out

    return activation
