"""Decision probabilities and linear regions on a 2-D grid of inputs."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BATCH = 10_000


@torch.no_grad()
def decide(network: nn.Module, points: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute the probability of class 1 at each point, and the number of the linear region that contains it.

    Points with the same active hidden units (ReLU outputs above 0, in all layers) are in one region, in which the
    network is a linear map up to its output module. The numbers of the regions have no special order.

    Args:
        network: with two classes and log-probabilities as outputs; in evaluation mode.
        points: (N, 2, 1, 1), scaled as the network takes them.

    Returns:
        (N,) probabilities and (N,) numbers.
    """
    patterns: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, outputs: patterns.append(outputs.flatten(1) > 0))
        for module in network.modules()
        if isinstance(module, nn.ReLU)
    ]
    probabilities, rows = [], []
    for part in torch.split(points, BATCH):
        patterns.clear()
        probabilities.append(network(part).exp()[:, 1].double())
        rows.append(torch.cat(patterns, dim=1) if patterns else torch.zeros(len(part), 1, dtype=torch.bool))
    for hook in hooks:
        hook.remove()
    packed = np.packbits(torch.cat(rows).cpu().numpy(), axis=1)
    keys = np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").ravel()
    _, numbers = np.unique(keys, return_inverse=True)
    return torch.cat(probabilities).cpu().numpy(), numbers.astype(np.int64)


def grid_over(points: Tensor, resolution: int, margin: float = 0.15) -> Tensor:
    """Return a square grid of inputs (resolution ** 2, 2, 1, 1) around points (N, 2, 1, 1).

    Args:
        points: that the grid covers.
        resolution: grid points along each axis.
        margin: that the grid extends beyond the points on every side, as a share of their range.
    """
    flat = points.flatten(1)
    low, high = flat.min(dim=0).values, flat.max(dim=0).values
    room = margin * (high - low)
    axes = [torch.linspace(float(a), float(b), resolution) for a, b in zip(low - room, high + room, strict=True)]
    ys, xs = torch.meshgrid(axes[1], axes[0], indexing="ij")
    return torch.stack([xs.flatten(), ys.flatten()], dim=1)[:, :, None, None]
