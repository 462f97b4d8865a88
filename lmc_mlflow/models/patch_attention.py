"""Builds ViT-like networks after Altintas et al.: one block of attention over patches, without shortcut or MLP."""

import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lmc_mlflow.models.patches import KERNEL, PatchGrid

HEADS = 8
HEAD_WIDTH = 48
WIDTH = HEADS * HEAD_WIDTH


class Embedding(nn.Module):
    """Maps each patch to a vector and adds a learnt vector for its position."""

    def __init__(self, grid: PatchGrid) -> None:
        super().__init__()
        self.patches = nn.Conv2d(grid.channels, WIDTH, KERNEL, stride=KERNEL)
        self.flatten = nn.Flatten(2)
        self.positions = nn.Parameter(torch.randn(grid.num_patches, WIDTH) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, P, 384)."""
        out: Tensor = self.flatten(self.patches(x)).transpose(1, 2) + self.positions
        return out


class Attention(nn.Module):
    """Attention with eight heads of width 48 and no shortcut."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.queries_keys_values = nn.Linear(WIDTH, 3 * WIDTH, bias=bias)
        self.softmax = nn.Softmax(dim=-1)
        self.projection = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, P, 384) to (N, P, 384)."""
        parts = self.queries_keys_values(x).unflatten(2, (3, HEADS, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        return self.attend(parts[0], parts[1], parts[2])

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map queries, keys and values (N, 8, P, 48) to (N, P, 384)."""
        shares = self.softmax(queries @ keys.transpose(2, 3) / math.sqrt(HEAD_WIDTH))
        mixed = (shares @ values).transpose(1, 2).flatten(2)
        out: Tensor = self.projection(mixed)
        return out


class TwiceProjectedAttention(Attention):
    """Attention that projects queries, keys and values twice, as before a module that has projections of its own.

    No projection but the last has a bias.
    """

    def __init__(self) -> None:
        super().__init__(bias=False)
        self.queries = nn.Linear(WIDTH, WIDTH, bias=False)
        self.keys = nn.Linear(WIDTH, WIDTH, bias=False)
        self.values = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, P, 384) to (N, P, 384)."""
        queries, keys, values = self.queries_keys_values(x).chunk(3, dim=2)
        return self.attend(_in_heads(self.queries(queries)), _in_heads(self.keys(keys)), _in_heads(self.values(values)))


def _in_heads(x: Tensor) -> Tensor:
    """Divide (N, P, 384) into heads (N, 8, P, 48)."""
    return x.reshape(*x.shape[:2], HEADS, HEAD_WIDTH).transpose(1, 2)


class Mean(nn.Module):
    """The mean over the patches."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, P, 384) to (N, 384)."""
        return x.mean(dim=1)


def patch_attention(
    grid: PatchGrid, num_classes: int, output: nn.Module, attention: Callable[[], nn.Module] = Attention
) -> nn.Sequential:
    """Build the network: patches of 4 x 4, one block of attention, the mean over the patches, Linear.

    The paper gives patch size, heads, their width, one block, no shortcut, no MLP block, and about 1.08 million
    parameters; it leaves open normalization, class token and positions. With `Attention` the network has 638,602 on
    3 x 32 x 32 with 10 classes, with `TwiceProjectedAttention` 1,079,818 (docs/networks.md has the table of variants).
    """
    return nn.Sequential(
        OrderedDict(
            embedding=Embedding(grid),
            attention=attention(),
            mean=Mean(),
            linear=nn.Linear(WIDTH, num_classes),
            output=output,
        )
    )
