"""Forward and backward passes of several MLPs of one shape at once, without autograd."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from lmc_mlflow.training.engines.stacked.norms import (
    Norm,
    NormPass,
    norms_of,
    why_no_norm,
)
from lmc_mlflow.training.engines.stacked.weights import FlatWeights

_relu_backward = torch.ops.aten.threshold_backward.grad_input
_leaky_relu_backward = torch.ops.aten.leaky_relu_backward.grad_input
ACTIVATIONS: tuple[tuple[type[nn.Module], ...], ...] = ((nn.ReLU,), (nn.LeakyReLU,), ())
"""The modules between two linear layers, after a batch norm or not; the same in a whole network."""


def why_no_mlp(network: nn.Module) -> str | None:
    """Return None for an MLP without layer norm and dropout or a linear network, else the reason why it is none."""
    if not isinstance(network, nn.Sequential):
        return f"a {type(network).__name__} is no MLP"
    kinds = [type(module) for module in network]
    for kind in kinds:
        if kind not in (nn.Flatten, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.LeakyReLU, *HEADS):
            return f"the network has a {kind.__name__}"
    num_hidden = kinds.count(nn.Linear) - 1
    layouts = [
        [nn.Flatten, *[nn.Linear, *norm, *between] * num_hidden, nn.Linear]
        for between in ACTIVATIONS
        for norm in ((), (nn.BatchNorm1d,))
    ]
    if kinds[:-1] not in layouts or kinds[-1] not in HEADS or len(_slopes(network)) > 1:
        return "its layers do not alternate as an MLP's"
    if any(module.bias is None for module in network if isinstance(module, nn.Linear)):
        return "a layer has no bias"
    return next((reason for norm in norms_of(network) if (reason := why_no_norm(norm)) is not None), None)


def _slopes(network: nn.Sequential) -> set[float]:
    return {module.negative_slope for module in network if isinstance(module, nn.LeakyReLU)}


def slope_of(network: nn.Sequential) -> float:
    """Return the negative slope of the activation: 0 for a ReLU, 1 in a linear network."""
    if any(isinstance(module, nn.ReLU) for module in network):
        return 0.0
    return next(iter(_slopes(network)), 1.0)


def _log_probabilities(pre_activations: Tensor) -> tuple[Tensor, Tensor]:
    outputs = pre_activations.log_softmax(-1)
    return outputs, outputs.exp()


def _logits(pre_activations: Tensor) -> tuple[Tensor, Tensor]:
    return pre_activations, pre_activations.sigmoid()


@dataclass(frozen=True)
class Head:
    """An output module with its loss, whose gradient is (probabilities - targets) / (number of terms in the mean).

    Attributes:
        outputs: pre-activations -> outputs of the network, and probabilities.
        class_mean: whether the loss is a mean over the classes too.
    """

    outputs: Callable[[Tensor], tuple[Tensor, Tensor]]
    class_mean: bool


HEADS: Mapping[type[nn.Module], Head] = {
    nn.LogSoftmax: Head(_log_probabilities, class_mean=False),
    nn.Identity: Head(_logits, class_mean=True),
}


@dataclass(frozen=True)
class StackedLayer:
    """Views of a layer's weights and their gradients in G networks.

    Attributes:
        weight: (G, H, I).
        transposed: the weight as (G, I, H).
        bias: (G, 1, H).
        weight_gradient: (G, H, I).
        bias_gradient: (G, H).
        norm: the batch norm after it, if any.
    """

    weight: Tensor
    transposed: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor
    norm: Norm | None = None


def layers_of(network: nn.Sequential, weights: FlatWeights) -> list[StackedLayer]:
    """Return the layers, first to last, of MLPs of this shape; every layer and norm has a weight and a bias."""
    values, gradients = weights.views(weights.values), weights.views(weights.gradients)
    layers: list[StackedLayer] = []
    position = 0
    for module in network:
        value, gradient = values[position : position + 2], gradients[position : position + 2]
        if isinstance(module, nn.Linear):
            layers.append(StackedLayer(value[0], value[0].transpose(1, 2), value[1][:, None], gradient[0], gradient[1]))
        elif isinstance(module, nn.BatchNorm1d):
            layers[-1] = replace(layers[-1], norm=Norm.like(module, value, gradient))
        else:
            continue
        position += 2
    return layers


class StackedStep:
    """One training step of G networks on n images each: buffers for a batch, and the passes over it.

    Callers fill `images` (G, n, C, H, W), of which `images_of` holds the G views, and `targets` (G, n, K) and call
    `run`, which returns the outputs (G, n, K) and writes the gradients to the layers' views; both are valid until the
    next run. The sequence of operations depends on shapes alone. All views are made beforehand, because making them
    takes time that counts at small batches.
    """

    def __init__(
        self, layers: list[StackedLayer], head: Head, slope: float, image_shape: tuple[int, int, int], size: int
    ) -> None:
        num_networks = len(layers[0].weight)
        new = layers[0].weight.new_empty
        widths = [layer.weight.shape[1] for layer in layers]
        self.images = new(num_networks, size, *image_shape)
        self.images_of = list(self.images)
        self.targets = new(num_networks, size, widths[-1])
        self._head = head
        self._slope = slope
        self._scale = 1.0 / (size * widths[-1] if head.class_mean else size)
        activations = [new(num_networks, size, width) for width in widths]
        inputs = [self.images.flatten(2), *activations[:-1]]
        norms = [None if layer.norm is None else NormPass(layer.norm, size) for layer in layers]
        self._forward = list(zip(layers, inputs, norms, activations, strict=True))
        self._errors = [new(num_networks, size, width) for width in widths]
        transposed_errors = [error.transpose(1, 2) for error in self._errors]
        below = [None, *norms[:-1]]
        self._backward = list(zip(layers, inputs, below, self._errors, transposed_errors, strict=True))[::-1]

    def run(self) -> Tensor:
        """Run the forward and the backward pass and return the outputs; the gradient of the images is not computed."""
        *hidden, (last, features, _, pre_activations) = self._forward
        for layer, inputs, norm, activations in hidden:
            torch.baddbmm(layer.bias, inputs, layer.transposed, out=activations if norm is None else norm.features)
            if norm is not None:
                norm.forward(activations)
            self._activate(activations)
        torch.baddbmm(last.bias, features, last.transposed, out=pre_activations)
        outputs, probabilities = self._head.outputs(pre_activations)
        torch.sub(probabilities, self.targets, out=self._errors[-1]).mul_(self._scale)
        for i, (layer, inputs, norm, error, transposed_error) in enumerate(self._backward, start=1):
            torch.bmm(transposed_error, inputs, out=layer.weight_gradient)
            torch.sum(error, 1, out=layer.bias_gradient)
            if i < len(self._backward):
                below = torch.bmm(error, layer.weight, out=self._errors[-1 - i])
                self._activate_backward(below, inputs)
                if norm is not None:
                    norm.backward(below)
        return outputs

    def _activate(self, pre_activations: Tensor) -> None:
        if self._slope == 0:
            pre_activations.relu_()
        elif self._slope < 1:
            functional.leaky_relu_(pre_activations, self._slope)

    def _activate_backward(self, error: Tensor, activations: Tensor) -> None:
        """Multiply the gradient by the slope where activations are negative (in place).

        Activations have the sign of the pre-activations, because the slope is not negative.
        """
        if self._slope == 0:
            _relu_backward(error, activations, 0, grad_input=error)
        elif self._slope < 1:
            _leaky_relu_backward(error, activations, self._slope, True, grad_input=error)
