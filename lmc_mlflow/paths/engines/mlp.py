"""Applies all MLPs of a segment to a batch at once; the first layer is computed for the two ends alone.

Before its first activation an MLP is linear in its weights as well as in its images: the pre-activations of the
network at alpha are (1 - alpha) times A's plus alpha times B's. Two matrix products replace T; for one hidden
layer they are nearly all the arithmetic there is. Batch norm is a scale and a shift there, and is folded into
the weights of the later layers.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_weights

from lmc_mlflow.evaluation import BATCH_SIZE
from lmc_mlflow.paths.curves import Curve, Segment
from lmc_mlflow.paths.points import LoadPoint

Affine = tuple[Tensor, Tensor | None]
"""Weights (out, in) and bias (out,)."""
LETTERS: Mapping[type[nn.Module], str] = {
    nn.Flatten: "F",
    nn.Linear: "L",
    nn.BatchNorm1d: "B",
    nn.ReLU: "R",
    nn.LeakyReLU: "K",
    nn.Dropout: "D",
    nn.LogSoftmax: "O",
    nn.Identity: "O",
}
SHAPE_OF_AN_MLP = re.compile(r"F(LB?RD?)*LO|F(LB?KD?)*LO|FL*LO")
"""With ReLUs, with leaky ReLUs, or with nothing in between."""


@dataclass(frozen=True)
class MLPPoint:
    """The network at one alpha, behind its first linear layer.

    Attributes:
        alpha: 0 at A, 1 at B.
        first: the first linear layer, where it does not lie on the segment between the ends' (`bn=repair`).
        norm: scale and shift (W,) of the first layer's batch norm.
        later: the linear layers that follow, batch norm folded in.
        rest: at the ends, the modules behind the first linear layer as they are.
    """

    alpha: float
    first: Affine | None
    norm: tuple[Tensor, Tensor] | None
    later: tuple[Affine, ...]
    rest: nn.Sequential | None


@dataclass(frozen=True)
class MLPPoints:
    """MLPs at points of a segment; see `one_pass.Points`."""

    first: tuple[Affine, Affine]
    points: tuple[MLPPoint, ...]
    slope: float
    output: nn.Module

    def outputs(self, images: Tensor, exact_ends: bool) -> Tensor:
        """Compute outputs (T, n, K); see `one_pass.Points`."""
        flat = images.flatten(1)
        product = functional.linear if exact_ends else affine  # an exact end starts from an exact first layer
        of_a, of_b = (product(flat, *layer) for layer in self.first)
        buffer = torch.empty_like(of_a)  # one for all alphas: a new one each time would be fetched page by page
        outputs = []
        for point in self.points:
            if exact_ends and point.rest is not None:
                outputs.append(point.rest(of_a if point.alpha == 0 else of_b))
            elif point.first is not None:
                outputs.append(self._behind(point, affine(flat, *point.first), buffer))
            else:
                outputs.append(self._behind(point, torch.lerp(of_a, of_b, point.alpha, out=buffer), buffer))
        return torch.stack(outputs)

    def _behind(self, point: MLPPoint, hidden: Tensor, buffer: Tensor) -> Tensor:
        """(n, K) from the first layer's pre-activations (n, W), which may lie in the buffer."""
        if point.norm is not None:
            scale, shift = point.norm
            hidden = torch.addcmul(shift, hidden, scale, out=buffer)
        for layer in point.later:
            hidden = affine(_activated(hidden, self.slope), *layer)
        out = self.output(hidden)
        return out.clone() if out is buffer else out


