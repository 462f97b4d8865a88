"""Do soft permutations, trained by gradient descent, end at good hard ones?"""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from lmc_mlflow.alignment import (
    derive_symmetry,
    inverse,
    match_sinkhorn,
    match_weights,
    permute,
    random_permutations,
)
from lmc_mlflow.alignment.methods.soft import permute_softly, sinkhorn
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.weights import euclidean_squared

SPEC = NetworkSpec("mlp_l2_w16_12", 1, 8, 8, 10)
EXAMPLE = torch.zeros(2, 1, 8, 8)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    return torch.tensor(data.images[:600], dtype=torch.float32)[:, None] / 16, torch.tensor(data.target[:600]).long()


def trained(spec: NetworkSpec, seed: int) -> nn.Module:
    network = build_network(spec, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    images, labels = digits()
    for _ in range(60):
        optimizer.zero_grad()
        functional.nll_loss(network(images), labels).backward()
        optimizer.step()
    return network.eval()


def test_sinkhorn_gives_rows_and_columns_of_sum_one() -> None:
    soft = sinkhorn(torch.tensor([[0.0, math.log(4.0)], [0.0, 0.0]]).double(), 50)
    # [[1, 4], [1, 1]] scales to [[p, 1 - p], [1 - p, p]] with p^2 / (1 - p)^2 = 1 / 4, the cross ratio kept
    assert torch.allclose(soft, torch.tensor([[1 / 3, 2 / 3], [2 / 3, 1 / 3]]).double())
    assert torch.isfinite(sinkhorn(torch.tensor([[1e4, 0.0], [0.0, -1e4]]), 5)).all()


def test_a_hard_permutation_is_a_soft_one() -> None:
    network = build_network(NetworkSpec("vgg_like", 1, 40, 40, 10), 0)
    symmetry, state = derive_symmetry(network, torch.zeros(2, 1, 40, 40)), network.state_dict()
    chosen = random_permutations(symmetry, torch.Generator().manual_seed(0))
    matrices = {group: torch.eye(len(order))[order] for group, order in chosen.items()}
    for name, value in permute(symmetry, state, chosen).items():
        assert torch.equal(permute_softly(symmetry, name, state[name], matrices), value), name


def test_a_planted_permutation_is_undone_by_the_distance() -> None:
    network = build_network(SPEC, 0)
    symmetry, a = derive_symmetry(network, EXAMPLE), network.state_dict()
    planted = random_permutations(symmetry, torch.Generator().manual_seed(5))
    found = match_sinkhorn(symmetry, network, a, permute(symmetry, a, planted), steps=40, seed=0)
    assert found.objective[-1] == 0
    for group, back in inverse(planted).items():
        assert torch.equal(found.permutations[group], back)


def test_the_distance_is_never_above_that_of_the_start() -> None:
    ends = [build_network(SPEC, seed) for seed in (0, 1)]
    symmetry, (a, b) = derive_symmetry(ends[0], EXAMPLE), (end.state_dict() for end in ends)
    start = match_weights(symmetry, a, b, seed=0).permutations
    found = match_sinkhorn(symmetry, ends[0], a, b, steps=20, seed=0, start=start)
    assert found.objective[0] == pytest.approx(euclidean_squared(a, permute(symmetry, b, start), list(a)))
    assert list(found.objective) == sorted(found.objective, reverse=True)
    assert found.objective[-1] == pytest.approx(euclidean_squared(a, permute(symmetry, b, found.permutations), list(a)))
    assert match_sinkhorn(symmetry, ends[0], a, b, steps=20, seed=0, start=start).objective == found.objective


@pytest.mark.parametrize("objective", ["midpoint", "path"])
@pytest.mark.parametrize("model", ["mlp_l1_w16", "mlp_l1_w16_bn"])
def test_the_loss_between_two_trained_networks_falls(objective: str, model: str) -> None:
    spec = NetworkSpec(model, 1, 8, 8, 10)
    ends = [trained(spec, seed) for seed in (0, 1)]
    symmetry, (a, b) = derive_symmetry(ends[0], EXAMPLE), (end.state_dict() for end in ends)
    a = {name: value.clone() for name, value in a.items()}  # the network is given other weights below
    images, labels = digits()
    batches = list(zip(images.split(200), labels.split(200), strict=True))
    found = match_sinkhorn(symmetry, ends[0], a, b, objective=objective, batches=batches, steps=40, seed=0)
    assert found.method == "sinkhorn"
    assert found.objective[-1] < 0.9 * found.objective[0]
    if objective == "midpoint" and not model.endswith("_bn"):
        for state, value in ((b, found.objective[0]), (permute(symmetry, b, found.permutations), found.objective[-1])):
            ends[0].load_state_dict(Segment(a, state).point(0.5))
            with torch.no_grad():
                assert float(functional.nll_loss(ends[0](images), labels)) == pytest.approx(value, rel=1e-5)
            ends[0].load_state_dict(a)


def test_what_cannot_be_done_is_said() -> None:
    network = build_network(SPEC, 0)
    symmetry, a = derive_symmetry(network, EXAMPLE), network.state_dict()
    with pytest.raises(ValueError, match="objective 'loss': choose from distance, midpoint, path"):
        match_sinkhorn(symmetry, network, a, a, objective="loss")
    with pytest.raises(ValueError, match="objective 'midpoint' is a loss on images, and none were given"):
        match_sinkhorn(symmetry, network, a, a, objective="midpoint")
