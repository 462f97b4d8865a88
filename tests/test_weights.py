"""Distances and interpolations of state dicts are right to the last bit, and mismatches are named."""

import math

import pytest
import torch

from lmc_mlflow import weights
from lmc_mlflow.paths.curves import Segment

A = {"w": torch.tensor([1.0, 0.0]), "b": torch.tensor([0.0]), "count": torch.tensor(7)}
B = {"w": torch.tensor([0.0, 3.0]), "b": torch.tensor([4.0]), "count": torch.tensor(9)}


def test_hand_worked_distances_and_angles() -> None:
    names = ["w", "b"]  # (1, 0, 0) and (0, 3, 4)
    assert weights.cosine(A, B, names) == 0
    assert weights.angle_deg(A, B, names) == pytest.approx(90)
    assert weights.manhattan(A, B, names) == 8
    assert weights.euclidean_squared(A, B, names) == 26
    assert weights.angle_deg({"w": torch.tensor([1.0, 0])}, {"w": torch.tensor([1.0, 1.0])}, ["w"]) == pytest.approx(45)


def test_small_angles_keep_their_digits() -> None:
    near = {"w": torch.tensor([1.0, 1e-9], dtype=torch.float64)}
    assert weights.angle_deg({"w": torch.tensor([1.0, 0.0]).double()}, near, ["w"]) == pytest.approx(math.degrees(1e-9))


def test_an_angle_to_nothing_is_no_number() -> None:
    assert math.isnan(weights.angle_deg(A, {"w": torch.zeros(2)}, ["w"]))


def test_interpolation_is_exact_at_both_ends_and_copies_counts() -> None:
    torch.manual_seed(0)
    a, b = ({"w": torch.randn(1000) * 10**k, "n": torch.tensor(k)} for k in (0, 5))
    assert torch.equal(Segment(a, b).point(0.0)["w"], a["w"])
    assert torch.equal(Segment(a, b).point(1.0)["w"], b["w"])
    middle = Segment(A, B).point(0.25)
    assert middle["w"].tolist() == [0.75, 0.75]
    assert middle["count"].item() == 7


def test_interpolation_leaves_its_inputs_alone() -> None:
    result = Segment(A, B).point(0.0)
    result["w"].zero_()
    result["count"].zero_()
    assert A["w"].tolist() == [1, 0]
    assert A["count"].item() == 7


@pytest.mark.parametrize(
    ("b", "message"),
    [
        ({"w": torch.zeros(3), "b": A["b"], "count": A["count"]}, r"w: shape \(2,\) vs \(3,\)"),
        ({"w": A["w"], "count": A["count"]}, "b: only the first"),
        ({**A, "extra": A["b"]}, "extra: only the second"),
        ({**A, "b": torch.tensor([0])}, "b: type torch.float32 vs torch.int64"),
    ],
)
def test_the_first_misfit_is_named(b: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weights.check_compatible(A, b)
