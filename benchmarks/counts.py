"""Counts what the host does for a simulated GPU: launches and waits of the training engines, of paths and of matching.

Counts depend on the code alone, so that they can be measured on any machine. Networks and images are small: the number
of kernels of a step does not depend on their size.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lmc_mlflow.alignment.derivation.derive import derive_symmetry
from lmc_mlflow.alignment.methods.weights import match_weights
from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.config.star import SegmentsConfig
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.data.pixels import ArraySource
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.streaming import ScaledSource, StreamedImages
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import point_loader
from lmc_mlflow.precision import products
from lmc_mlflow.seeds import stream
from lmc_mlflow.star_domains.segments import SegmentNetwork, draw_points
from lmc_mlflow.training.engines.table import Training, choose_engine
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee

if TYPE_CHECKING:
    from simulated_device import Counts

TESTS = Path(__file__).resolve().parent.parent / "tests"
GPU = torch.device("cuda", 0)
GRAY, RGB = (1, 12, 12), (3, 32, 32)
NUM_CLASSES = 10
BATCH_SIZE = 4
NUM_STEPS = 4, 8
"""Steps of two epochs: their difference is what the steps cost, the rest of the shorter one is what comes once."""


@dataclass(frozen=True)
class Case:
    """A row of the table: the training of two networks.

    Attributes:
        name: in the table.
        model: of both.
        engine: `exact` or `fast`.
        shape: of the images.
        flips: whether images are flipped.
        noise_scope: as in `NoiseConfig`.
        translate: the largest random translation in pixels.
        streamed: whether images are read batch by batch.
        more_of_b: images that side B has more than side A.
        options: of the optimization.
    """

    name: str
    model: str
    engine: str
    shape: tuple[int, int, int] = GRAY
    flips: bool = False
    noise_scope: str = "run"
    translate: int = 0
    streamed: bool = False
    more_of_b: int = 0
    options: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("MLP L1 exact", "mlp_l1_w8", "exact"),
    Case("MLP L1 exact, flips in the paper's order", "mlp_l1_w8", "exact", flips=True, noise_scope="paper"),
    Case("MLP L1 with dropout exact, flips in the paper's order", "mlp_l1_w8_dropout", "exact", flips=True,
         noise_scope="paper"),
    Case("MLP L1 exact, flips and translations", "mlp_l1_w8", "exact", flips=True, translate=2),
    Case("MLP L1 exact, batch by batch", "mlp_l1_w8", "exact", streamed=True),
    Case("MLP L1 fast", "mlp_l1_w8", "fast"),
    Case("MLP L3 fast", "mlp_l3_w8_8_8", "fast"),
    Case("MLP L3 with batch norm fast, flips and translations", "mlp_l3_w8_8_8_bn", "fast", flips=True, translate=2),
    Case("MLP L1 fast, sides of two sizes", "mlp_l1_w8", "fast", more_of_b=BATCH_SIZE),
    Case("ResNet10 exact", "resnet10", "exact"),
    Case("ResNet10 exact, bfloat16", "resnet10", "exact", options={"precision": "bfloat16"}),
    Case("ResNet10 fast", "resnet10", "fast"),
    Case("ResNet22 fast", "resnet22", "fast"),
    Case("VGG11 exact, flips", "vgg11", "exact", RGB, flips=True),
    Case("VGG11 fast", "vgg11", "fast", RGB),
)  # fmt: skip


@dataclass(frozen=True)
class TrainingCounts:
    """What training costs the host.

    Attributes:
        launches: of a step of one network.
        waits: of a step of one network.
        graph_kernels: that the graphs among these launches run.
        outside_launches: of an epoch of both networks, outside the steps.
        outside_waits: of an epoch of both networks, outside the steps.
    """

    launches: float
    waits: float
    graph_kernels: float
    outside_launches: float
    outside_waits: float


def trainees(case: Case, config: OptimizationConfig, num_samples: int, device: torch.device) -> list[Trainee]:
    """Make the two networks of a case, with made-up images."""
    made = []
    for side, size in (("A", num_samples), ("B", num_samples + case.more_of_b)):
        pixels = torch.randn(size, *case.shape, generator=stream(0, "images"))
        network = build_network(NetworkSpec(case.model, *case.shape, NUM_CLASSES), seed=1).to(device)
        noise = noise_stream(NoiseConfig(noise_scope=case.noise_scope), 1, side, device, case.translate)
        labels = torch.arange(size) % NUM_CLASSES
        images = _streamed(pixels, device) if case.streamed else ResidentImages(pixels.to(device))
        optimizer = make_optimizer(network.parameters(), config)
        made.append(Trainee(side, network, optimizer, noise, images, labels.to(device)))
    return made


def _streamed(pixels: Tensor, device: torch.device) -> Images:
    channels = pixels.shape[1]
    scaling = Scaling(1.0, (0.1,) * channels, (0.3,) * channels)
    return StreamedImages((ScaledSource(ArraySource(pixels.numpy()), scaling),), device)


def start(case: Case, num_samples: int, device: torch.device) -> tuple[list[Trainee], Training]:
    """Start the training of a case."""
    config = OptimizationConfig(**{"epochs": 9, "batch_size": BATCH_SIZE, **case.options})
    made = trainees(case, config, num_samples, device)
    with products(config.precision):
        return made, choose_engine(case.engine, made, config).start(made, config, case.flips)


def count_training(case: Case) -> TrainingCounts:
    """Count the second epoch of a training on the current simulated GPU, with fewer and with more steps."""
    few, many = (_epoch(case, steps) for steps in NUM_STEPS)
    steps = 2 * (NUM_STEPS[1] - NUM_STEPS[0])

    def of_step(name: str) -> float:
        return float(getattr(many, name) - getattr(few, name)) / steps

    def outside(name: str) -> float:
        return getattr(few, name) - 2 * NUM_STEPS[0] * of_step(name)

    return TrainingCounts(
        of_step("launches"), of_step("waits"), of_step("graph_kernels"), outside("launches"), outside("waits")
    )


def _epoch(case: Case, num_steps: int) -> "Counts":
    from simulated_device import counted

    _, training = start(case, BATCH_SIZE * num_steps, GPU)
    with products(case.options.get("precision", "float32")):
        training.train_epoch(1)
        with counted() as counts:
            training.train_epoch(2)
    return counts


def count_point(model: str, bn: str, num_batches: int) -> "Counts":
    """Count the loading of a point of a path, its second one, with a policy of batch norm and calibration batches."""
    from simulated_device import counted

    ends = [build_network(NetworkSpec(model, *GRAY, NUM_CLASSES), seed).to(GPU).eval() for seed in (1, 2)]
    images = ResidentImages(torch.randn(1000 * (num_batches - 1) + 8, *GRAY, generator=stream(0, "images")).to(GPU))
    load = point_loader(
        ends[0], Segment(*({k: v.clone() for k, v in e.state_dict().items()} for e in ends)), bn, images
    )
    with torch.no_grad():
        load(0.25)
        with counted() as counts:
            load(0.5)
    return counts


def count_matching(model: str) -> "Counts":
    """Count the matching of two networks by their weights."""
    from simulated_device import counted

    networks = [build_network(NetworkSpec(model, *GRAY, NUM_CLASSES), seed) for seed in (1, 2)]
    symmetry = derive_symmetry(networks[0], torch.zeros(2, *GRAY))
    a, b = (network.to(GPU).state_dict() for network in networks)
    with counted() as counts:
        match_weights(symmetry, a, b, seed=1)
    return counts


def count_star_point(model: str) -> "Counts":
    """Count a star's forward pass at a point of a segment."""
    from simulated_device import counted

    star, source = (build_network(NetworkSpec(model, *GRAY, NUM_CLASSES), seed).to(GPU) for seed in (1, 2))
    network = SegmentNetwork(star).train()
    network.set_points((source.state_dict(), t) for _, t in draw_points(SegmentsConfig(), 1, 2, 1, "step"))
    images = torch.zeros(2, *GRAY, device=GPU)
    network(images)
    with counted() as counts:
        network(images)
    return counts


