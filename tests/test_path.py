"""Weights and batch norm's statistics on a path follow their definitions, on networks worked out by hand."""

import copy
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import EnsembleConfig, InterpolateConfig, MatrixConfig, PlaneConfig
from lmc_mlflow.config.path import BN_OF_OTHER_CODE
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.normalization import recalibrate
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.engines.table import PATH_ENGINES
from lmc_mlflow.paths.points import BN_POLICIES, network_at
from lmc_mlflow.paths.walk import measure_path


def two_class_line(weight: float) -> nn.Sequential:
    """One number x -> log-softmax of (weight x, 0)."""
    network = nn.Sequential(OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(1, 2, bias=False), out=nn.LogSoftmax(1)))
    network.linear.weight.data = torch.tensor([[weight], [0.0]])
    return network


def test_a_path_of_one_weight_is_the_logistic_curve() -> None:
    a, b = two_class_line(2.0), two_class_line(-2.0)
    images, labels = torch.ones(1, 1, 1, 1), torch.tensor([0])
    segment, splits = Segment(a.state_dict(), b.state_dict()), {"test": (ResidentImages(images), labels)}
    path = measure_path(a, segment, alpha_grid(5), splits, bn="interpolate")
    expected = [math.log(1 + math.exp(-w)) for w in (2, 1, 0, -1, -2)]
    assert path.losses["test"] == pytest.approx(expected, rel=1e-6)
    assert path.scores["test"].tolist() == [1, 1, 1, 0, 0]  # a tie goes to the first class
    assert path.manhattan == pytest.approx([0, 1, 2, 3, 4])
    assert path.angles_deg[[0, 1, 3, 4]] == pytest.approx([0, 0, 180, 180], abs=1e-5)
    assert path.summaries["test"].barrier == pytest.approx(1.0)  # softplus(2) - softplus(-2) is 2, halved


class Shifted(nn.Module):
    """Batch norm of one number, then log-softmax of (that, 0)."""

    def __init__(self, mean: float, var: float, seen: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.norm.running_mean.fill_(mean)
        self.norm.running_var.fill_(var)
        self.norm.num_batches_tracked.fill_(seen)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x.flatten(1))
        return torch.cat([y, torch.zeros_like(y)], dim=1).log_softmax(dim=1)


@pytest.mark.parametrize(
    ("bn", "alpha", "mean", "var"),
    [
        ("interpolate", 0.5, 1.0, 2.0),
        ("interpolate", 0.25, 0.5, 1.5),
        ("nearest", 0.25, 0.0, 1.0),
        ("nearest", 0.5, 0.0, 1.0),
        ("nearest", 0.75, 2.0, 3.0),
        ("a", 0.75, 0.0, 1.0),
        ("a", 1.0, 0.0, 1.0),
        ("b", 0.0, 2.0, 3.0),
        ("b", 0.25, 2.0, 3.0),
        ("initial", 0.5, 0.0, 1.0),
        # over the training sides {0} and {4}: mean 2, unbiased variance ((-2)^2 + 2^2) / 1
        ("recalibrate", 0.0, 2.0, 8.0),
        ("recalibrate", 0.7, 2.0, 8.0),
    ],
)
def test_batch_norm_statistics_on_the_way(bn: str, alpha: float, mean: float, var: float) -> None:
    a, b = Shifted(0.0, 1.0, 10), Shifted(2.0, 3.0, 20)
    both_sides = ResidentImages(torch.tensor([0.0, 4.0]).reshape(2, 1, 1, 1))
    scratch = copy.deepcopy(a).eval()
    segment = Segment(a.state_dict(), b.state_dict())
    network_at(scratch, segment, alpha, bn, both_sides)
    assert scratch.norm.running_mean.item() == pytest.approx(mean)
    assert scratch.norm.running_var.item() == pytest.approx(var)
    images = torch.tensor([3.0]).reshape(1, 1, 1, 1)
    path = measure_path(
        a,
        segment,
        np.array([alpha]),
        {"test": (ResidentImages(images), torch.tensor([0]))},
        bn,
        both_sides,
    )
    y = (3 - mean) / math.sqrt(var + 1e-5)
    assert path.losses["test"][0] == pytest.approx(math.log(1 + math.exp(-y)), rel=1e-5)


