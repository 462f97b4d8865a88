"""Builds ResNet10 and ResNet22, narrow residual networks with the parameter counts of Table V of Hepburn et al."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

STAGE_WIDTHS = (32, 64, 128)
STAGE_STRIDES = (1, 2, 2)
EARLY_STRIDES = (2, 2, 2)
"""With these the networks have as many parameters and need a quarter of the arithmetic; the paper's counts fit both."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution with batch norm where the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False), norm=nn.BatchNorm2d(channels)
                )
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        inner = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        out: Tensor = self.relu2(inner + self.shortcut(x))
        return out


def resnet(
    num_blocks: int, channels: int, num_classes: int, output: nn.Module, strides: Sequence[int] = STAGE_STRIDES
) -> nn.Sequential:
    """Build the network: a 3x3 stem of width 16, three stages of post-activation blocks, global average pool, Linear.

    One block per stage makes ResNet10, three make ResNet22 (the count includes the shortcut convolutions).

    Args:
        num_blocks: of each stage.
        channels: of the images.
        num_classes: of the output.
        output: module that ends the network.
        strides: of the first block of each stage.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(channels, 16, 3, padding=1, bias=False), norm=nn.BatchNorm2d(16), relu=nn.ReLU()
    )
    channels_in = 16
    for i, (width, stride) in enumerate(zip(STAGE_WIDTHS, strides, strict=True), start=1):
        blocks = [BasicBlock(channels_in, width, stride)]
        blocks += [BasicBlock(width, width, 1) for _ in range(num_blocks - 1)]
        layers[f"stage{i}"] = nn.Sequential(*blocks)
        channels_in = width
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["linear"] = nn.Linear(channels_in, num_classes)
    layers["output"] = output
    return nn.Sequential(layers)
