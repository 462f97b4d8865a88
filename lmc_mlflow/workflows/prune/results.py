"""Builds the pruned network, and describes it beside the network that it was made from."""

from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lmc_mlflow.config.ensemble_and_prune import PruneConfig
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.evaluation import evaluate, predict
from lmc_mlflow.models.names import with_widths
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.models.pruning import (
    UNIT_STATUSES,
    LinearLayer,
    PrunedMLP,
    Units,
    cosines,
    incoming_weights,
    widen,
)
from lmc_mlflow.plots.per_run.unit_similarity import unit_similarity
from lmc_mlflow.predictions.scores import score_name
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.networks.derived import derive_network, display_name


def layers_of(network: nn.Module) -> list[LinearLayer]:
    """List the weights and biases of an MLP's linear layers, from the first to the last."""
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return [(module.weight.detach(), module.bias.detach()) for module in linear]


def pruned_network(origin: LoggedNetwork, reduced: PrunedMLP, rules: PruneConfig) -> LoggedNetwork:
    """Build the pruned network, as wide as it was or narrower; a layer of no units gets one unit of zeros."""
    settings = origin.config
    if rules.keep_width:
        widths = [len(fate) for fate in reduced.statuses]
    else:
        widths = [max(1, len(kept)) for kept in reduced.kept]
        name = with_widths(settings.model.model, widths)
        settings = replace(settings, model=replace(settings.model, model=name))
    own = rules.keep_width and rules.place == "own"
    places = [kept if own else torch.arange(len(kept), device=kept.device) for kept in reduced.kept]
    state: dict[str, Tensor] = {}
    for i, (weight, bias) in enumerate(widen(reduced.layers, places, widths), start=1):
        state |= {f"linear{i}.weight": weight.float(), f"linear{i}.bias": bias.float()}
    return derive_network(origin, state, settings)


def compare(before: nn.Module, after: nn.Module, test: LabelledImages) -> dict[str, float]:
    """Measure test loss and score of both, the largest difference of an output, and count the parameters left."""
    score = score_name(test.labels)
    old, new = (evaluate(network, test.images, test.labels) for network in (before, after))
    outputs = [predict(network, test.images) for network in (before, after)]
    return {
        "test/loss": new.loss,
        f"test/{score}": new.score,
        "test/loss_before": old.loss,
        f"test/{score}_before": old.score,
        "max_output_difference": float((outputs[0] - outputs[1]).abs().max()),
        "num_parameters": num_parameters(after),
    }


def unit_counts(reduced: PrunedMLP) -> dict[str, float]:
    """Count the units before and after, and what became of the others, layer by layer."""
    found: dict[str, float] = {}
    for i, fates in enumerate(reduced.statuses, start=1):
        counted = Counter(fates)
        found[f"units/layer_{i}"] = counted["kept"]
        found[f"units_before/layer_{i}"] = len(fates)
        found |= {f"units_{fate}/layer_{i}": counted[fate] for fate in UNIT_STATUSES if fate != "kept"}
    return found


def log_heat_maps(run: TrackedRun, origin: LoggedNetwork, layers: list[LinearLayer], reduced: PrunedMLP) -> None:
    """Log figures of the similarity of the units of every hidden layer, before and after."""
    for i, fates in enumerate(reduced.statuses):
        for when, now, fate in (("before", layers, list(fates)), ("after", reduced.layers, None)):
            into, out = incoming_weights(now[i]).double(), now[i + 1][0].double().T
            units = Units(torch.arange(len(into)), into, out)
            title = f"{display_name(origin)}\nunits of hidden layer {i + 1} {when} pruning"
            figure = unit_similarity(
                _array(cosines(into)), _array(units.strengths()), fate or ["kept"] * len(into), title
            )
            run.log_figure(figure, f"figures/units_layer_{i + 1}_{when}.png")


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.cpu().numpy(), dtype=np.float64)


def describe_pruned(
    rules: PruneConfig, origin: LoggedNetwork, reduced: PrunedMLP, metrics: dict[str, float], score: str
) -> str:
    """Describe the pruned network: numbers first, then each layer, then the rules."""
    rows = "\n".join(
        f"| {i} | {len(fates)} | {fates.count('kept')} | {fates.count('dead')} | {fates.count('merged')} "
        f"| {fates.count('weak')} |"
        for i, fates in enumerate(reduced.statuses, start=1)
    )
    return (
        f"**Test {score.replace('_', ' ')} {metrics[f'test/{score}']:.2%}** "
        f"(before {metrics[f'test/{score}_before']:.2%}), "
        f"test loss {metrics['test/loss']:.4f} ({metrics['test/loss_before']:.4f}); outputs moved by at most "
        f"{metrics['max_output_difference']:.3g}.\n\n"
        f"| hidden layer | units before | after | dead | merged | weak |\n|---|---|---|---|---|---|\n{rows}\n\n"
        f"Network of run `{origin.run.info.run_id}`. Merged: cosine above {rules.merge_cosine:g} ({rules.merge_to}); "
        f"weak: below {rules.drop_below:g} of the layer's mean strength. "
        f"{'Zeros stand in for the units that went.' if rules.keep_width else 'The network is narrower.'}"
    )
