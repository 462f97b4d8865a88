"""Curvature equals that of Hessians that are written out, and adaptive sharpness ignores what ReLU networks ignore."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lmc_mlflow.alignment import derive_symmetry, permute
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.hessian.eigenvalues import largest_eigenvalue
from lmc_mlflow.hessian.measures import MEASURES, Probing, layers_of, measure_loss
from lmc_mlflow.hessian.sample_loss import Sample, SampleLoss, draw_sample
from lmc_mlflow.models.registry import NetworkSpec, build_network

DOUBLE = torch.float64
DIGITS = (1, 8, 8, 10)
EVERY = [
    *("mlp_l1_w5", "mlp_l2_w5_4_bn", "mlp_l1_w5_bn_dropout", "mlp_l2_w5_ln_leaky0.1", "linear_l1"),
    *("resnet10", "patches_local", "patches_conv", "patches_attention"),
]


def digits(num_images: int) -> Sample:
    """The first handwritten digits, as the project scales them."""
    images, labels = load_digits(return_X_y=True)
    scaled = torch.tensor(images[:num_images] / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    return Sample(scaled, torch.tensor(labels[:num_images]))


def trained(model: str, sample: Sample, steps: int = 200, seed: int = 1) -> nn.Module:
    network = build_network(NetworkSpec(model, *DIGITS), seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.nll_loss(network(sample.images), sample.labels).backward()
        optimizer.step()
    return network.eval()


def written_out(network: nn.Module, sample: Sample) -> Tensor:
    """The Hessian (P, P), by torch's own double backward, a row at a time, over all images at once."""
    state = {name: value.double() for name, value in network.state_dict().items() if value.is_floating_point()}
    names = [name for name, _ in network.named_parameters()]
    shapes = [state[name].shape for name in names]

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes])
        own = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return functional.nll_loss(functional_call(network, state | own, (sample.images.double(),)), sample.labels)

    found = torch.autograd.functional.hessian(loss, torch.cat([state[name].flatten() for name in names]))
    assert isinstance(found, Tensor)
    return found


def eigenvalue(network: nn.Module, sample: Sample, adaptive: bool = False) -> float:
    name = "adaptive_sharpness" if adaptive else "eigenvalue"
    return measure_loss(SampleLoss(network, sample, DOUBLE), (name,), Probing())[name]


def logistic_hessian(network: nn.Module, sample: Sample) -> np.ndarray:
    """The Hessian of softmax regression by its formula: the mean of (diag(p) - p p') kron x x', with x_0 = 1."""
    x = np.c_[sample.images.flatten(1).double().numpy(), np.ones(len(sample.images))]
    layer = next(module for module in network.modules() if isinstance(module, nn.Linear))
    assert layer.bias is not None
    weight = np.c_[layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()]
    scores = np.exp(x @ weight.T)
    p = scores / scores.sum(axis=1, keepdims=True)
    return sum(np.kron(np.diag(q) - np.outer(q, q), np.outer(row, row)) for q, row in zip(p, x, strict=True)) / len(x)


def test_eigenvalues_of_logistic_regression_are_those_of_its_formula() -> None:
    sample = digits(150)  # more than one batch
    for steps in (0, 100):
        network = trained("linear_l1", sample, steps)
        formula = np.linalg.eigvalsh(logistic_hessian(network, sample))[-1]
        assert eigenvalue(network, sample) == pytest.approx(formula, rel=1e-5)


def test_eigenvalue_trace_and_layers_are_those_of_the_hessian_written_out() -> None:
    sample = digits(120)
    network = trained("mlp_l1_w5", sample)
    full = written_out(network, sample)
    weights = torch.cat([p.detach().double().flatten() for p in network.parameters()])
    scaled = weights.abs()[:, None] * full * weights.abs()
    assert eigenvalue(network, sample) == pytest.approx(float(torch.linalg.eigvalsh(full)[-1]), rel=1e-5)
    largest = float(torch.linalg.eigvalsh(scaled)[-1])
    assert eigenvalue(network, sample, adaptive=True) == pytest.approx(largest, rel=1e-5)
    whole = SampleLoss(network, sample, DOUBLE)
    places = whole.slices()
    layers = layers_of(whole.names)
    assert layers == {"linear1": ["linear1.weight", "linear1.bias"], "linear2": ["linear2.weight", "linear2.bias"]}
    for names in layers.values():
        part = slice(places[names[0]].start, places[names[-1]].stop)
        own = measure_loss(SampleLoss(network, sample, DOUBLE, names), ("eigenvalue", "trace"), Probing())
        assert own["eigenvalue"] == pytest.approx(float(torch.linalg.eigvalsh(full[part, part])[-1]), rel=1e-5)
        assert own["trace_low"] < own["trace"] < own["trace_high"]


