"""Builds residual networks: ResNet10 and ResNet22 of Hepburn et al., ResNet18 and ResNet20 of any width."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from lmc_mlflow.models.names import ResNetSpec

STAGE_STRIDES = (1, 2, 2)
EARLY_STRIDES = (2, 2, 2)
"""With these the networks have as many parameters and need a quarter of the arithmetic; the paper's counts fit both."""


@dataclass(frozen=True)
class Stages:
    """The plan of a residual network.

    Attributes:
        stem: channels of the first convolution.
        widths: channels of each stage.
        num_blocks: of each stage.
        strides: of the first block of each stage.
        projected: whether shortcuts between shapes are 1x1 convolutions with batch norm, or without parameters.
    """

    stem: int
    widths: tuple[int, ...]
    num_blocks: int
    strides: Sequence[int] = STAGE_STRIDES
    projected: bool = True

    @classmethod
    def of_table_v(cls, num_blocks: int, strides: Sequence[int] = STAGE_STRIDES) -> "Stages":
        """Plan the networks of Hepburn et al.: one block a stage makes ResNet10, three ResNet22 (shortcuts count)."""
        return cls(16, (32, 64, 128), num_blocks, strides)

    @classmethod
    def of_name(cls, spec: ResNetSpec) -> "Stages":
        """Plan ResNet18 or ResNet20 as they are used for CIFAR, with the base width of a name.

        ResNet18 has the stages of He et al. for ImageNet, with a 3x3 stem of stride 1 and no max-pool. ResNet20 has
        three stages, as He et al. train it on CIFAR-10.
        """
        num_stages, num_blocks = {18: (4, 2), 20: (3, 3)}[spec.depth]
        widths = tuple(spec.width * 2**i for i in range(num_stages))
        return cls(spec.width, widths, num_blocks, (1, 2, 2, 2)[:num_stages], spec.projected)


class PaddedShortcut(nn.Module):
    """The shortcut without parameters (option A of He et al.): every other pixel, and channels of zeros around."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        before = (channels - channels_in) // 2
        self.padding = (0, 0, 0, 0, before, channels - channels_in - before)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution with batch norm where the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int, projected: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if (stride != 1 or channels_in != channels) and not projected:
            self.shortcut = PaddedShortcut(channels_in, channels, stride)
        elif stride != 1 or channels_in != channels:
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


def resnet(stages: Stages, channels: int, num_classes: int, output: nn.Module) -> nn.Sequential:
    """Build the network: a 3x3 stem, stages of post-activation blocks, global average pool, Linear.

    Args:
        stages: the plan.
        channels: of the images.
        num_classes: of the output.
        output: module that ends the network.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(channels, stages.stem, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(stages.stem),
        relu=nn.ReLU(),
    )
    channels_in = stages.stem
    for i, (width, stride) in enumerate(zip(stages.widths, stages.strides, strict=True), start=1):
        blocks = [BasicBlock(channels_in, width, stride, stages.projected)]
        blocks += [BasicBlock(width, width, 1) for _ in range(stages.num_blocks - 1)]
        layers[f"stage{i}"] = nn.Sequential(*blocks)
        channels_in = width
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["linear"] = nn.Linear(channels_in, num_classes)
    layers["output"] = output
    return nn.Sequential(layers)
