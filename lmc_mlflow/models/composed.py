"""Builds networks from networks: one that scales its images first, and one that averages probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PixelNetwork(nn.Module):
    """A network with the scaling of its images as its first layer."""

    def __init__(self, network: nn.Module, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Put the scaling before a network.

        Args:
            network: takes scaled images (N, C, H, W).
            mean: of each channel, where pixels are from 0 to 1.
            deviation: of each channel.
        """
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Scale images (N, C, H, W) with pixels from 0 to 1, and apply the network."""
        assert isinstance(self.mean, Tensor)
        assert isinstance(self.deviation, Tensor)
        outputs: Tensor = self.network((images - self.mean) / self.deviation)
        return outputs


class AverageNetwork(nn.Module):
    """An ensemble: the logarithm of the mean of its members' probabilities."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        """Make an ensemble of members that give log-probabilities (N, K)."""
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Compute log-probabilities (N, K) from images (N, C, H, W); the mean is taken in double precision."""
        each = torch.stack([member(images).double() for member in self.members])
        averaged = torch.logsumexp(each, dim=0) - torch.log(torch.tensor(float(len(self.members)), dtype=torch.float64))
        return averaged.float()
