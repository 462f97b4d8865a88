"""Times the derivation of a symmetry and weight matching, over a plain forward pass and the bare assignments.

Networks of timm with random weights, on two images of 224 x 224 pixels. The bare assignments are one linear assignment
for each group of units, on random similarities: less no coordinate descent can do in one sweep.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.rounds import alternate
from lmc_mlflow.alignment import Symmetry, derive_symmetry, match_weights
from lmc_mlflow.alignment.matching import assign

CASES: Mapping[str, bool] = {"resnet50": True, "densenet121": False, "mobileone_s0": False, "hgnetv2_b0": False}
"""Network of timm -> whether two of them are matched too."""
SIZE = 224
DERIVATION_LIMIT, MATCHING_LIMIT = 10.0, 30.0


def measure(cases: Mapping[str, bool] = CASES, size: int = SIZE) -> list[dict[str, Any]]:
    """Return one row for each network."""
    return [_case(model, matched, size) for model, matched in cases.items()]


@torch.no_grad()
def _case(model: str, matched: bool, size: int) -> dict[str, Any]:
    import timm

    network, other = (timm.create_model(model, pretrained=False).eval() for _ in range(2))
    images = torch.zeros(2, 3, size, size)
    ways = {"forward": lambda: network(images), "derive": lambda: derive_symmetry(network, images)}
    times = alternate(ways, 1)
    derive, forward = times["derive"].least, times["forward"].least
    row: dict[str, Any] = {
        "network": model,
        "derivation: seconds": derive,
        "over a forward pass": derive / forward,
        f"less than {DERIVATION_LIMIT:.0f} s": derive < DERIVATION_LIMIT,
    }
    columns = ("matching: seconds", "over the bare assignments", f"less than {MATCHING_LIMIT:.0f} s")
    cells = _matching(network, other, derive_symmetry(network, images)) if matched else ("", "", "")
    return row | dict(zip(columns, cells, strict=True))


def _matching(network: nn.Module, other: nn.Module, symmetry: Symmetry) -> tuple[float, float, bool]:
    a, b = network.state_dict(), other.state_dict()
    random = torch.Generator().manual_seed(0)
    similarities = [torch.rand(size, size, generator=random) for size in symmetry.sizes.values()]
    ways = {
        "match": lambda: match_weights(symmetry, a, b, seed=0),
        "assign": lambda: _assign_all(similarities),
    }
    times = alternate(ways, 1, warm_up=False)
    match, bare = times["match"].least, times["assign"].least
    return match, match / bare, match < MATCHING_LIMIT


def _assign_all(similarities: list[Tensor]) -> None:
    for similarity in similarities:
        assign(similarity)
