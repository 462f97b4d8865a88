"""Adaptive points find a spike that 21 even points miss, and need fewer points on smooth paths."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from lmc_mlflow.alignment import derive_symmetry, permute, random_permutations
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import Values, alpha_grid, barrier, barrier_in_basin
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.grid import (
    MOST_POINTS,
    adaptive_grid,
    barrier_error_bound,
    next_points,
    possible_rises,
)
from lmc_mlflow.paths.walk import measure_path

Curve = Callable[[Values], Values]
FINE = np.arange(1001) / 1000
TOLERANCE = 0.01


def walked(curve: Curve, tolerance: float = TOLERANCE) -> tuple[Values, Values]:
    """Alphas and losses of a curve, measured as an adaptive path is."""
    alphas = adaptive_grid(tolerance).alphas
    while len(new := next_points(alphas, {"test": curve(alphas)}, tolerance)):
        assert not np.isin(new, alphas).any()
        alphas = np.union1d(alphas, new)
    return alphas, curve(alphas)


def bell(height: float, centre: float, width: float) -> Curve:
    return lambda alphas: 0.2 + height * np.exp(-0.5 * ((alphas - centre) / width) ** 2)


SMOOTH: dict[str, Curve] = {
    f"a hill of {height} nats at {centre}": bell(height, centre, 0.18)
    for height in (0.3, 1.0, 3.0, 8.0)
    for centre in (0.5, 0.43, 0.525, 0.31)
} | {
    "a W": lambda alphas: 0.1 + 30 * ((alphas - 0.5) ** 2 - 0.10) ** 2,
    "a parabola": lambda alphas: 3 * (alphas - 0.4) ** 2,
    "a line": lambda alphas: 2 * alphas,
    "a step": lambda alphas: 3 / (1 + np.exp(-20 * (alphas - 0.5))),
    "a plateau": np.ones_like,
}


@pytest.mark.parametrize("centre", [0.525, 0.475, 0.32])
def test_a_narrow_spike_that_21_even_points_miss_is_found(centre: float) -> None:
    spike, even = bell(2.0, centre, 0.015), alpha_grid(21)
    assert barrier_in_basin(spike(even)).height < 1  # two nats high
    alphas, losses = walked(spike)
    assert barrier_in_basin(losses).height == pytest.approx(2, abs=TOLERANCE)
    assert barrier(losses) == pytest.approx(2, abs=TOLERANCE)
    assert len(alphas) < 40


@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_path_takes_fewer_points_than_21_and_its_error_is_within_the_bound(name: str) -> None:
    curve, even = SMOOTH[name], alpha_grid(21)
    alphas, losses = walked(curve)
    truth = curve(FINE)
    bound = barrier_error_bound(alphas, losses, TOLERANCE)
    for measured, of_21, true in (
        (barrier(losses), barrier(curve(even)), barrier(truth)),
        (barrier_in_basin(losses).height, barrier_in_basin(curve(even)).height, barrier_in_basin(truth).height),
    ):
        assert -1e-9 <= true - measured <= bound + 1e-9
        assert true - measured <= max(TOLERANCE, true - of_21) + 1e-9
    assert len(alphas) < len(even)
    assert bound <= 3 * TOLERANCE  # a top and the minima on its two sides


def test_what_may_lie_between_points_as_worked_by_hand() -> None:
    # Losses 0 0 0 1 0 0, t in steps of the grid. Between the third and the fourth the parabolas through the points
    # beside them are t + c t (t - 1) with c = 1/2 and -1. The bound takes c = -1 - 3/2: at t = 0.7 it is 1.225.
    # Between the second and the third c is 0 and 1/2, so the lowest is t (t - 1) = -1/4; half of it counts.
    alphas, losses = np.linspace(0, 1, 6), np.array([0.0, 0, 0, 1, 0, 0])
    assert possible_rises(alphas, losses, TOLERANCE) == pytest.approx([1 / 24, 0.125, 0.225, 0.225, 0.125])
    assert barrier_error_bound(alphas, losses, TOLERANCE) == pytest.approx(0.225 + (0.25 + 0.25) / 2)
    assert possible_rises(alphas, np.linspace(1, 0, 6), TOLERANCE) == pytest.approx(np.zeros(5), abs=1e-12)


def test_a_loss_that_is_no_number_asks_for_no_points_and_has_no_bound() -> None:
    alphas = adaptive_grid(TOLERANCE).alphas
    losses = np.where(alphas == 0.5, np.nan, alphas)
    assert len(next_points(alphas, {"test": losses}, TOLERANCE)) == 0
    assert np.isnan(barrier_error_bound(alphas, losses, TOLERANCE))


def test_points_stay_apart_by_a_thousandth_and_below_their_largest_number() -> None:
    noise = np.random.default_rng(0).random(1001)

    def rough(alphas: Values) -> Values:
        return noise[np.round(1000 * alphas).astype(int)]

    alphas, losses = walked(rough)
    assert len(alphas) == MOST_POINTS
    assert len({round(1000 * alpha) for alpha in alphas}) == MOST_POINTS
    assert barrier_error_bound(alphas, losses, TOLERANCE) > TOLERANCE  # and says so
    jump, _ = walked(lambda alphas: (alphas > 0.4567) * 1.0 + 2 * (alphas > 0.6543) * (alphas < 0.66))
    assert np.diff(np.round(1000 * jump)).min() >= 1


def test_the_split_that_needs_a_point_gets_it_for_all() -> None:
    alphas = adaptive_grid(TOLERANCE).alphas
    flat, spike = np.zeros_like(alphas), bell(2.0, 0.525, 0.02)(alphas)
    assert len(next_points(alphas, {"test": flat, "train_a": flat}, TOLERANCE)) == 0
    assert 0.55 in next_points(alphas, {"test": flat, "train_a": spike}, TOLERANCE)


@pytest.mark.parametrize("model", ["mlp_l2_w9_7_bn", "resnet10"])
def test_both_engines_add_the_same_points(model: str) -> None:
    network = build_network(NetworkSpec(model, 1, 12, 12, 4), 1).eval()
    images = torch.randn(60, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    symmetry, state = derive_symmetry(network, images[:2]), network.state_dict()
    with torch.no_grad():
        for name in state:
            if name.startswith("linear") or name.endswith("weight"):
                state[name].mul_(2)
        labels = network(images).argmax(dim=1)
    permuted = permute(symmetry, state, random_permutations(symmetry, torch.Generator().manual_seed(1)))
    segment, splits = Segment(state, permuted), {"test": (ResidentImages(images), labels)}
    fast, exact = (
        measure_path(network, segment, adaptive_grid(0.002), splits, "interpolate", engine=engine)
        for engine in ("fast", "exact")
    )
    assert (fast.engine, exact.engine) == ("fast", "exact")
    assert len(exact.alphas) > 11
    np.testing.assert_array_equal(fast.alphas, exact.alphas)
    np.testing.assert_allclose(fast.losses["test"], exact.losses["test"], rtol=1e-4)
    assert fast.variance_ratio == pytest.approx(exact.variance_ratio, rel=1e-6)
    plain = measure_path(network, segment, exact.alphas, splits, "interpolate", engine="exact")
    np.testing.assert_array_equal(plain.losses["test"], exact.losses["test"])
    np.testing.assert_array_equal(plain.angles_deg, exact.angles_deg)


def test_a_smooth_path_of_networks_loads_each_point_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network(NetworkSpec("mlp_l1_w5", 1, 4, 4, 3), 1)
    other = build_network(NetworkSpec("mlp_l1_w5", 1, 4, 4, 3), 2)
    loaded = []
    load_state_dict = nn.Module.load_state_dict
    monkeypatch.setattr(
        nn.Module, "load_state_dict", lambda self, state, **own: loaded.append(1) or load_state_dict(self, state, **own)
    )
    splits = {"test": (ResidentImages(torch.randn(30, 1, 4, 4)), torch.arange(30) % 3)}
    segment = Segment(network.state_dict(), other.state_dict())
    path = measure_path(network, segment, adaptive_grid(0.01), splits, "interpolate", engine="exact")
    assert len(loaded) == len(path.alphas) < 21
