"""Activation matching pairs units that respond equally to images."""

import pytest
import torch

from lmc_mlflow.alignment import (
    derive_symmetry,
    inverse,
    match_activations,
    permute,
    random_permutations,
)
from lmc_mlflow.alignment.methods import activations
from lmc_mlflow.models.registry import NetworkSpec, build_network


def images(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("model", ["mlp_l3_w16_32_8_bn", "resnet10"])
@pytest.mark.parametrize("similarity", ["correlation", "covariance"])
def test_a_planted_permutation_is_undone_exactly(model: str, similarity: str) -> None:
    network = build_network(NetworkSpec(model, 1, 8, 8, 10), 0)
    symmetry, a = derive_symmetry(network, images(2, 8)), network.state_dict()
    planted = random_permutations(symmetry, torch.Generator().manual_seed(5))
    b = permute(symmetry, a, planted)
    found = match_activations(symmetry, network, a, b, images(60, 8).split(20), similarity=similarity)
    assert found.method == "activations"
    assert found.objective[1] > found.objective[0]
    for group, back in inverse(planted).items():
        assert torch.equal(found.permutations[group], back)


def test_correlation_by_hand() -> None:
    """One input, two units a side: A's are x and 0; B's are 0, and 5 x. The unit that responds belongs to x."""
    network = build_network(NetworkSpec("mlp_l1_w2", 1, 1, 1, 2), 0)
    symmetry = derive_symmetry(network, images(2, 1))
    zeros = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    a = {**zeros, "linear1.weight": torch.tensor([[1.0], [0.0]])}
    b = {**zeros, "linear1.weight": torch.tensor([[0.0], [5.0]]), "linear1.bias": torch.tensor([9.0, -3.0])}
    batches = [torch.tensor([1.0, 2.0]).view(2, 1, 1, 1), torch.tensor([6.0]).view(1, 1, 1, 1)]
    found = match_activations(symmetry, network, a, b, batches)
    assert found.permutations["linear1"].tolist() == [1, 0]
    assert found.objective == pytest.approx((0.0, 1.0))
    # x = 1, 2, 6 has mean 3 and variance (4 + 1 + 9) / 3; the covariance of x and 5 x is 5 times that
    found = match_activations(symmetry, network, a, b, batches, similarity="covariance")
    assert found.objective == pytest.approx((0.0, 5 * 14 / 3))


def test_the_network_is_left_alone_and_images_are_needed() -> None:
    network = build_network(NetworkSpec("mlp_l1_w2", 1, 2, 2, 2), 0).train()
    symmetry, state = derive_symmetry(network, images(2, 2)), network.state_dict()
    match_activations(symmetry, network, state, state, [images(4, 2)])
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(ValueError, match="activations are matched on images, and none were given"):
        match_activations(symmetry, network, state, state, [])
    with pytest.raises(ValueError, match="similarity 'cosine': choose from correlation, covariance"):
        match_activations(symmetry, network, state, state, [images(4, 2)], similarity="cosine")


def test_outputs_fill_no_more_than_the_budget_and_the_matching_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (build_network(NetworkSpec("mlp_l1_w4", 1, 2, 2, 2), seed) for seed in (0, 1))
    symmetry, sizes = derive_symmetry(a, images(2, 2)), []
    a.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    whole = match_activations(symmetry, a, a.state_dict(), b.state_dict(), [images(7, 2)])
    assert sizes == [1, 7, 7]
    sizes.clear()
    entries = 4 + 2  # of the hidden layer and of the last
    monkeypatch.setattr(activations, "MEMORY_BUDGET", 3 * activations.BYTES_PER_ENTRY * entries)
    parts = match_activations(symmetry, a, a.state_dict(), b.state_dict(), [images(7, 2)])
    assert sizes == [1, 3, 3, 3, 3, 1, 1]
    assert parts.objective == pytest.approx(whole.objective)
    assert all(torch.equal(parts.permutations[group], whole.permutations[group]) for group in symmetry.sizes)
