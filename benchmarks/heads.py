"""Measures the barrier between two ViTs when heads are exchanged, mapped, or left where they are."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from lmc_mlflow.alignment import Symmetry, derive_symmetry, match_weights, permute
from lmc_mlflow.alignment.head_maps import map_heads
from lmc_mlflow.alignment.symmetry import Part
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.seeds import global_stream, stream
from lmc_mlflow.weights import State, euclidean_squared

SEEDS = (0, 1, 2)
NUM_EPOCHS, BATCH_SIZE, RATE = 30, 64, 2e-3
ALPHAS = torch.linspace(0, 1, 11).tolist()


def measure() -> list[dict[str, Any]]:
    """Return one row for each seed: barrier of the test loss and squared distance, for each way to align."""
    return [_row(seed) for seed in SEEDS]


def _row(seed: int) -> dict[str, Any]:
    images, labels = _digits()
    train, test = slice(0, 1200), slice(1200, None)
    a, b = (_trained(2 * seed + i, images[train], labels[train]) for i in range(2))
    symmetry, names = derive_symmetry(a, images[:2]), trainable(a)
    of_a, of_b = (copy.deepcopy(network.state_dict()) for network in (a, b))

    def by(symmetry: Symmetry) -> dict[str, Tensor]:
        return permute(symmetry, of_b, match_weights(symmetry, of_a, of_b, seed=0, include=names).permutations)

    def mapped() -> dict[str, Tensor]:
        found = match_weights(symmetry, of_a, of_b, seed=0, include=names)
        return map_heads(symmetry, of_a, of_b, found.permutations, names)[0]

    ways: Mapping[str, Callable[[], State]] = {
        "not aligned": lambda: of_b,
        "heads held": lambda: by(without_blocks(symmetry)),
        "heads exchanged": lambda: by(symmetry),
        "heads mapped": mapped,
    }
    row: dict[str, Any] = {"seed": seed}
    for way, align in ways.items():
        state = align()
        losses = _losses(a, of_a, state, images[test], labels[test])
        row[way] = round(max(losses) - (losses[0] + losses[-1]) / 2, 3)
        row[f"{way}: distance"] = round(euclidean_squared(of_a, state, names), 1)
    return row


def without_blocks(symmetry: Symmetry) -> Symmetry:
    """Give the symmetry in which blocks, and all that lies inside them, are held where they are."""
    blocks = {*symmetry.parents, *symmetry.parents.values()}

    def held(part: Part) -> Part:
        return Part(None, part.size * part.repeat) if blocks & set(part.groups()) else part

    axes, outputs = (
        {name: tuple(tuple(held(part) for part in parts) for parts in layout) for name, layout in layouts.items()}
        for layouts in (symmetry.axes, symmetry.outputs)
    )
    sizes = {group: size for group, size in symmetry.sizes.items() if group not in blocks}
    return replace(symmetry, sizes=sizes, axes=axes, outputs=outputs, parents={})


def _losses(network: nn.Module, a: State, b: State, images: Tensor, labels: Tensor) -> list[float]:
    segment, losses = Segment(a, b), []
    for alpha in ALPHAS:
        network.load_state_dict(segment.point(alpha))
        with torch.no_grad():
            losses.append(float(functional.cross_entropy(network(images), labels)))
    return losses


def _digits() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=stream(0, "benchmark/digits"))
    images = torch.from_numpy(digits.images).float()[:, None] / 8 - 1
    return images[order], torch.from_numpy(digits.target)[order]


def _trained(seed: int, images: Tensor, labels: Tensor) -> nn.Module:
    import timm

    shape = {"img_size": 8, "patch_size": 2, "in_chans": 1, "embed_dim": 48, "depth": 2, "num_heads": 4}
    with global_stream(seed, torch.device("cpu")):
        network: nn.Module = timm.create_model("vit_tiny_patch16_224", num_classes=10, **shape)
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        for _ in range(NUM_EPOCHS):
            for rows in torch.split(torch.randperm(len(images)), BATCH_SIZE):
                optimizer.zero_grad()
                functional.cross_entropy(network(images[rows]), labels[rows]).backward()
                optimizer.step()
    return network.eval()
