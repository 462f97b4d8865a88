"""Curves that are not straight are measured like segments, by the engines that can."""

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import Tensor

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment, distances_from_start
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.weights import State


@dataclass(frozen=True)
class Bent:
    """Two segments that meet in a third network at t = 1/2."""

    a: State
    middle: State
    b: State

    @property
    def ends(self) -> tuple[State, State]:
        return self.a, self.b

    def point(self, t: float) -> dict[str, Tensor]:
        return Segment(self.a, self.middle).point(2 * t) if t < 0.5 else Segment(self.middle, self.b).point(2 * t - 1)


def bent(model: str) -> tuple[NetworkSpec, Bent]:
    spec = NetworkSpec(model, 1, 12, 12, 4)
    return spec, Bent(*(build_network(spec, seed).state_dict() for seed in (1, 2, 3)))


@pytest.mark.parametrize(("model", "engine"), [("mlp_l2_w9_7_bn", "exact"), ("resnet10", "fast")])
def test_a_bent_curve_goes_through_its_third_network_and_the_mlp_engine_leaves_it_to_the_exact_one(
    model: str, engine: str
) -> None:
    spec, curve = bent(model)
    generator = torch.Generator().manual_seed(0)
    images, labels = ResidentImages(torch.randn(60, 1, 12, 12, generator=generator)), torch.arange(60) % 4
    network = build_network(spec, 0)
    fast, exact = (
        measure_path(network, curve, alpha_grid(5), {"test": (images, labels)}, "interpolate", engine=name)
        for name in ("fast", "exact")
    )
    assert fast.engine == engine
    assert fast.losses["test"] == pytest.approx(exact.losses["test"], rel=1e-5)
    assert fast.scores["test"].tolist() == exact.scores["test"].tolist()
    for i, state in enumerate((curve.a, curve.middle, curve.b)):
        network.load_state_dict(state)
        assert (exact.losses["test"][2 * i], exact.scores["test"][2 * i]) == evaluate(network, images, labels)


def test_angles_and_distances_of_a_bent_curve_are_those_of_its_points() -> None:
    curve = Bent(*({"w": torch.tensor(values)} for values in ([1.0, 0.0], [1.0, 1.0], [0.0, 1.0])))
    angles, distances = distances_from_start(curve, ["w"], np.array([0.0, 0.5, 1.0]))
    assert angles == pytest.approx([0, 45, 90])
    assert distances.tolist() == [0, 1, 2]


def test_the_straight_line_is_written_in_one_place_and_used_by_the_engine_of_mlps() -> None:
    lerp = re.compile(r"torch\.(_foreach_)?lerp")
    files = {path for path in ROOT.glob("lmc_mlflow/**/*.py") if lerp.search(path.read_text())}
    assert {path.relative_to(ROOT / "lmc_mlflow").as_posix() for path in files} == {
        "paths/curves.py",
        "paths/engines/mlp.py",
    }


def test_a_gradient_reaches_both_ends_of_a_segment_by_their_share() -> None:
    a, b = (torch.tensor([value], requires_grad=True) for value in (1.0, 3.0))
    Segment({"w": a}, {"w": b}).point(0.25)["w"].sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.item(), b.grad.item()) == (0.75, 0.25)


def test_infinite_weights_have_no_angle_and_no_warning() -> None:
    ends = ({"w": torch.tensor([math.inf, 1.0])}, {"w": torch.tensor([0.0, 1.0])})
    angles, distances = distances_from_start(Segment(*ends), ["w"], np.array([0.0, 0.5]))
    assert np.isnan(angles).all()
    assert np.isnan(distances[0])
