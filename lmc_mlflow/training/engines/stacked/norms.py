"""Forward and backward passes of batch norm in several MLPs at once, with its running statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Norm:
    """A batch norm in G networks: views of its weights and their gradients, and its statistics, all (G, 1, H).

    Attributes:
        weight: gamma.
        bias: beta.
        weight_gradient: of gamma.
        bias_gradient: of beta.
        mean: running.
        variance: running.
        eps: added to the variance.
        momentum: share of a batch in the running statistics.
    """

    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor
    mean: Tensor
    variance: Tensor
    eps: float
    momentum: float

    @staticmethod
    def like(module: nn.BatchNorm1d, values: Sequence[Tensor], gradients: Sequence[Tensor]) -> "Norm":
        """Allocate the statistics of G modules like this one beside views (G, H) of their gammas and betas."""
        assert module.momentum is not None
        (weight, bias), (weight_gradient, bias_gradient) = ([view[:, None] for view in v] for v in (values, gradients))
        return Norm(
            weight, bias, weight_gradient, bias_gradient, torch.zeros_like(weight), torch.ones_like(weight),
            module.eps, module.momentum,
        )  # fmt: skip

    def statistics(self, row: int) -> list[Tensor]:
        """Return the running mean and variance (H,) of one network, as views."""
        return [self.mean[row, 0], self.variance[row, 0]]


def why_no_norm(module: nn.BatchNorm1d) -> str | None:
    """Return None for a batch norm with weights and running averages, else the reason why it cannot be stacked."""
    usual = module.affine and module.track_running_stats and module.momentum is not None
    return None if usual else "a batch norm has no weights or no running average"


def norms_of(network: nn.Module) -> list[nn.BatchNorm1d]:
    """Return the batch norms of a network, from first to last."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]


def statistics_of(module: nn.BatchNorm1d) -> list[Tensor]:
    """Return the running mean and variance (H,) of a module."""
    assert module.running_mean is not None
    assert module.running_var is not None
    return [module.running_mean, module.running_var]


def count_batches(modules: Sequence[nn.BatchNorm1d], num_batches: int) -> None:
    """Count batches in modules that have seen them (in place)."""
    counts = [module.num_batches_tracked for module in modules if module.num_batches_tracked is not None]
    if counts:
        torch._foreach_add_(counts, num_batches)


class NormPass:
    """Buffers of one batch norm for a batch of n images for each network, n at least 2.

    Attributes:
        features: (G, n, H), the inputs before `forward`, normalized after it.
    """

    def __init__(self, norm: Norm, size: int) -> None:
        num_networks, _, width = norm.weight.shape
        self.features = norm.weight.new_empty(num_networks, size, width)
        self._norm = norm
        self._size = size
        self._inverse = torch.empty_like(norm.weight)

    def forward(self, out: Tensor) -> None:
        """Write gamma times the normalized features plus beta to `out`, and update the running statistics."""
        norm, features = self._norm, self.features
        mean = features.mean(1, keepdim=True)
        features.sub_(mean)
        variance = features.square().mean(1, keepdim=True)
        torch.rsqrt(variance + norm.eps, out=self._inverse)
        features.mul_(self._inverse)
        torch.addcmul(norm.bias, features, norm.weight, out=out)
        norm.mean.lerp_(mean, norm.momentum)
        norm.variance.lerp_(variance.mul_(self._size / (self._size - 1)), norm.momentum)  # unbiased, as PyTorch's

    def backward(self, error: Tensor) -> None:
        """Turn the gradient of the outputs of `forward` into the gradient of its inputs (in place).

        Mean and deviation depend on the inputs too, so that the gradient's components along them are subtracted
        (Ioffe and Szegedy, 2015).
        """
        norm, features = self._norm, self.features
        torch.sum(error * features, 1, keepdim=True, out=norm.weight_gradient)
        torch.sum(error, 1, keepdim=True, out=norm.bias_gradient)
        error.addcmul_(features, norm.weight_gradient, value=-1 / self._size)
        error.add_(norm.bias_gradient, alpha=-1 / self._size)
        error.mul_(norm.weight * self._inverse)
