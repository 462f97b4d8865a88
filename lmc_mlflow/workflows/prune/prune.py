"""Removes the redundant units of logged MLPs, and logs the smaller networks."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import PruneCommandConfig
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.data.loading import ShiftedData
from lmc_mlflow.evaluation import BATCH_SIZE
from lmc_mlflow.models.families import facts_of
from lmc_mlflow.models.pruning import prune
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.networks import LoggedNetwork, load_network
from lmc_mlflow.query.runs import Run, resolve_run
from lmc_mlflow.tracking.connection.store import Store, beside, open_store
from lmc_mlflow.tracking.launcher_run import point_launcher_at
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE, Outcome
from lmc_mlflow.workflows.lifecycle.run_once import RunStart, WantedRun, run_session
from lmc_mlflow.workflows.networks.derived import TRAIN_SECONDS, log_network, train_seconds
from lmc_mlflow.workflows.networks.pair_of_networks import rebuild
from lmc_mlflow.workflows.networks.run_names import group_run_name
from lmc_mlflow.workflows.networks.selection import find_runs
from lmc_mlflow.workflows.networks.tags import inherited_tags
from lmc_mlflow.workflows.prune.results import (
    compare,
    describe_pruned,
    layers_of,
    log_heat_maps,
    pruned_network,
    unit_counts,
)


@dataclass(frozen=True)
class PruneOutcome(Outcome):
    """A pruned network: `how` is `pruned` or `finished before`.

    Attributes:
        endpoint: run id of the network that was pruned.
    """

    endpoint: str


def prune_runs(config: PruneCommandConfig) -> list[PruneOutcome]:
    """Prune the networks that a configuration names, each in a run of its own, unless that was done before.

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
        endpoint = origin.info.run_id
        identity = {Tag.ENDPOINT: endpoint, Tag.FINGERPRINT: prune_fingerprint(config)}
        with run_session(beside(store, origin.info.experiment_id)) as session:
            wanted = session.find(Kind.PRUNED, identity)
            if wanted.finished is not None:
                outcomes.append(PruneOutcome.of(wanted.finished, FINISHED_BEFORE, endpoint=endpoint))
                continue
            network = load_network(store.client, endpoint)
            network.refuse_if_diverged()
            key = f"{network.config.data} {network.split_run} {network.digests}"
            if key not in data:
                data = {key: rebuild(store, network, config.pruning.data_root, device)}  # the last one's alone
            run = _prune_one(wanted, config, network, data[key])
        outcomes.append(PruneOutcome.of(store.client.get_run(run.run_id), "pruned", endpoint=endpoint))
    if all(outcome.how == FINISHED_BEFORE for outcome in outcomes):
        point_launcher_at(store, outcomes[0].run_id, "this network was pruned so before")
    return outcomes


def _origins(store: Store, config: PruneCommandConfig) -> list[Run]:
    if config.pruning.run:
        return [resolve_run(store.client, config.pruning.run)]
    found = find_runs(store, config.pruning.query)
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


def prune_fingerprint(config: PruneCommandConfig) -> str:
    """Digest what counts as redundant, whichever the network."""
    return fingerprint(config, without=("run", "query"))


def _prune_one(wanted: WantedRun, config: PruneCommandConfig, origin: LoggedNetwork, data: ShiftedData) -> TrackedRun:
    device = data.test.labels.device
    network = origin.network().to(device)
    training = data.side(origin.side).images
    layers = layers_of(origin.network())  # on the CPU: units are merged one by one, each with a decision
    activation = network.get_submodule("relu1")

    def batches() -> "map[Tensor]":
        return map(_flat, training.batches(None, BATCH_SIZE))

    with torch.no_grad():
        reduced = prune(layers, _applied(activation), batches, config.pruning)
    pruned = pruned_network(origin, reduced, config.pruning)
    tags = inherited_tags(origin) | {Tag.MODEL: pruned.config.model.model}
    first_file = ("endpoint.txt", f"{origin.run.info.run_id}\n")
    run = wanted.open(RunStart(group_run_name("pruned", (origin,)), tags, to_params(config), first_file))
    metrics = compare(network, pruned.network().to(device), data.test) | unit_counts(reduced)
    metrics[TRAIN_SECONDS] = train_seconds(origin)
    run.log_metrics(metrics)
    log_network(run, pruned)
    run.log_arrays({f"layer_{i}": kept.cpu().numpy() for i, kept in enumerate(reduced.kept, start=1)}, "kept.npz")
    if config.pruning.heat_maps:
        log_heat_maps(run, origin, layers, reduced)
    run.describe(describe_pruned(config.pruning, origin, reduced, metrics, score_name(data.test.labels)))
    return run


def _flat(images: Tensor) -> Tensor:
    return images.flatten(1).cpu()


def _applied(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def activation(x: Tensor) -> Tensor:
        out: Tensor = module(x)
        return out

    return activation