@dataclass(frozen=True)
class MLPPlan:
    """How MLPs are applied together; see `one_pass.Plan`.

    A layer is the names of its linear module and of its batch norm, if it has one. `slope` is that of all
    activations below 0: 0 is a ReLU, 1 is none.
    """

    layers: tuple[tuple[str, str | None], ...]
    first: tuple[Affine, Affine]
    slope: float
    output: nn.Module
    bytes_of_one: int

    def num_bytes(self) -> int:
        """Count the memory of one network; see `one_pass.Plan`."""
        return self.bytes_of_one

    def points(self, alphas: Sequence[float], load_point: LoadPoint) -> MLPPoints:
        """Collect the networks at these alphas; see `one_pass.Plan`."""
        points = tuple(self._point(alpha, load_point(alpha)) for alpha in alphas)
        return MLPPoints(self.first, points, self.slope, self.output)

    def _point(self, alpha: float, network: nn.Module) -> MLPPoint:
        assert isinstance(network, nn.Sequential)
        later = tuple(_folded(network, linear, norm) for linear, norm in self.layers[1:])
        first_norm = self.layers[0][1]
        rest = copy.deepcopy(network[2:]) if alpha in (0, 1) else None
        norm = None if first_norm is None else _scale_and_shift(network, first_norm)
        return MLPPoint(alpha, self._own_first(alpha, network), norm, later, rest)

    def _own_first(self, alpha: float, network: nn.Module) -> Affine | None:
        """The network's first layer, unless it lies on the segment between the ends' first layers."""
        weight, bias = _folded(network, self.layers[0][0], None)
        (weight_a, bias_a), (weight_b, bias_b) = self.first
        is_between = torch.equal(weight, torch.lerp(weight_a, weight_b, alpha))
        if bias is not None:
            both = bias_a is not None and bias_b is not None
            is_between &= both and torch.equal(bias, torch.lerp(bias_a, bias_b, alpha))  # type: ignore[arg-type]
        return None if is_between else (weight, bias)


def plan_mlp(network: nn.Module, curve: Curve, _sample: Tensor) -> MLPPlan | None:
    """Plan for an MLP or a linear network as `models` builds them on a straight segment; None for anything else."""
    if not isinstance(curve, Segment):  # the first layer is linear in alpha on a straight path alone
        return None
    if type(network) is not nn.Sequential or not SHAPE_OF_AN_MLP.fullmatch(_shape(network)):
        return None
    children = list(network.named_children())
    norms = {name for name, module in children if isinstance(module, nn.BatchNorm1d)}
    layers = tuple(
        (name, follower if follower in norms else None)
        for (name, module), (follower, _) in pairwise(children)
        if isinstance(module, nn.Linear)
    )
    first, last = layers[0][0], network.get_submodule(layers[-1][0])
    assert isinstance(last, nn.Linear)
    kept = [t for name, t in network.state_dict().items() if name not in (f"{first}.weight", f"{first}.bias")]
    num_bytes = sum(t.nbytes for t in kept) + BATCH_SIZE * last.out_features * last.weight.element_size()
    at_a, at_b = ((end[f"{first}.weight"], end.get(f"{first}.bias")) for end in curve.ends)
    slope = _slope(network)
    return None if slope is None else MLPPlan(layers, (at_a, at_b), slope, network[-1], num_bytes)


def _slope(network: nn.Sequential) -> float | None:
    """The slope below 0 that all activations share; None if they differ."""
    slopes = {module.negative_slope for module in network if isinstance(module, nn.LeakyReLU)}
    slopes |= {0.0 for module in network if isinstance(module, nn.ReLU)}
    return min(slopes, default=1.0) if len(slopes) <= 1 else None


def _activated(hidden: Tensor, slope: float) -> Tensor:
    """In place."""
    if slope == 0:
        return hidden.relu_()
    return hidden if slope == 1 else functional.leaky_relu_(hidden, slope)


def _shape(network: nn.Sequential) -> str:
    """A letter a module; `?` for what no MLP has, statistics that are not kept among it."""
    return "".join(
        "?" if isinstance(module, nn.BatchNorm1d) and module.running_var is None else LETTERS.get(type(module), "?")
        for module in network
    )


def _scale_and_shift(network: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """What batch norm does in evaluation mode: y = scale x + shift."""
    norm = network.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale = scale * norm.weight
        return scale, norm.bias - scale * norm.running_mean
    return scale, -scale * norm.running_mean


def _folded(network: nn.Module, name: str, norm_name: str | None) -> Affine:
    """Weights and bias of a linear layer and the batch norm behind it; copies."""
    linear = network.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    if norm_name is None:
        return linear.weight.clone(), None if linear.bias is None else linear.bias.clone()
    norm = network.get_submodule(norm_name)
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_linear_bn_weights(
        linear.weight, linear.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return weight.detach(), bias.detach()


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute `functional.linear` of x (n, in), by oneDNN on the CPU.

    As a 1x1 convolution of one image that is n pixels high and has the inputs for channels: the same memory in
    the same order. PyTorch leaves matrix products to MKL, which reaches half of oneDNN's speed on some CPUs
    and on any where the outputs are few (587 -> 10), and convolutions to oneDNN.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return functional.linear(x, weight, bias)
    pixels = x.contiguous().view(1, len(x), 1, x.shape[1]).permute(0, 3, 1, 2)
    return functional.conv2d(pixels, weight[:, :, None, None], bias)[0, :, :, 0].t()
