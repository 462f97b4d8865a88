"""Builds networks with one hidden layer over image patches: dense, locally connected, or convolutional.

Altintas et al.: every convolution whose stride is its kernel is a locally connected layer whose positions share their
weights, and every locally connected layer is a dense one with zeros outside the patch (Table 3, k = 4).
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmc_mlflow.weights import State

KERNEL = 4
"""Height, width and stride of a patch."""
CHANNELS = 128
"""Hidden units for each patch."""


@dataclass(frozen=True)
class PatchGrid:
    """The division of images (C, H, W) into patches, row by row."""

    channels: int
    height: int
    width: int

    @property
    def num_patches(self) -> int:
        """P, the patches of an image."""
        return (self.height // KERNEL) * (self.width // KERNEL)

    @property
    def num_inputs(self) -> int:
        """F, the numbers in a patch."""
        return self.channels * KERNEL**2

    def pixels(self) -> Tensor:
        """Return (P, F) the positions in a flattened image of the numbers of each patch."""
        positions = torch.arange(self.channels * self.height * self.width, dtype=torch.float64)
        cut: Tensor = nn.Unfold(KERNEL, stride=KERNEL)(positions.view(1, self.channels, self.height, self.width))
        return cut[0].t().long()


class LocallyConnected(nn.Module):
    """A convolution over patches that do not overlap, with separate weights for each patch.

    `weight` is (P, C_o, F); `bias` (C_o P,) has the order of the flattened units of a convolution.
    """

    def __init__(self, grid: PatchGrid) -> None:
        super().__init__()
        self.unfold = nn.Unfold(KERNEL, stride=KERNEL)
        bound = 1 / math.sqrt(grid.num_inputs)  # as PyTorch initializes a convolution over such patches
        self.weight = nn.Parameter(torch.empty(grid.num_patches, CHANNELS, grid.num_inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(CHANNELS * grid.num_patches).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C_o P)."""
        patches = self.unfold(x).permute(2, 0, 1)  # (P, N, F)
        out: Tensor = torch.matmul(patches, self.weight.transpose(1, 2)).permute(1, 2, 0).flatten(1) + self.bias
        return out


HIDDEN: Mapping[str, Callable[[PatchGrid], OrderedDict[str, nn.Module]]] = {
    "patches_dense": lambda grid: OrderedDict(
        flatten=nn.Flatten(),
        hidden=nn.Linear(grid.channels * grid.height * grid.width, CHANNELS * grid.num_patches),
        relu=nn.ReLU(),
    ),
    "patches_local": lambda grid: OrderedDict(hidden=LocallyConnected(grid), relu=nn.ReLU()),
    "patches_conv": lambda grid: OrderedDict(
        hidden=nn.Conv2d(grid.channels, CHANNELS, KERNEL, stride=KERNEL), relu=nn.ReLU(), flatten=nn.Flatten()
    ),
}


def patch_grid(model: str, channels: int, height: int, width: int) -> PatchGrid:
    """Divide images of this size into patches.

    Raises:
        ValueError: they cannot be divided into patches.
    """
    if height % KERNEL or width % KERNEL:
        raise ValueError(
            f"model {model!r}: images of {height} x {width} cannot be divided into patches of {KERNEL} x {KERNEL}; "
            "choose another network or image size"
        )
    return PatchGrid(channels, height, width)


def patches(kind: str, grid: PatchGrid, num_classes: int, output: nn.Module) -> nn.Sequential:
    """Build the network: one hidden layer of a kind (a row of `HIDDEN`), ReLU, Linear."""
    layers = HIDDEN[kind](grid)
    layers["linear"] = nn.Linear(CHANNELS * grid.num_patches, num_classes)
    layers["output"] = output
    return nn.Sequential(layers)


def local_from_conv(state: State, grid: PatchGrid) -> dict[str, Tensor]:
    """Convert the weights of `patches_conv` to those with which `patches_local` computes the same function."""
    kernel = state["hidden.weight"].flatten(1)
    return {
        **state,
        "hidden.weight": kernel.expand(grid.num_patches, *kernel.shape).clone(),
        "hidden.bias": state["hidden.bias"].repeat_interleave(grid.num_patches),
    }


def dense_from_local(state: State, grid: PatchGrid) -> dict[str, Tensor]:
    """Convert the weights of `patches_local` to those with which `patches_dense` computes the same function."""
    weight = state["hidden.weight"].permute(1, 0, 2)
    dense = weight.new_zeros(*weight.shape[:2], grid.channels * grid.height * grid.width)
    dense.scatter_(2, grid.pixels().to(weight.device).expand(weight.shape), weight)
    return {**state, "hidden.weight": dense.flatten(0, 1)}
