"""Builds VGG11, VGG19 and the VGG-like network: convolutions with bias and batch norm, max-pools, one Linear."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, fx, nn
from torch.nn import functional

POOL = 0
VGG11 = (64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL)
VGG19 = (64, 64, POOL, 128, 128, POOL, *(256,) * 4, POOL, *(512,) * 4, POOL, *(512,) * 4, POOL)
VGG_LIKE = (64, POOL, 128, POOL, 256, 256, POOL)


class AveragePool(nn.AdaptiveAvgPool2d):
    """Averages feature maps (N, C, H, W) to a fixed height and width, as `average` does."""

    output_size: int

    def forward(self, input: Tensor) -> Tensor:
        """Return the averages (N, C, size, size)."""
        return average(input, self.output_size)


@fx.wrap  # a trace holds the call, not one of its branches
def average(maps: Tensor, size: int) -> Tensor:
    """Average feature maps (N, C, H, W) to (N, C, size, size).

    The gradient of PyTorch's adaptive pooling has no deterministic implementation on a GPU. Where the size divides H
    and W, a pooling with windows of one size is the same function, and has one. On a CPU the two round differently, and
    the adaptive one stays, so that stored results can be repeated to the last bit.
    """
    height, width = maps.shape[-2:]
    if maps.device.type == "cpu" or height % size or width % size:
        return functional.adaptive_avg_pool2d(maps, size)
    return functional.avg_pool2d(maps, (height // size, width // size))


def vgg(plan: Sequence[int], pool_size: int, channels: int, num_classes: int, output: nn.Module) -> nn.Sequential:
    """Build the network of a plan.

    Args:
        plan: widths of 3x3 convolutions, and POOL for a 2x2 max-pool, in their order.
        pool_size: height and width to which the last feature map is averaged (1 for VGG11 and
            VGG19, where 32x32 images arrive at 1x1 anyway; 5 for the VGG-like network, whose 120x120
            images arrive at 15x15).
        channels: of the images.
        num_classes: of the output.
        output: module that ends the network.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels_in, convs, pools = channels, 0, 0
    for width in plan:
        if width == POOL:
            pools += 1
            layers[f"pool{pools}"] = nn.MaxPool2d(2)
            continue
        convs += 1
        layers[f"conv{convs}"] = nn.Conv2d(channels_in, width, 3, padding=1)
        layers[f"norm{convs}"] = nn.BatchNorm2d(width)
        layers[f"relu{convs}"] = nn.ReLU()
        channels_in = width
    layers["average"] = AveragePool(pool_size)
    layers["flatten"] = nn.Flatten()
    layers["linear"] = nn.Linear(channels_in * pool_size**2, num_classes)
    layers["output"] = output
    return nn.Sequential(layers)
