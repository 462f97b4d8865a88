"""The names that `--help` lists for options whose values follow a pattern or are found in a table elsewhere.

Those tables (`data.datasets`, `data.shifts.registry`, `models.registry`) hold functions that need torch, and `--help`
answers without it; tests/test_startup.py holds the names equal.
"""

from collections.abc import Mapping

CATALOGUES: Mapping[str, tuple[str, ...]] = {
    "dataset": (
        "digits",
        "mnist",
        "cifar10",
        "fashion_mnist",
        "cifar100",
        "tiny_imagenet",
        "bigearthnet",
        "moons",
        "npz",
        "csv",
        "imagefolder",
    ),
    "shift": (
        "label_XXYY",
        "subset_<fraction>",
        "dirichlet_<concentration>",
        "corrupt_<kind>_<severity>",
        "rotate_<degrees>",
        "bands_<x>_<y>",
        "none",
    ),
    "model": (
        "mlp_l<layers>_w<width>[_<width>...][_bn|_ln][_leaky<slope>][_dropout]",
        "linear_l<layers>_w<width>",
        "resnet10",
        "resnet22",
        "resnet10_s222",
        "resnet22_s222",
        "vgg11",
        "vgg19",
        "vgg_like",
        "patches_dense",
        "patches_local",
        "patches_conv",
        "patches_attention",
        "timm:<name>",
    ),
}
"""Name of an option -> its values, or their forms."""
