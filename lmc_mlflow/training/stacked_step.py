"""How do several MLPs of one shape go forward and backward at once, without autograd?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.training.stacked_weights import FlatWeights


def why_no_mlp(network: nn.Module) -> str | None:
    """None for a network of `lmc_mlflow.models.mlp` without batch norm and dropout, else what is in the way."""
    if not isinstance(network, nn.Sequential):
        return f"a {type(network).__name__} is no MLP"
    kinds = [type(module) for module in network]
    for kind in kinds:
        if kind not in (nn.Flatten, nn.Linear, nn.ReLU, *HEADS):
            return f"the network has a {kind.__name__}"
    num_hidden = kinds.count(nn.Linear) - 1
    if kinds[:-1] != [nn.Flatten, *[nn.Linear, nn.ReLU] * num_hidden, nn.Linear] or kinds[-1] not in HEADS:
        return "its layers do not alternate as an MLP's"
    if len(list(network.parameters())) != 2 * (num_hidden + 1):
        return "a layer has no bias"
    return None


def _log_probabilities(pre_activations: Tensor) -> tuple[Tensor, Tensor]:
    outputs = pre_activations.log_softmax(-1)
    return outputs, outputs.exp()


def _logits(pre_activations: Tensor) -> tuple[Tensor, Tensor]:
    return pre_activations, pre_activations.sigmoid()


@dataclass(frozen=True)
class Head:
    """The output module with its loss, whose gradient is (probabilities - targets) / terms.

    Attributes:
        outputs: pre-activations -> what the network puts out, and probabilities.
        class_mean: whether the loss is a mean over the classes too.
    """

    outputs: Callable[[Tensor], tuple[Tensor, Tensor]]
    class_mean: bool


HEADS: Mapping[type[nn.Module], Head] = {
    nn.LogSoftmax: Head(_log_probabilities, class_mean=False),
    nn.Identity: Head(_logits, class_mean=True),
}


@dataclass(frozen=True)
class Layer:
    """Views of a layer's weights and their gradients in G networks: weight (G, H, I), bias (G, H)."""

    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor


def layers_of(weights: FlatWeights) -> list[Layer]:
    """The layers, first to last, of MLPs whose every layer has a weight and a bias."""
    values, gradients = weights.views(weights.values), weights.views(weights.gradients)
    return [Layer(values[i], values[i + 1], gradients[i], gradients[i + 1]) for i in range(0, len(values), 2)]


class Step:
    """Room for a batch of n images a network, and the passes over it.

    Callers fill `images` (G, n, C, H, W) and `targets` (G, n, K), call `run` and find the gradients in the
    layers' views and the outputs (G, n, K) in what it returns, until the next run. What a run does depends
    on nothing but shapes.
    """

    def __init__(self, layers: list[Layer], head: Head, image_shape: tuple[int, int, int], size: int) -> None:
        num_networks = len(layers[0].weight)
        new = layers[0].weight.new_empty
        widths = [layer.weight.shape[1] for layer in layers]
        self.images = new(num_networks, size, *image_shape)
        self.targets = new(num_networks, size, widths[-1])
        self._layers = layers
        self._head = head
        self._scale = 1.0 / (size * widths[-1] if head.class_mean else size)
        self._inputs = [self.images.flatten(2), *[new(num_networks, size, width) for width in widths[:-1]]]
        self._pre_activations = new(num_networks, size, widths[-1])
        self._errors = [new(num_networks, size, width) for width in widths]

    def run(self) -> Tensor:
        """Forward and backward; the gradient of the images is never needed."""
        outputs, probabilities = self._head.outputs(self._forward())
        error = torch.sub(probabilities, self.targets, out=self._errors[-1]).mul_(self._scale)
        for i in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[i]
            torch.bmm(error.transpose(1, 2), self._inputs[i], out=layer.weight_gradient)
            torch.sum(error, 1, out=layer.bias_gradient)
            if i > 0:
                error = torch.bmm(error, layer.weight, out=self._errors[i - 1])
                torch.ops.aten.threshold_backward.grad_input(error, self._inputs[i], 0, grad_input=error)
        return outputs

    def _forward(self) -> Tensor:
        *hidden, last = self._layers
        for layer, inputs, activations in zip(hidden, self._inputs[:-1], self._inputs[1:], strict=True):
            _affine(layer, inputs, activations).relu_()
        return _affine(last, self._inputs[-1], self._pre_activations)


def _affine(layer: Layer, inputs: Tensor, out: Tensor) -> Tensor:
    return torch.baddbmm(layer.bias[:, None], inputs, layer.weight.transpose(1, 2), out=out)
