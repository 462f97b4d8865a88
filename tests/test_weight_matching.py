"""Weight matching finds the best permutation where it is known."""

import itertools

import pytest
import torch
from torch import nn

from lmc_mlflow.alignment import (
    Symmetry,
    derive_symmetry,
    inverse,
    match_weights,
    permute,
    random_permutations,
)
from lmc_mlflow.models.families import NETWORKS
from lmc_mlflow.models.parameters import trainable, weight_arrays
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.weights import State, euclidean_squared

QUICK = [*(name for name in NETWORKS if name not in ("vgg19", "vgg_like")), "mlp_l3_w16_32_8_bn"]


def built(model: str, seed: int, size: int = 8) -> nn.Module:
    return build_network(NetworkSpec(model, 1, size, size, 10), seed)


def symmetry_of(model: str, size: int = 8) -> Symmetry:
    return derive_symmetry(built(model, 0, size), torch.zeros(2, 1, size, size))


def inner(a: State, b: State, names: list[str]) -> float:
    return sum(float((a[name].double() * b[name].double()).sum()) for name in names)


@pytest.mark.parametrize("count", [trainable, weight_arrays])
def test_one_hidden_layer_is_matched_as_well_as_by_trying_all_permutations(count) -> None:  # type: ignore[no-untyped-def]
    symmetry, network = symmetry_of("mlp_l1_w5"), built("mlp_l1_w5", 0)
    a, b, names = network.state_dict(), built("mlp_l1_w5", 1).state_dict(), count(network)
    every = itertools.permutations(range(5))
    best = max(inner(a, permute(symmetry, b, {"linear1": torch.tensor(p)}), names) for p in every)
    found = match_weights(symmetry, a, b, seed=0, include=names)
    assert found.converged
    assert found.method == "weights"
    assert found.objective == pytest.approx((inner(a, b, names), best), rel=1e-5)
    assert inner(a, permute(symmetry, b, found.permutations), names) == pytest.approx(best, rel=1e-6)


def test_biases_decide_only_where_they_count() -> None:
    symmetry = symmetry_of("mlp_l1_w2")
    zeros = {name: torch.zeros_like(value) for name, value in built("mlp_l1_w2", 0).state_dict().items()}
    a = {**zeros, "linear1.bias": torch.tensor([3.0, 0.0])}
    b = {**zeros, "linear1.bias": torch.tensor([0.0, 2.0])}
    found = match_weights(symmetry, a, b, seed=0)
    assert found.permutations["linear1"].tolist() == [1, 0]
    assert found.objective == (0.0, 6.0)
    kernels = match_weights(symmetry, a, b, seed=0, include=["linear1.weight", "linear2.weight"])
    assert kernels.permutations["linear1"].tolist() == [0, 1]
    assert kernels.objective == (0.0, 0.0)


@pytest.mark.parametrize("model", [*QUICK, pytest.param("vgg19", marks=pytest.mark.slow)])
def test_a_planted_permutation_is_undone_exactly(model: str) -> None:
    size = 32 if model.startswith("vgg") else 8
    symmetry, a = symmetry_of(model, size), built(model, 0, size).state_dict()
    planted = random_permutations(symmetry, torch.Generator().manual_seed(5))
    b = permute(symmetry, a, planted)
    found = match_weights(symmetry, a, b, seed=0)
    assert found.converged
    for group, back in inverse(planted, symmetry).items():
        assert torch.equal(found.permutations[group], back)
    assert all(torch.equal(value, a[name]) for name, value in permute(symmetry, b, found.permutations).items())


@pytest.mark.parametrize("model", ["mlp_l3_w16_32_8_bn", "resnet10"])
def test_no_sweep_makes_it_worse_and_the_last_changes_nothing(model: str) -> None:
    symmetry, network = symmetry_of(model), built(model, 0)
    a, b, names = network.state_dict(), built(model, 1).state_dict(), trainable(network)
    found = match_weights(symmetry, a, b, seed=0)
    values = found.objective
    assert found.converged
    assert len(values) > 3
    assert all(before <= after for before, after in itertools.pairwise(values))
    assert values[-1] > values[0]
    moved = permute(symmetry, b, found.permutations)
    assert values[-1] == pytest.approx(inner(a, moved, names), rel=1e-5)
    # |a - b|^2 = |a|^2 + |b|^2 - 2 <a, b>: what the objective gains, the distance loses twice
    closer = euclidean_squared(a, b, names) - euclidean_squared(a, moved, names)
    assert closer == pytest.approx(2 * (values[-1] - values[0]), rel=1e-4)
    again = match_weights(symmetry, a, b, seed=3, start=found.permutations)
    assert len(again.objective) == 2
    assert again.objective[0] == again.objective[1]


def test_the_same_seed_gives_the_same_permutation() -> None:
    symmetry, a, b = symmetry_of("mlp_l3_w16_32_8_bn"), *(built("mlp_l3_w16_32_8_bn", i).state_dict() for i in (0, 1))
    one, two = (match_weights(symmetry, a, b, seed=4) for _ in range(2))
    assert one.objective == two.objective
    assert all(torch.equal(order, two.permutations[group]) for group, order in one.permutations.items())


def test_networks_that_are_aligned_already_stay_so() -> None:
    symmetry, a = symmetry_of("mlp_l3_w16_32_8_bn"), built("mlp_l3_w16_32_8_bn", 0).state_dict()
    random = torch.Generator().manual_seed(0)
    b = {n: v + 0.01 * torch.randn(v.shape, generator=random) if v.ndim else v for n, v in a.items()}
    found = match_weights(symmetry, a, b, seed=0)
    assert all(torch.equal(order, torch.arange(len(order))) for order in found.permutations.values())


def test_a_limit_of_sweeps_is_told() -> None:
    symmetry, a, b = symmetry_of("mlp_l3_w16_32_8_bn"), *(built("mlp_l3_w16_32_8_bn", i).state_dict() for i in (0, 1))
    found = match_weights(symmetry, a, b, seed=0, max_sweeps=1)
    assert not found.converged
    assert len(found.objective) == 2


class Recurrent(nn.Module):
    """A layer applied over and over: its units are on both axes of one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(4, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.flatten(1))
        for _ in range(3):
            x = x + self.again(x).tanh()
        return self.last(x)


def test_units_on_both_axes_of_a_matrix_never_make_it_worse() -> None:
    torch.manual_seed(0)
    one, other = Recurrent(), Recurrent()
    symmetry = derive_symmetry(one, torch.zeros(2, 1, 2, 2))
    assert symmetry.sizes == {"first": 12}
    a = one.state_dict()
    for b in (other.state_dict(), permute(symmetry, a, {"first": torch.randperm(12)})):
        values = match_weights(symmetry, a, b, seed=0).objective
        assert all(before <= after for before, after in itertools.pairwise(values))
        assert values[-1] > values[0]


def test_what_does_not_fit_is_refused() -> None:
    symmetry, a = symmetry_of("mlp_l1_w5"), built("mlp_l1_w5", 0).state_dict()
    with pytest.raises(ValueError, match=r"linear1.weight: shape \(5, 64\) vs \(6, 64\)"):
        match_weights(symmetry, a, built("mlp_l1_w6", 0).state_dict(), seed=0)
    with pytest.raises(ValueError, match=r"conv.weight: the network has no such tensor to match on"):
        match_weights(symmetry, a, a, seed=0, include=["conv.weight"])