def test_gradient_and_loss_are_those_of_autograd() -> None:
    sample = digits(250)
    network = trained("mlp_l1_w5", sample, 20).double()
    loss = SampleLoss(network, sample, DOUBLE)
    other = functional.nll_loss(network(sample.images.double()), sample.labels)
    found = torch.autograd.grad(other, list(network.parameters()))
    assert loss.value() == pytest.approx(float(other.detach()), abs=1e-12)
    assert torch.allclose(loss.gradient(), torch.cat([one.flatten() for one in found]), atol=1e-12)


def test_the_trace_lies_in_its_interval_in_about_95_of_100_seeds() -> None:
    sample = digits(60)
    network = trained("mlp_l1_w5", sample, 50)
    full = written_out(network, sample)
    sizes = torch.cat([p.detach().double().flatten() for p in network.parameters()]).abs()
    loss = SampleLoss(network, sample, DOUBLE)
    truth = {"trace": float(full.trace()), "adaptive_trace": float(sizes**2 @ full.diagonal())}
    inside = dict.fromkeys(truth, 0)
    for seed in range(100):
        found = measure_loss(loss, tuple(truth), Probing(num_probes=10, seed=seed))
        for name, value in truth.items():
            inside[name] += found[f"{name}_low"] <= value <= found[f"{name}_high"]
    assert all(90 <= count <= 100 for count in inside.values()), inside  # 95 are expected, of a Bernoulli chain +-4.4


def test_rescaling_relu_units_changes_the_eigenvalue_and_not_the_adaptive_sharpness() -> None:
    sample = digits(100)
    network = trained("mlp_l2_w12_8", sample)
    rescaled = build_network(NetworkSpec("mlp_l2_w12_8", *DIGITS), 1).eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    for name, factor in (("linear1.weight", 10.0), ("linear1.bias", 10.0), ("linear2.weight", 0.1)):
        state[name] *= factor
    rescaled.load_state_dict(state)
    assert (network(sample.images).exp().max(dim=0).values > 0.5).sum() > 5, "its units are alive"
    assert torch.allclose(network(sample.images), rescaled(sample.images), atol=1e-4)
    plain, other = (
        measure_loss(SampleLoss(n, sample, DOUBLE), tuple(MEASURES), Probing()) for n in (network, rescaled)
    )
    for name in ("eigenvalue", "trace"):
        assert abs(other[name] / plain[name] - 1) > 0.5, name
    for name in ("adaptive_sharpness", "adaptive_trace"):
        assert other[name] == pytest.approx(plain[name], rel=1e-4), name


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_permuting_hidden_units_changes_neither_eigenvalue_nor_sharpness(seed: int) -> None:
    sample = digits(60)
    network = trained("mlp_l2_w5_4_bn", sample, 30)
    symmetry = derive_symmetry(network, torch.zeros(2, 1, 8, 8))
    draw = torch.Generator().manual_seed(seed)
    chosen = {name: torch.randperm(size, generator=draw) for name, size in symmetry.sizes.items()}
    permuted = build_network(NetworkSpec("mlp_l2_w5_4_bn", *DIGITS), 1).eval()
    permuted.load_state_dict(permute(symmetry, network.state_dict(), chosen))
    for adaptive in (False, True):
        found = eigenvalue(permuted, sample, adaptive)
        assert found == pytest.approx(eigenvalue(network, sample, adaptive), rel=1e-5)


