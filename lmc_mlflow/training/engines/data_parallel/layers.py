"""Layers that treat the share of a process as part of the whole batch: batch norm and dropout."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

from lmc_mlflow.training.engines.data_parallel.shares import Share

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

DRAWING_LAYERS = ("Drop", "StochasticDepth")
"""Parts of names of layers that draw random numbers; only those of PyTorch's own dropout are shared."""


def why_not_shared(network: nn.Module) -> str | None:
    """Return None if a batch can be shared among copies of this network, else the reason why it cannot."""
    shared_rates = {module.p for module in network.modules() if type(module) is nn.Dropout}
    for module in network.modules():
        name = type(module).__name__
        is_layer = any(word in name for word in DRAWING_LAYERS) and type(module) is not nn.Dropout
        if is_layer or _drop_rates(module) - shared_rates:
            return f"{name} draws for the images of one device alone"
        if isinstance(module, _BatchNorm) and type(module) not in BATCH_NORMS:
            return f"{name} takes statistics of the images of one device alone"
    return None


def _drop_rates(module: nn.Module) -> set[float]:
    """Return the rates above 0 of a module that drops by a function (attention, DenseNets) and not by a layer."""
    if type(module) is nn.Dropout:
        return set()
    return {value for name, value in vars(module).items() if "drop" in name and isinstance(value, float) and value > 0}


def shared_copy(network: nn.Module, share: Share) -> nn.Module:
    """Copy a network so that its layers see the whole batch; weights and buffers are those of the network itself.

    Where the batch is on GPUs, batch norm is PyTorch's own for several processes, which refuses CPUs.

    Args:
        network: as `why_not_shared` allows it; not changed.
        share: of this process.
    """
    tensors = [*network.parameters(), *network.buffers()]
    copied = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    if tensors[0].is_cuda:
        copied = nn.SyncBatchNorm.convert_sync_batchnorm(copied)  # type: ignore[no-untyped-call]
    else:
        _replace(copied, BATCH_NORMS, WholeBatchNorm)
    _replace(copied, (nn.Dropout,), lambda dropout: WholeBatchDropout(dropout, share) if dropout.p else dropout)
    return copied


def _replace(network: nn.Module, kinds: tuple[type, ...], make: Callable[[Any], nn.Module]) -> None:
    """Replace the modules of these kinds within a network (in place)."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in kinds:
                setattr(parent, name, make(child))


class WholeBatchNorm(nn.Module):
    """Batch norm by the statistics of the whole batch; it has the weights and running statistics of another one."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, C, ...) to the same shape, in training mode."""
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        others = [d for d in range(x.ndim) if d != 1]
        shape = [-1 if d == 1 else 1 for d in range(x.ndim)]
        num_values = values.new_full((1,), x.numel() // x.shape[1])
        sums = _sum_over_ranks(torch.cat([values.sum(others), num_values]))
        count = sums[-1]
        mean = sums[:-1] / count
        deviations = values - mean.view(shape)
        variance = _sum_over_ranks(deviations.square().sum(others)) / count
        self._follow(mean, variance * count / (count - 1))
        normed = deviations * (variance + self.norm.eps).rsqrt().view(shape)
        if self.norm.affine:
            normed = normed * self.norm.weight.view(shape) + self.norm.bias.view(shape)
        return normed.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        """Move the running statistics towards those of the batch."""
        if not self.norm.track_running_stats:
            return
        assert self.norm.num_batches_tracked is not None
        self.norm.num_batches_tracked += 1
        momentum = self.norm.momentum
        weight = 1 / self.norm.num_batches_tracked.item() if momentum is None else momentum
        for running, new in ((self.norm.running_mean, mean), (self.norm.running_var, unbiased_variance)):
            assert running is not None
            running.lerp_(new.to(running.dtype), weight)


class WholeBatchDropout(nn.Module):
    """Dropout whose mask is drawn for the whole batch, as one process would draw it; each process uses its rows."""

    def __init__(self, dropout: nn.Dropout, share: Share) -> None:
        super().__init__()
        self.dropout = dropout
        self._share = share

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ...) to the same shape, in training mode."""
        mask: Tensor = self.dropout(x.new_ones(self._share.batch, *x.shape[1:]))
        return x * mask[self._share.part]


def _sum_over_ranks(tensor: Tensor) -> Tensor:
    total: Tensor = _SumOverRanks.apply(tensor)
    return total


class _SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all processes; the gradient is the sum of their gradients."""

    @staticmethod
    def forward(_context: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
