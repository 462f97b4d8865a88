"""Builds DenseNet-40-12 of Huang et al. (2017): three dense blocks of 12 layers of 12 channels, no bottlenecks."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

STEM = 16
NUM_BLOCKS = 3


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution, whose channels are put after those that came in."""

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels_in)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(channels_in, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + growth, H, W)."""
        return torch.cat([x, self.conv(self.relu(self.norm(x)))], dim=1)


def densenet(depth: int, growth: int, channels: int, num_classes: int, output: nn.Module) -> nn.Sequential:
    """Build the network: a 3x3 stem of 16 channels, three dense blocks, 1x1 transitions that halve the images, Linear.

    All transitions keep the number of channels. There is no dropout: the authors drop only where images are not
    augmented.

    Args:
        depth: convolutions and the Linear together: 40 makes 12 layers a block.
        growth: channels that each layer adds.
        channels: of the images.
        num_classes: of the output.
        output: module that ends the network.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(channels, STEM, 3, padding=1, bias=False))
    num_layers, width = (depth - NUM_BLOCKS - 1) // NUM_BLOCKS, STEM
    for i in range(1, NUM_BLOCKS + 1):
        layers[f"block{i}"] = nn.Sequential(*(DenseLayer(width + growth * j, growth) for j in range(num_layers)))
        width += growth * num_layers
        if i < NUM_BLOCKS:
            layers[f"transition{i}"] = nn.Sequential(
                OrderedDict(
                    norm=nn.BatchNorm2d(width),
                    relu=nn.ReLU(),
                    conv=nn.Conv2d(width, width, 1, bias=False),
                    pool=nn.AvgPool2d(2),
                )
            )
    layers["norm"], layers["relu"] = nn.BatchNorm2d(width), nn.ReLU()
    layers["pool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    layers["linear"] = nn.Linear(width, num_classes)
    layers["output"] = output
    return nn.Sequential(layers)
