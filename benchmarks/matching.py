"""Compares weight matching with the library rebasin: objective, speed, and change of the outputs.

Pairs of networks from two initializations, trained for a few steps on scikit-learn's digits, are matched by both, from
several seeds (a seed decides the order of the layers). The objective is the sum of <a, permuted b> over all trained
tensors, computed here from the permuted network of each. A permutation must not change the outputs.
"""

import copy
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from benchmarks.rounds import alternate
from lmc_mlflow.alignment import derive_symmetry, match_weights, permute
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.seeds import global_stream
from lmc_mlflow.weights import State

CASES: Mapping[str, tuple[int, int]] = {
    "mlp_l1_w126": (8, 5),
    "mlp_l3_w110_256_110": (8, 5),
    "mlp_l3_w110_256_110_bn": (8, 5),
    "resnet10": (8, 5),
    "vgg11": (32, 2),
    "vgg19": (32, 1),
}
"""Network -> height and width of the images, number of seeds."""
NUM_STEPS, BATCH_SIZE = 30, 64
Ends = tuple[nn.Module, nn.Module]


def measure() -> list[dict[str, Any]]:
    """Return one row for each network."""
    return [_case(model, size, num_seeds) for model, (size, num_seeds) in CASES.items()]


def _case(model: str, size: int, num_seeds: int) -> dict[str, Any]:
    images, labels = _digits(size)
    ends = _trained(model, 0, images, labels), _trained(model, 1, images, labels)
    a, b = (end.state_dict() for end in ends)
    names = trainable(ends[0])
    found: dict[str, list[float]] = {"ours": [], "theirs": []}
    changes = {"ours": 0.0, "theirs": 0.0}
    with torch.no_grad():
        outputs = ends[1](images[:BATCH_SIZE])

    def objective(state: State) -> float:
        return sum(float((a[name].double() * state[name].double()).sum()) for name in names)

    def timed(name: str, match: Callable[[Ends, Tensor, int], State]) -> Callable[[], None]:
        def way() -> None:
            state = match(ends, images[:2], len(found[name]))
            found[name].append(objective(state))
            with torch.no_grad():
                now = functional_call(ends[1], dict(state), (images[:BATCH_SIZE],))
            changes[name] = max(changes[name], float((now - outputs).abs().max()))

        return way

    row: dict[str, Any] = {"network": model, "unmatched": objective(b)}
    try:
        ways = {"theirs": timed("theirs", _rebasin), "ours": timed("ours", _ours)}
        times = alternate(ways, num_seeds, warm_up=False)
    except ModuleNotFoundError as error:
        return {**row, "rebasin": f"not installed ({error.name}): pip install '.[peers]'"}
    return {
        **row,
        "rebasin: lowest": min(found["theirs"]),
        "rebasin: highest": max(found["theirs"]),
        "ours: lowest": min(found["ours"]),
        "ours: highest": max(found["ours"]),
        "rebasin: outputs change by": changes["theirs"],
        "ours: by": changes["ours"],
        "ratio of minima": times["theirs"].least / times["ours"].least,
        "ours takes less than 10 s": times["ours"].least < 10,
    }


def _ours(ends: Ends, images: Tensor, seed: int) -> State:
    a, b = (end.state_dict() for end in ends)
    symmetry = derive_symmetry(ends[0], images)
    return permute(symmetry, b, match_weights(symmetry, a, b, seed=seed, include=trainable(ends[0])).permutations)


def _rebasin(ends: Ends, images: Tensor, seed: int) -> State:
    library = importlib.import_module("rebasin")
    moved = copy.deepcopy(ends[1])
    with global_stream(seed, torch.device("cpu")):  # its order of layers is drawn from the global generator
        library.PermutationCoordinateDescent(ends[0], moved, images).rebasin()
    state: State = moved.state_dict()
    return state


def _digits(size: int) -> tuple[Tensor, Tensor]:
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    return functional.interpolate(images, size=(size, size)), torch.tensor(data.target).long()


def _trained(model: str, seed: int, images: Tensor, labels: Tensor) -> nn.Module:
    network = build_network(NetworkSpec(model, 1, *images.shape[2:], 10), seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    random = torch.Generator().manual_seed(seed)
    for _ in range(NUM_STEPS):
        chosen = torch.randint(len(images), (BATCH_SIZE,), generator=random)
        optimizer.zero_grad()
        functional.nll_loss(network(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    return network.eval()