@pytest.mark.parametrize("engine", list(PATH_ENGINES))
@pytest.mark.parametrize("model", ["mlp_l2_w5_4_bn", "resnet10_s222"])
def test_without_statistics_every_batch_is_normalized_by_its_own(model: str, engine: str) -> None:
    a, b = (build_network(NetworkSpec(model, 1, 8, 8, 10), seed) for seed in (1, 2))
    segment = Segment(copy.deepcopy(a.state_dict()), b.state_dict())
    images, labels = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 10
    alphas = alpha_grid(3)
    path = measure_path(a, segment, alphas, {"test": (ResidentImages(images), labels)}, "batch", engine=engine)
    for alpha, loss in zip(alphas, path.losses["test"], strict=True):
        between = copy.deepcopy(a)
        between.load_state_dict(segment.point(alpha))
        with torch.no_grad():
            expected = functional.nll_loss(between.train()(images), labels).item()
        assert loss == pytest.approx(expected, rel=1e-5)
    assert path.engine == "exact"


def test_the_flags_offer_the_policies_and_engines_of_the_tables() -> None:
    assert parameters(InterpolateConfig)["bn"].rule.choices == tuple(BN_POLICIES)
    for config in (MatrixConfig, EnsembleConfig):
        assert parameters(config)["bn"].rule.choices == tuple(
            name for name in BN_POLICIES if name not in BN_OF_OTHER_CODE
        )
    on_planes = {name for name, policy in BN_POLICIES.items() if policy.on_plane is not None}
    assert set(parameters(PlaneConfig)["bn"].rule.choices) == on_planes
    assert parameters(InterpolateConfig)["path_engine"].rule.choices == tuple(PATH_ENGINES)


def test_recalibration_averages_batches_from_a_reset_and_puts_modes_and_momentum_back() -> None:
    network = nn.Sequential(nn.BatchNorm1d(1, momentum=0.3), nn.Dropout(0.5))
    network[0].running_mean.fill_(77.0)
    network[0].eval()
    batches = [torch.tensor([[0.0], [2.0]]), torch.tensor([[10.0], [14.0]])]
    recalibrate(network, batches)
    assert network[0].running_mean.item() == pytest.approx((1 + 12) / 2)
    assert network[0].running_var.item() == pytest.approx((2 + 8) / 2)
    assert network[0].momentum == 0.3
    assert not network[0].training
    assert network[1].training


@pytest.mark.parametrize("model", ["mlp_l1_w5", "mlp_l2_w6_5_bn_dropout", "resnet10", "timm:resnet18"])
@pytest.mark.parametrize("bn", list(BN_POLICIES))
def test_walking_changes_neither_the_network_nor_the_ends_and_leaves_no_gradient(model: str, bn: str) -> None:
    spec = NetworkSpec(model, 3, 32, 32, 10)
    network, other = build_network(spec, 1), build_network(spec, 2)
    before = copy.deepcopy(network.state_dict())
    ends = Segment(copy.deepcopy(network.state_dict()), other.state_dict())
    torch.manual_seed(0)
    images, labels = torch.randn(12, 3, 32, 32), torch.arange(12) % 10
    measure_path(network, ends, alpha_grid(2), {"test": (ResidentImages(images), labels)}, bn, ResidentImages(images))
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert torch.equal(ends.a[name], before[name]), name
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("model", ["mlp_l2_w6_5_bn", "resnet10"])
def test_the_ends_of_a_path_are_the_endpoints_to_the_last_bit(model: str) -> None:
    spec = NetworkSpec(model, 3, 16, 16, 10)
    networks = build_network(spec, 1), build_network(spec, 2)
    torch.manual_seed(0)
    images, labels = torch.randn(1200, 3, 16, 16), torch.arange(1200) % 10
    segment = Segment(networks[0].state_dict(), networks[1].state_dict())
    path = measure_path(
        networks[0], segment, alpha_grid(3), {"test": (ResidentImages(images), labels)}, bn="interpolate"
    )
    for i, network in ((0, networks[0]), (-1, networks[1])):
        scores = evaluate(network, ResidentImages(images), labels)
        assert path.losses["test"][i] == scores.loss
        assert path.scores["test"][i] == scores.score


def test_evaluation_weighs_samples_not_batches() -> None:
    network = two_class_line(1.0)
    images = torch.cat([torch.ones(1000, 1, 1, 1), -torch.ones(1, 1, 1, 1)])  # the last batch holds one image
    scores = evaluate(network, ResidentImages(images), torch.zeros(1001, dtype=torch.int64))
    low, high = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    assert scores.loss == pytest.approx((1000 * low + high) / 1001, rel=1e-6)
    assert scores.score == pytest.approx(1000 / 1001)


def test_states_that_do_not_fit_are_refused() -> None:
    a, b = two_class_line(1.0), nn.Sequential(OrderedDict(linear=nn.Linear(2, 2)))
    with pytest.raises(ValueError, match=r"linear.weight: shape \(2, 1\) vs \(2, 2\)"):
        measure_path(a, Segment(a.state_dict(), b.state_dict()), alpha_grid(2), {}, bn="interpolate")
