"""What are ResNet10 and ResNet22? The narrow residual networks that reproduce Table V of Hepburn et al. exactly."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

STAGE_WIDTHS = (32, 64, 128)
STAGE_STRIDES = (1, 2, 2)
EARLY_STRIDES = (2, 2, 2)
"""As many parameters for a quarter of the arithmetic; the paper's counts fit either."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: 1x1 convolution with batch norm where the shape changes."""

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
        """(N, C_in, H, W) -> (N, C, H / stride, W / stride)."""
        inner = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        out: Tensor = self.relu2(inner + self.shortcut(x))
        return out


def resnet(
    num_blocks: int, channels: int, num_classes: int, output: nn.Module, strides: Sequence[int] = STAGE_STRIDES
) -> nn.Sequential:
    """A 3x3 stem of 16, three stages of `num_blocks` post-activation blocks, global average pool, Linear.

    One block a stage is ResNet10, three are ResNet22 (the count includes the shortcut convolutions).
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
