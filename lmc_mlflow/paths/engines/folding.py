"""Applies all convolutional networks of a path to a batch: batch norm folded in, small pieces, one by one.

In evaluation mode batch norm is a scale and a shift of each channel, which the convolution before it can do
itself: a pass over memory less for each. On the CPU channels lie last and a batch is taken in pieces whose
feature maps stay in the cache (50 images rather than 1000: 3 times faster for ResNet10), networks in parallel threads.
Nothing here needs the path to be straight.
"""

import copy
import logging
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from threading import Event

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lmc_mlflow.batches import channels_last
from lmc_mlflow.evaluation import BATCH_SIZE
from lmc_mlflow.parallel import run_in_threads
from lmc_mlflow.paths.curves import Curve
from lmc_mlflow.paths.points import LoadPoint

logger = logging.getLogger(__name__)
PIECE_ON_CPU = 50
TOLERANCE = 1e-2
"""Of the largest output: far above rounding (TF32's too), far below what a wrong graph would do."""
Pairs = tuple[tuple[str, str], ...]
"""Names of convolutions and of the batch norms behind them."""


@dataclass(frozen=True)
class FoldedPoints:
    """Networks at points of a path; see `one_pass.Points`.

    Attributes:
        folded: the network at each alpha, without the batch norms that were folded.
        whole: position of an end -> the network there as it is.
    """

    folded: tuple[fx.GraphModule, ...]
    whole: Mapping[int, nn.Module]

    def outputs(self, images: Tensor, exact_ends: bool) -> Tensor:
        """Compute outputs (T, n, K); see `one_pass.Points`."""
        whole = self.whole if exact_ends else {}
        found = {t: network(images) for t, network in whole.items()}
        others = [t for t in range(len(self.folded)) if t not in whole]
        if images.device.type == "cpu":
            pieces = [channels_last(piece) for piece in torch.split(images, PIECE_ON_CPU)]
            tasks = [partial(self._apply, t, pieces) for t in others]
            found |= zip(others, run_in_threads(tasks, torch.get_num_threads()), strict=True)
        else:
            found |= {t: self._apply(t, [images]) for t in others}
        return torch.stack([found[t] for t in range(len(self.folded))])

    @torch.no_grad()
    def _apply(self, t: int, pieces: Sequence[Tensor], stopped: Event | None = None) -> Tensor:
        """Outputs (n, K) of the network at position t."""
        wanted = iter(pieces) if stopped is None else takewhile(lambda _: not stopped.is_set(), pieces)
        return torch.cat([self.folded[t](piece) for piece in wanted])


@dataclass(frozen=True)
class FoldingPlan:
    """How networks with folded batch norms are applied together; see `one_pass.Plan`."""

    graph: fx.GraphModule
    pairs: Pairs
    bytes_of_one: int

    def num_bytes(self) -> int:
        """Count the memory of one network; see `one_pass.Plan`."""
        return self.bytes_of_one

    def points(self, alphas: Sequence[float], load_point: LoadPoint) -> FoldedPoints:
        """Collect the networks at these alphas; see `one_pass.Plan`."""
        folded, whole = [], {}
        for t, alpha in enumerate(alphas):
            network = load_point(alpha)
            folded.append(copy.deepcopy(self.graph).requires_grad_(False))
            folded[-1].load_state_dict(folded_state(network, self.graph, self.pairs), assign=True)
            if alpha in (0, 1):
                whole[t] = copy.deepcopy(network)
        return FoldedPoints(tuple(folded), whole)


@torch.no_grad()
def plan_folding(network: nn.Module, curve: Curve, sample: Tensor) -> FoldingPlan | None:
    """Plan for a network in which batch norms stand behind convolutions.

    None for a network without such pairs, for one that torch.fx cannot trace, and for one that does not do
    what its graph does (on the sample, at A).

    Args:
        network: in evaluation mode; its weights are overwritten.
        curve: any, from A to B.
        sample: a few images (n, C, H, W).
    """
    try:
        graph, pairs = _trace(network)
    except Exception as error:  # noqa: BLE001  (tracing runs the network's own code, which may raise anything)
        logger.info("%s cannot be traced (%s): its path is measured network by network", type(network).__name__, error)
        return None
    if not pairs:
        return None
    network.load_state_dict(curve.ends[0])
    state = folded_state(network, graph, pairs)
    expected = network(sample)
    found = functional_call(graph, state, (channels_last(sample) if sample.device.type == "cpu" else sample,))
    if found.shape != expected.shape or not (found - expected).abs().max() <= TOLERANCE * expected.abs().max():
        logger.info("%s differs from its traced graph: its path is measured network by network", type(network).__name__)
        return None
    outputs = BATCH_SIZE * expected.shape[1] * expected.element_size()
    return FoldingPlan(graph, pairs, sum(tensor.nbytes for tensor in state.values()) + outputs)


def _trace(network: nn.Module) -> tuple[fx.GraphModule, Pairs]:
    """The network as a graph in which no batch norm stands behind a convolution, and what was folded."""
    body = copy.deepcopy(network)
    graph, modules = fx.Tracer().trace(body), dict(body.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    pairs = []
    for node in list(graph.nodes):
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or len(before.users) > 1 or calls[node.target] > 1:
            continue
        module, conv = modules[str(node.target)], modules.get(str(before.target))
        is_conv = before.op == "call_module" and type(conv) is nn.Conv2d
        if type(module) is nn.ReLU and (is_conv or before.target is operator.add):
            module.inplace = True  # nobody else reads what the sum or the convolution wrote
        if type(module) is nn.BatchNorm2d and module.running_var is not None and is_conv and calls[before.target] == 1:
            pairs.append((str(before.target), str(node.target)))
            node.replace_all_uses_with(before)
            graph.erase_node(node)
    for conv_name, _ in pairs:
        conv = modules[conv_name]
        assert isinstance(conv, nn.Conv2d)
        if conv.bias is None:
            conv.bias = nn.Parameter(conv.weight.new_zeros(conv.out_channels), requires_grad=False)
    return fx.GraphModule(body, graph), tuple(pairs)


def folded_state(network: nn.Module, graph: nn.Module, pairs: Pairs) -> dict[str, Tensor]:
    """Compute the graph's weights and buffers from the network's; copies, with channels last on the CPU."""
    state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    for conv, norm in pairs:
        eps = network.get_submodule(norm).eps
        weight, bias = fuse_conv_bn_weights(
            state[f"{conv}.weight"],
            state.get(f"{conv}.bias"),
            state[f"{norm}.running_mean"],
            state[f"{norm}.running_var"],
            float(eps),  # type: ignore[arg-type]
            state.get(f"{norm}.weight"),
            state.get(f"{norm}.bias"),
        )
        state[f"{conv}.weight"], state[f"{conv}.bias"] = weight.detach(), bias.detach()
    return {name: _laid_out(state[name]) for name in graph.state_dict()}


def _laid_out(tensor: Tensor) -> Tensor:
    if tensor.ndim == 4 and tensor.device.type == "cpu":
        return tensor.clone(memory_format=torch.channels_last)
    return tensor.clone()