def test_eigenvalue_and_trace_equal_those_of_curvlinops() -> None:
    curvlinops = pytest.importorskip("curvlinops")
    from scipy.sparse.linalg import eigsh

    sample = digits(150)
    network = trained("mlp_l2_w5_4_bn", sample, 50).double()
    data = [(sample.images[i : i + 50].double(), sample.labels[i : i + 50]) for i in (0, 50, 100)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        operator = curvlinops.HessianLinearOperator(network, nn.NLLLoss(), list(network.parameters()), data)
        theirs = float(eigsh(operator.to_scipy(), k=1, which="LA", return_eigenvectors=False)[0])
        probes = torch.eye(operator.shape[1], dtype=DOUBLE)
        trace = float((operator @ probes).diagonal().sum())
    assert eigenvalue(network, sample) == pytest.approx(theirs, rel=1e-4)
    loss = SampleLoss(network, sample, DOUBLE)
    assert float(loss.hessian_products(probes).diagonal().sum()) == pytest.approx(trace, rel=1e-4)


@pytest.mark.parametrize("model", EVERY)
def test_the_hessian_of_every_network_is_symmetric_and_bends_as_finite_differences_say(model: str) -> None:
    shape = (1, 8, 8, 10) if model.startswith(("mlp", "linear", "resnet")) else (1, 28, 28, 10)
    network = build_network(NetworkSpec(model, *shape), 1)
    draw = torch.Generator().manual_seed(1)
    sample = Sample(torch.randn(6, *shape[:3], generator=draw), torch.randint(0, 10, (6,), generator=draw))
    loss = SampleLoss(network, sample, DOUBLE)
    u, v = torch.randn(2, len(loss.weights), generator=draw, dtype=DOUBLE)
    of_u, of_v = loss.hessian_products(torch.stack([u, v]))
    assert float(u @ of_v) == pytest.approx(float(v @ of_u), rel=1e-8)
    v = v / v.norm()
    weights, step = loss.weights, 1e-7  # few ReLUs change their sign on the way
    gradients = []
    for sign in (1, -1):
        loss.weights = weights + sign * step * v
        gradients.append(loss.gradient())
    loss.weights = weights
    bend = v @ loss.hessian_products(v[None])[0]
    assert float(bend) == pytest.approx(float(v @ (gradients[0] - gradients[1])) / (2 * step), rel=1e-2)


def test_several_labels_have_the_hessian_of_binary_cross_entropy() -> None:
    network = build_network(NetworkSpec("linear_l1", *DIGITS, output="logits"), 1)
    sample = digits(50)
    sample = replace(sample, labels=torch.randint(0, 2, (50, 10), generator=torch.Generator().manual_seed(0)))
    x = np.c_[sample.images.flatten(1).double().numpy(), np.ones(50)]
    with torch.no_grad():
        p = torch.sigmoid(network(sample.images)).double().numpy()
    largest = max(np.linalg.eigvalsh((x.T * (q * (1 - q))) @ x / 500)[-1] for q in p.T)  # a block for each class
    assert eigenvalue(network, sample) == pytest.approx(largest, rel=1e-5)


def test_the_network_is_not_changed_and_dropout_does_not_act() -> None:
    sample = digits(40)
    network = build_network(NetworkSpec("mlp_l1_w5_bn_dropout", *DIGITS), 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert eigenvalue(network, sample) == eigenvalue(network, sample)
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_single_precision_is_near_double_precision() -> None:
    sample = digits(100)
    network = trained("mlp_l1_w5", sample)
    found = measure_loss(SampleLoss(network, sample, torch.float32), ("eigenvalue",), Probing())["eigenvalue"]
    assert found == pytest.approx(eigenvalue(network, sample), rel=1e-3)


def test_flat_and_infinite_losses_have_an_answer() -> None:
    sample = digits(20)
    network = build_network(NetworkSpec("mlp_l1_w5", *DIGITS), 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.get_parameter("linear2.bias")[0] = 1000.0  # the first class is sure
    sure = Sample(sample.images, torch.zeros_like(sample.labels))
    assert eigenvalue(network, sure) == 0.0
    with torch.no_grad():
        network.get_parameter("linear1.weight").fill_(math.inf)
    assert math.isnan(eigenvalue(network, sample))


def test_the_largest_eigenvalue_is_not_the_largest_absolute() -> None:
    matrix = torch.diag(torch.tensor([-9.0, 1.0, *[0.5] * 60], dtype=DOUBLE))
    start = torch.ones(62, dtype=DOUBLE)
    assert largest_eigenvalue(lambda vectors: vectors @ matrix, start) == pytest.approx(1.0)
    few = matrix[:4, :4]
    assert largest_eigenvalue(lambda vectors: vectors @ few, start[:4]) == pytest.approx(1.0)


def test_a_sample_is_drawn_once_and_for_all_by_its_seed() -> None:
    whole = digits(300)
    images = ResidentImages(whole.images)
    one, again, other = (draw_sample(images, whole.labels, 100, seed) for seed in (0, 0, 1))
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.images, other.images)
    rows = {
        tuple(image.flatten().tolist()): int(label) for image, label in zip(whole.images, whole.labels, strict=True)
    }
    assert len({tuple(image.flatten().tolist()) for image in one.images}) == 100
    assert all(
        rows[tuple(image.flatten().tolist())] == label for image, label in zip(one.images, one.labels, strict=True)
    )
    assert len(draw_sample(images, whole.labels, 1000, 0).images) == 300
