"""Times the measurement of a path by other libraries, on the same networks, images and alphas.

Each library uses its own alphas: loss-landscapes leaves out the start of the segment, rebasin leaves out both ends.
Speed is given for one network. Losses are compared alpha by alpha.
"""

import copy
import importlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.rounds import alternate
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.walk import measure_path

NUM_STEPS = 20
NUM_IMAGES, BATCH_SIZE = 4000, 1000
NUM_ROUNDS = 5
MODEL = "mlp_l1_w587"
Curve = NDArray[np.float64]


def measure() -> list[dict[str, Any]]:
    """Return one row for each library: how many times faster one network is here, largest difference of a loss."""
    spec = NetworkSpec(MODEL, 1, 28, 28, 10)
    ends = build_network(spec, 1).eval(), build_network(spec, 2).eval()
    random = torch.Generator().manual_seed(0)
    images = torch.randn(NUM_IMAGES, 1, 28, 28, generator=random)
    labels = torch.randint(0, 10, (NUM_IMAGES,), generator=random)
    return [
        {"library": name, **_against(way, alphas, ends, images, labels)}
        for name, (way, alphas) in {
            "loss-landscapes": (_loss_landscapes, np.arange(1, NUM_STEPS + 1) / NUM_STEPS),
            "rebasin": (_rebasin, np.arange(1, NUM_STEPS + 1) / (NUM_STEPS + 2)),
        }.items()
    ]


def _against(
    way: Any, alphas: Curve, ends: tuple[nn.Module, nn.Module], images: Tensor, labels: Tensor
) -> dict[str, Any]:
    found: dict[str, Curve] = {}
    splits = {"test": (ResidentImages(images), labels)}
    segment = Segment(ends[0].state_dict(), ends[1].state_dict())

    def theirs() -> None:
        found["theirs"] = way(ends, images, labels)

    def ours() -> None:
        found["ours"] = measure_path(ends[0], segment, alphas, splits, "interpolate").losses["test"]

    try:
        times = alternate({"theirs": theirs, "ours": ours}, NUM_ROUNDS)
    except ModuleNotFoundError as error:
        return {"networks": NUM_STEPS, "ratio of minima": f"not installed ({error.name}): pip install '.[peers]'"}
    return {
        "networks": NUM_STEPS,
        "ratio of minima": times["theirs"].least / times["ours"].least,
        "ratio of medians": times["theirs"].median / times["ours"].median,
        "largest difference": float(np.abs(found["theirs"] - found["ours"]).max()),
    }


@torch.no_grad()
def _loss_landscapes(ends: tuple[nn.Module, nn.Module], images: Tensor, labels: Tensor) -> Curve:
    library = importlib.import_module("loss_landscapes")
    metrics = importlib.import_module("loss_landscapes.metrics")
    metric = metrics.Loss(functional.nll_loss, images, labels)
    start, end = (copy.deepcopy(network) for network in ends)  # it changes the weights that it is given
    losses: Curve = library.linear_interpolation(start, end, metric, steps=NUM_STEPS)
    return losses


@torch.no_grad()
def _rebasin(ends: tuple[nn.Module, nn.Module], images: Tensor, labels: Tensor) -> Curve:
    interpolation = importlib.import_module("rebasin.interpolation")

    def loss(network: nn.Module, _device: object) -> float:
        parts = zip(torch.split(images, BATCH_SIZE), torch.split(labels, BATCH_SIZE), strict=True)
        return sum(functional.nll_loss(network(x), y, reduction="sum").item() for x, y in parts) / len(labels)

    lerp = interpolation.LerpSimple(models=list(ends), eval_fn=loss, logging_level="ERROR")
    lerp.interpolate(steps=NUM_STEPS)
    return np.array(lerp.metrics_interpolated)
