"""Renders docs/architectures.md: which units of public networks may be exchanged, or why that is not known.

`python -m benchmarks.architectures` derives the symmetry of every network of architectures.txt, which takes a quarter
of an hour, and writes the page; with names of networks it prints their rows.
"""

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lmc_mlflow.alignment import Symmetry, derive_symmetry

NAMES = Path(__file__).with_suffix(".txt")
PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
SIZES = {"torchvision:inception_v3": 299}
"""Height and width of the images of networks of torchvision, where they are not 224."""
INTRODUCTION = """\
# Public networks: what may be exchanged

What [`align`](alignment.md#which-units-may-be-exchanged) finds in networks of timm and torchvision, at the size of
image that they were made for. *Groups* are permuted independently of each other. *Units* are counted over all groups;
*blocks* are the heads and the groups of channels that are exchanged as wholes. *Hidden channels* are counted over all
layers: where ten layers add to one residual stream, a unit of its group is ten hidden channels. *Free* is the share of
them that may move. The last column names the first layer of which some are held still, with the operation and the
module that hold them, or says why a network is refused.

`python -m benchmarks.architectures` derives every row anew and writes this page. With names of networks
(`timm:resnet18`) it prints their rows. The networks stand in `benchmarks/architectures.txt`.
"""
HEADER = ("network", "groups", "units", "blocks", "hidden channels", "free", "first layer held still")


def build(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """Build a network without values where these do not matter, and give the shape of an image that it takes.

    The values of buffers that no state dict holds do: units may move beside a buffer whose entries are all alike.
    """
    try:
        with torch.device("meta"):
            network, shape = _built(name)
    except (NotImplementedError, RuntimeError):  # its builder computes with values
        return _built(name)
    buffers = {buffer for buffer, _ in network.named_buffers()}
    return (network, shape) if buffers <= network.state_dict().keys() else _built(name)


def _built(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    library, _, model = name.partition(":")
    if library == "timm":
        import timm

        made: Any = timm.create_model(model, pretrained=False)
        return made, made.pretrained_cfg["input_size"]
    import torchvision

    without_head = {"aux_logits": False, "init_weights": False} if model in ("googlenet", "inception_v3") else {}
    size = SIZES.get(name, 224)
    network: nn.Module = torchvision.models.get_model(model, weights=None, **without_head)
    return network, (3, size, size)


def row(name: str) -> str:
    """Derive the symmetry of one network, and write its row of the table."""
    network, shape = build(name)
    try:
        cells = _cells(derive_symmetry(network, torch.zeros(2, *shape)))
    except ValueError as error:
        cells = [*[""] * (len(HEADER) - 2), f"refused: {error}"]
    library, _, model = name.partition(":")
    return _line([f"`{model}` ({library})", *cells])


def _cells(symmetry: Symmetry) -> list[str]:
    held = next(iter(symmetry.held.items()), None)
    channels = sum(layer.total for layer in symmetry.channels.values())
    reason = "" if held is None else f"`{held[0]}`: {held[1].reasons[0]}"
    blocks = set(symmetry.parents.values())
    units = sum(math.prod(symmetry.shape(group)) for group in symmetry.sizes if group not in blocks)
    counts = (len(symmetry.sizes), units, sum(symmetry.sizes[group] for group in blocks), channels)
    return [*(f"{count:,}" for count in counts), f"{math.floor(100 * symmetry.share_free)}%", reason]


def page(rows: Iterable[str]) -> str:
    """Write the page around the rows of all networks."""
    every = list(rows)
    refused = sum("refused: " in line for line in every)
    free = sum(line.endswith("| 100% |  |") for line in every)
    counts = f"{len(every)} networks, {refused} of them refused. In {free}, all hidden channels may move.\n"
    return "\n".join([INTRODUCTION, counts, _line(HEADER), "|---" * len(HEADER) + "|", *every]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the rows of the named networks, or render the page."""
    names = sys.argv[1:]
    if names:
        print("\n".join(row(name) for name in names))
        return 0
    rows = []
    for name in NAMES.read_text().split():
        rows.append(row(name))
        print(rows[-1], flush=True)
    PAGE.write_text(page(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