@contextmanager
def simulated_gpu() -> Iterator[None]:
    """Let this process have a simulated GPU within the block: the one of the tests."""
    sys.path.insert(0, str(TESTS))
    try:
        from simulated_device import simulated_gpus

        with simulated_gpus(1):
            yield
    finally:
        sys.path.remove(str(TESTS))


def measure_training(cases: Iterable[Case] = CASES) -> list[dict[str, Any]]:
    """Return one row for each case."""
    rows = []
    with simulated_gpu():
        for case in cases:
            found = count_training(case)
            rows.append(
                {
                    "case": case.name,
                    "launches a step": found.launches,
                    "kernels in its graph": found.graph_kernels,
                    "waits a step": found.waits,
                    "launches outside": found.outside_launches,
                    "waits outside": found.outside_waits,
                }
            )
    return rows


def measure_others() -> list[dict[str, Any]]:
    """Return one row for each other thing that is counted."""
    model = "resnet10"
    with simulated_gpu():
        found = {
            f"{bn} a point, {num_batches} batches": count_point(model, bn, num_batches)
            for bn in ("recalibrate", "repair")
            for num_batches in (2, 4)
        }
        found["weight matching"] = count_matching(model)
        found["a star's forward pass"] = count_star_point(model)
    return [{"ResNet10": name, "launches": c.launches, "waits": c.waits} for name, c in found.items()]
