"""Repair gives every hidden unit statistics between those of the ends, and does not change the ends."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.normalization import recalibrate
from lmc_mlflow.normalization.repair import measure_ends
from lmc_mlflow.normalization.units import Moments, pool_moments, record_moments, unit_layers
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import BN_POLICIES, network_at
from lmc_mlflow.paths.walk import measure_path

State = dict[str, Tensor]


def chain(*numbers: float) -> nn.Sequential:
    """x -> w1 x + b1 -> ReLU -> w2 h + b2 -> ReLU -> sum, one unit a layer."""
    w1, b1, w2, b2 = numbers
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2))
    for layer, value in ((1, (w1, b1)), (3, (w2, b2)), (5, (1.0, 0.0))):
        network[layer].weight.data.fill_(value[0])
        network[layer].bias.data.fill_(value[1])
    return network.eval()


def images_of(*values: float) -> ResidentImages:
    return ResidentImages(torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1))


def statistics(network: nn.Module, images: Tensor) -> dict[str, tuple[list[float], list[float]]]:
    layers = unit_layers(network, images[:2])
    batches = record_moments(network, layers, [images])
    found = {name: pool_moments(batches, name) for name in layers}
    return {name: (m.mean.tolist(), m.var.sqrt().tolist()) for name, m in found.items()}


def test_a_repaired_unit_has_the_mean_of_both_ends_statistics() -> None:
    # Over x = 0, 2: A's first unit 3 x + 1 is 1, 7 (mean 4, deviation 3), B's -x + 8 is 8, 6 (7, 1). Midway the weight
    # is (3 - 1) / 2 = 1 and the deviation 1; wanted are mean 5.5 and deviation 2.
    # Second units: A's h + 1 is 2, 8 (5, 3), B's 2 h is 16, 12 (14, 2); wanted are mean 9.5 and deviation 2.5.
    a, b, images = chain(3, 1, 1, 1), chain(-1, 8, 2, 0), images_of(0, 2)
    segment = Segment(a.state_dict(), b.state_dict())
    scratch = copy.deepcopy(a).requires_grad_(False)
    network_at(scratch, segment, 0.5, "interpolate", None)
    assert statistics(scratch, images.tensor)["1"] == ([5.5], [1.0])
    network_at(scratch, segment, 0.5, "repair", images)
    found = statistics(scratch, images.tensor)
    assert found["1"] == (pytest.approx([5.5]), pytest.approx([2.0]))
    assert found["3"] == (pytest.approx([9.5]), pytest.approx([2.5]))
    assert scratch[1].weight.item() == pytest.approx(2.0)  # 1 times 2 / 1
    assert scratch[5].weight.tolist() == [[1.0], [1.0]]  # outputs are no hidden units


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("model", ["mlp_l2_w9_7", "mlp_l1_w6_bn", "resnet10", "timm:regnetx_002"])
def test_the_ends_stay_the_networks_they_are(model: str, alpha: float) -> None:
    spec = NetworkSpec(model, 3, 32, 32, 4)
    ends, images = scattered_ends(spec), torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    scratch = build_network(spec, 0).eval().requires_grad_(False)
    network_at(scratch, Segment(*ends), alpha, "repair", ResidentImages(images))
    end = build_network(spec, 0).eval()
    end.load_state_dict(ends[int(alpha)])
    with torch.no_grad():
        torch.testing.assert_close(scratch(images), end(images), rtol=1e-6, atol=1e-6)


def scattered_ends(spec: NetworkSpec) -> tuple[State, State]:
    """Two states whose batch norms are no identities."""
    states = []
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        state = build_network(spec, seed).state_dict()
        for name, value in state.items():
            if value.ndim == 1 and value.is_floating_point():
                low = 0.5 if name.endswith(("weight", "running_var")) else -0.3
                value.copy_(low + 0.6 * torch.rand(value.shape, generator=generator))
        states.append(state)
    return states[0], states[1]


def test_nothing_jumps_beside_an_end() -> None:
    spec = NetworkSpec("mlp_l2_w9_7_bn", 1, 6, 6, 3)
    ends, generator = scattered_ends(spec), torch.Generator().manual_seed(5)
    images, labels = ResidentImages(torch.randn(2100, 1, 6, 6, generator=generator)), torch.arange(2100) % 3
    alphas = np.array([0.0, 1e-5, 0.5, 1 - 1e-5, 1.0])  # 2,100 images are three batches of different statistics
    splits = {"test": (images, labels)}
    losses = measure_path(build_network(spec, 0), Segment(*ends), alphas, splits, "repair", images).losses["test"]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert losses[3] == pytest.approx(losses[4], abs=1e-4)


def test_statistics_over_batches_are_those_of_all_images() -> None:
    # 0, 2 and 10, 14, 12: mean 38 / 5, variance (57.76 + 31.36 + 5.76 + 40.96 + 19.36) / 5
    parts = [torch.tensor([[0.0], [2.0]]), torch.tensor([[10.0], [14.0], [12.0]])]
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    network[0].weight.data.fill_(1.0)
    network[0].bias.data.fill_(0.0)
    found: Moments = pool_moments(record_moments(network, ["0"], parts), "0")
    assert found.count == 5
    assert found.mean.item() == pytest.approx(7.6)
    assert found.var.item() == pytest.approx(155.2 / 5)


def test_batch_norm_units_are_told_without_the_activation_that_it_applies() -> None:
    class NormAct(nn.BatchNorm1d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    network = nn.Sequential(nn.Linear(1, 1), NormAct(1), nn.Linear(1, 1)).eval()
    network[0].weight.data.fill_(1.0)
    network[0].bias.data.fill_(0.0)
    network[1].running_var.fill_(1 - network[1].eps)
    images = torch.tensor([[-3.0], [1.0]])  # behind the ReLU they would be 0.5 and 0.5
    assert statistics(network, images) == {"1": (pytest.approx([-1.0]), pytest.approx([2.0]))}


def test_a_layer_without_a_bias_is_shifted_too_and_may_be_placed_again() -> None:
    def build(weight: float) -> nn.Sequential:
        network = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 2))
        network[1].weight.data.fill_(weight)
        return network.eval().requires_grad_(False)

    a, b, images = build(1.0), build(-1.0), images_of(1, 3)  # 1, 3 (mean 2, deviation 1) and -1, -3 (-2, 1)
    scratch = copy.deepcopy(a)
    for alpha, mean in ((0.25, 1.0), (0.75, -1.0)):
        network_at(scratch, Segment(a.state_dict(), b.state_dict()), alpha, "repair", images)
        assert statistics(scratch, images.tensor)["1"] == (pytest.approx([mean]), pytest.approx([1.0]))


def test_a_unit_that_is_constant_midway_is_shifted_and_not_blown_up() -> None:
    a, b, images = chain(1, 0, 1, 0), chain(-1, 0, 1, 0), images_of(1, 3)
    scratch = copy.deepcopy(a).requires_grad_(False)
    network_at(scratch, Segment(a.state_dict(), b.state_dict()), 0.5, "repair", images)
    assert (scratch[1].weight.item(), scratch[1].bias.item()) == (0.0, 0.0)


def test_variance_collapses_midway_and_repair_and_recalibration_bring_it_back() -> None:
    spec = NetworkSpec("resnet10", 1, 12, 12, 4)
    networks = [build_network(spec, seed) for seed in (1, 2)]
    images = ResidentImages(torch.randn(64, 1, 12, 12, generator=torch.Generator().manual_seed(0)))
    for network in networks:  # the running statistics of trained networks are those of their data
        recalibrate(network, [images.tensor])
    segment, labels = Segment(networks[0].state_dict(), networks[1].state_dict()), torch.arange(64) % 4
    found = {}
    for bn in BN_POLICIES:
        path = measure_path(networks[0], segment, np.array([0.0, 0.5, 1.0]), {"test": (images, labels)}, bn, images)
        assert path.variance_ratio is not None
        found[bn] = path.variance_ratio
    assert found["interpolate"] < 0.8
    assert found["repair"] == pytest.approx(1, abs=1e-3)
    assert found["recalibrate"] == pytest.approx(1, abs=0.1)


def test_ends_are_measured_as_they_are() -> None:
    a, b, images = chain(3, 1, 1, 1), chain(-1, 8, 2, 0), images_of(0, 2)
    scratch = copy.deepcopy(a).requires_grad_(False)
    of_ends = measure_ends(scratch, (a.state_dict(), b.state_dict()), lambda: [images.tensor])
    assert of_ends.layers == ("1", "3")
    assert [pool_moments(of_end, "1").mean.item() for of_end in of_ends.records] == [4.0, 7.0]
    mean, deviation = of_ends.wanted(0.25, slice(None), "1")
    assert (mean.item(), deviation.item()) == pytest.approx((0.75 * 4 + 0.25 * 7, 0.75 * 3 + 0.25 * 1))


def test_a_network_without_hidden_units_has_no_variance_ratio() -> None:
    spec = NetworkSpec("mlp_l1_w4", 1, 2, 2, 3)
    network = nn.Sequential(*[build_network(spec, 0)[i] for i in (0,)], nn.Linear(4, 3), nn.LogSoftmax(1))
    images, labels = ResidentImages(torch.ones(3, 1, 2, 2)), torch.arange(3)
    segment = Segment(network.state_dict(), network.state_dict())
    path = measure_path(network, segment, np.array([0.0, 0.5, 1.0]), {"test": (images, labels)}, "interpolate")
    assert path.variance_ratio is None


class TwiceNormed(nn.Module):
    """Uses one batch norm twice in a pass, so that its count runs ahead of the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(torch.relu(self.norm(self.layer(images.flatten(1)))))


