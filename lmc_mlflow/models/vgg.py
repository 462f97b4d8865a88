"""Builds VGG11, VGG19 and the VGG-like network: convolutions with bias and batch norm, max-pools, one Linear."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

POOL = 0
VGG11 = (64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL)
VGG19 = (64, 64, POOL, 128, 128, POOL, *(256,) * 4, POOL, *(512,) * 4, POOL, *(512,) * 4, POOL)
VGG_LIKE = (64, POOL, 128, POOL, 256, 256, POOL)


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
    layers["average"] = nn.AdaptiveAvgPool2d(pool_size)
    layers["flatten"] = nn.Flatten()
    layers["linear"] = nn.Linear(channels_in * pool_size**2, num_classes)
    layers["output"] = output
    return nn.Sequential(layers)
