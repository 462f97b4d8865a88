"""The mean loss on a fixed sample of images as a function of a network's parameters, with its Hessian."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lmc_mlflow.batches import Images
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.precision import products
from lmc_mlflow.predictions.scores import check_outputs, sample_losses
from lmc_mlflow.seeds import stream

BATCH_SIZE = 100
"""Images of which one part of a Hessian-vector product is computed."""
Named = dict[str, Tensor]


@dataclass(frozen=True)
class Sample:
    """Images and labels on which a loss is measured.

    Attributes:
        images: (N, C, H, W).
        labels: (N,) class indices or (N, K) zeros and ones.
    """

    images: Tensor
    labels: Tensor


def draw_sample(images: Images, labels: Tensor, num_images: int, seed: int) -> Sample:
    """Draw images with their labels without replacement, the same ones for the same seed; all where there are fewer."""
    order = torch.randperm(images.shape[0], generator=stream(seed, "curvature sample"))[:num_images].sort().values
    chosen = torch.cat(list(images.batches(order, BATCH_SIZE)))
    return Sample(chosen, labels[order.to(labels.device)])


class SampleLoss:
    """The mean loss (nats) of a network in evaluation mode; batch norm's statistics stay as they are.

    A vector (P,) holds the chosen parameters one after the other, in the network's order.
    """

    def __init__(self, network: nn.Module, sample: Sample, dtype: torch.dtype, names: Sequence[str] | None = None):
        """Copy the network.

        Args:
            network: maps (N, C, H, W) to (N, K); it is not changed.
            sample: on the network's device.
            dtype: in which everything is computed.
            names: of the parameters that vary; None: all that are trained.

        Raises:
            ValueError: the labels are class indices, and the outputs no log-probabilities.
        """
        self._network = copy.deepcopy(network).to(dtype).eval().requires_grad_(False)
        own = dict(self._network.named_parameters())
        self._names = trainable(network) if names is None else list(names)
        self._shapes = [own[name].shape for name in self._names]
        self.weights = torch.cat([own[name].flatten() for name in self._names])
        self._sample = Sample(sample.images.to(dtype), sample.labels)
        with torch.no_grad():
            check_outputs(self._network(self._sample.images[:2]), sample.labels[:2])

    @property
    def names(self) -> list[str]:
        """The parameters that vary."""
        return list(self._names)

    def slices(self) -> dict[str, slice]:
        """Give the place of each parameter in a vector."""
        places, start = {}, 0
        for name, shape in zip(self._names, self._shapes, strict=True):
            places[name] = slice(start, start + shape.numel())
            start += shape.numel()
        return places

    def value(self) -> float:
        """Compute the mean loss."""
        with torch.no_grad(), _differentiable():
            return float(sum(loss(self.weights) for loss in self._parts()))

    def gradient(self) -> Tensor:
        """Compute the gradient (P,)."""
        with _differentiable():
            return torch.stack([grad(loss)(self.weights) for loss in self._parts()]).sum(dim=0)

    def hessian_products(self, directions: Tensor) -> Tensor:
        """Multiply the Hessian (P, P) with vectors (K, P): derivatives of the gradient, batch by batch."""
        given = directions.to(self.weights)
        total = torch.zeros_like(given)
        with _differentiable():
            for loss in self._parts():
                total += _products(loss, self.weights, given)
        return total

    def adaptive_products(self, directions: Tensor) -> Tensor:
        """Multiply |w| H |w| with vectors (K, P): the Hessian scaled by the sizes of parameters."""
        sizes = self.weights.abs()
        return sizes * self.hessian_products(sizes * directions.to(sizes))

    def _parts(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """Yield each batch's share of the mean loss, as a function of the vector of parameters."""
        num_images = len(self._sample.images)
        for start in range(0, num_images, BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            images, labels = self._sample.images[part], self._sample.labels[part]

            def loss(vector: Tensor, images: Tensor = images, labels: Tensor = labels) -> Tensor:
                outputs = functional_call(self._network, self._named(vector), (images,))
                return sample_losses(outputs, labels).sum() / num_images

            yield loss

    def _named(self, vector: Tensor) -> Named:
        places = self.slices().items()
        return {name: vector[place].view(shape) for (name, place), shape in zip(places, self._shapes, strict=True)}


@contextmanager
def _differentiable() -> Iterator[None]:
    """Choose the kernels of attention that have second derivatives, which the fused ones have not."""
    with products("float32"), sdpa_kernel(SDPBackend.MATH):
        yield


def _products(loss: Callable[[Tensor], Tensor], weights: Tensor, directions: Tensor) -> Tensor:
    """Multiply from the left: the Hessian is symmetric, and more operations have backward derivatives than forward."""
    product = vjp(grad(loss), weights)[1]
    if len(directions) == 1:
        return torch.stack([*product(directions[0])])
    (found,) = vmap(product)(directions)
    return torch.as_tensor(found)