def test_recalibrated_statistics_are_pytorchs_own_cumulative_average_to_the_last_bit() -> None:
    torch.manual_seed(1)
    batches = torch.randn(50, 3, 1, 1).split(12)
    ours = TwiceNormed().eval()
    theirs = copy.deepcopy(ours)
    recalibrate(ours, batches)
    theirs.norm.reset_running_stats()
    theirs.norm.momentum = None
    theirs.norm.train()
    with torch.no_grad():
        for images in batches:
            theirs(images)
    assert ours.norm.num_batches_tracked == 2 * len(batches)
    assert ours.norm.momentum == 0.1
    assert not ours.norm.training
    assert all(torch.equal(x, y) for x, y in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_pooled_moments_are_the_sums_weighted_by_counts_to_the_last_bit() -> None:
    maker = torch.Generator().manual_seed(2)
    counts = [1000, 1000, 1000, 37]
    means, variances = (torch.rand(4, 5, dtype=torch.float64, generator=maker) for _ in range(2))
    batches = [{"x": Moments(*row)} for row in zip(counts, means, variances, strict=True)]
    shares = (torch.tensor(counts, dtype=torch.float64) / sum(counts))[:, None]
    mean = (shares * means).sum(0)
    found = pool_moments(batches, "x")
    assert found.count == 3037
    assert torch.equal(found.mean, mean)
    assert torch.equal(found.var, (shares * (variances + (means - mean).square())).sum(0))
