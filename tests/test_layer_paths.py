"""A layer alone goes to B, layers cumulate to the whole path, and the layer that makes the barrier is found."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.layers.barriers import layer_barriers, layer_rows
from lmc_mlflow.paths.layers.features import feature_rows
from lmc_mlflow.paths.layers.find import REST, Layer, find_layers
from lmc_mlflow.paths.layers.walk import LayerPath, layers_to_move, measure_layers, partial_segment
from lmc_mlflow.paths.walk import Path, measure_path

ALPHAS = np.array([0, 0.5, 1])
NAMES = ("mlp_l2_w9_7", "mlp_l1_w6_bn", "resnet10")


def images(size: int = 8, number: int = 60) -> tuple[Tensor, Tensor]:
    """Random images and labels."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(number, 1, size, size, generator=generator), torch.randint(5, (number,), generator=generator)


def scattered(name: str, seed: int) -> nn.Module:
    """A network whose batch norms are no identities."""
    network = build_network(NetworkSpec(name, 1, 8, 8, 5), seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.weight.data, *module.buffers()):
                if tensor.is_floating_point():
                    tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return network


def measured(
    name: str, modes: tuple[str, ...], bn: str = "interpolate"
) -> tuple[nn.Module, Segment, tuple[Layer, ...], dict[tuple[int, ...], LayerPath]]:
    """Two networks, their segment, their layers, and the paths of these, by what moves."""
    a, b = (scattered(name, seed) for seed in (0, 1))
    x, labels = images()
    layers, segment = find_layers(a, x[:2]), Segment(*(copy.deepcopy(end.state_dict()) for end in (a, b)))
    splits = {"test": (ResidentImages(x), labels)}

    def measure(part: Segment) -> Path:
        return measure_path(a, part, ALPHAS, splits, bn, ResidentImages(x))

    return a, segment, layers, {path.moved: path for path in measure_layers(segment, layers, modes, measure)}


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_alone_is_measured_as_a_plain_loop_does(name: str) -> None:
    network, segment, layers, paths = measured(name, ("each",))
    x, labels = images()
    for i, layer in enumerate(layers):
        for t, alpha in enumerate(ALPHAS):
            state = dict(segment.a)
            for key in layer.tensors:
                if state[key].is_floating_point():
                    state[key] = (1 - alpha) * segment.a[key] + alpha * segment.b[key]
            network.load_state_dict(state)
            assert paths[(i,)].path.losses["test"][t] == pytest.approx(
                evaluate(network, ResidentImages(x), labels).loss, abs=1e-5
            )


@pytest.mark.parametrize(
    ("name", "bn"),
    [
        ("resnet10", "interpolate"),
        *(("mlp_l1_w6_bn", bn) for bn in ("interpolate", "recalibrate", "nearest", "repair")),
    ],
)
def test_all_layers_are_the_whole_path_and_none_is_a(name: str, bn: str) -> None:
    _, segment, layers, paths = measured(name, ("below", "above"), bn)
    num = len(layers)
    assert set(paths) == {tuple(range(i + 1)) for i in range(num)} | {tuple(range(i, num)) for i in range(num)}
    for t in (0.0, 0.3, 1.0):
        everything = partial_segment(segment, layers, tuple(range(num))).point(t)
        nothing = partial_segment(segment, layers, ()).point(t)
        for key, value in segment.point(t).items():
            torch.testing.assert_close(everything[key], value, rtol=0, atol=0)
            torch.testing.assert_close(nothing[key], segment.a[key], rtol=0, atol=0)
    at_a = {path.path.losses["test"][0] for path in paths.values()}
    assert len(at_a) == 1  # every path begins at A, to the last bit


def test_each_set_of_layers_is_measured_once() -> None:
    assert layers_to_move(["each", "below", "above", "complement"], 2) == [(0, 1), (0,), (1,)]
    assert layers_to_move(["complement"], 3) == [(0, 1, 2), (1, 2), (0, 2), (0, 1)]
    with pytest.raises(ValueError, match="choose from above, below, complement, each"):
        layers_to_move(["single"], 3)


@pytest.mark.parametrize("noised", [0, 1, 2])
def test_the_layer_that_was_noised_has_all_of_the_share(noised: int) -> None:
    a = scattered("mlp_l2_w9_7", 0)
    x, _ = images()
    layers = find_layers(a, x[:2])
    b = copy.deepcopy(a)
    generator = torch.Generator().manual_seed(1)
    for key in layers[noised].tensors:
        b.state_dict()[key].add_(3 * torch.randn(b.state_dict()[key].shape, generator=generator))
    with torch.no_grad():
        labels = a(x).argmax(dim=1)
    splits = {"test": (ResidentImages(x), labels)}
    segment = Segment(a.state_dict(), b.state_dict())
    modes = ("each", "complement")
    paths = measure_layers(segment, layers, modes, lambda part: measure_path(a, part, ALPHAS, splits, "nearest"))
    rows = list(layer_rows(layers, modes, list(paths)))
    shares = {(row["mode"], row["number"] - 1): row["share"] for row in rows}
    for i in range(3):
        assert shares["each", i] == pytest.approx(float(i == noised), abs=1e-6)
        assert shares["complement", i] == pytest.approx(float(i != noised), abs=1e-6)


def test_numbers_of_a_layer_are_those_on_paper() -> None:
    whole = np.array([1.0, 3.0, 2.0]), np.array([0.9, 0.5, 0.7])
    own = np.array([1.0, 2.0, 4.0]), np.array([0.9, 0.6, 0.8])
    numbers = layer_barriers(ALPHAS, own, whole, "accuracy")
    assert {name: float(value) for name, value in numbers.items()} == pytest.approx(
        {"barrier": 2.5, "barrier_at_middle": 0.5, "error_barrier": 0.2, "min_accuracy_delta": -0.2, "share": 0.5}
    )
    flat = np.array([1.0, 0.5, 0.8]), whole[1]
    assert np.isnan(
        layer_barriers(ALPHAS, flat, flat, "accuracy")["share"]
    )  # A is the highest point: there is no rise to share
    assert layer_barriers(ALPHAS, whole, whole, "accuracy")["share"] == 1
    assert np.isnan(layer_barriers(np.array([0, 0.4, 1]), own, whole, "accuracy")["barrier_at_middle"])


class Backwards(nn.Module):
    """Registers its layers in another order than they run, ties two of them, and has tensors of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(4))
        self.idle = nn.Linear(2, 2)
        self.last = nn.Linear(4, 3)
        self.tied = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.plain = nn.BatchNorm1d(4, affine=False)
        self.first = nn.Linear(9, 4)
        self.tied.weight = nn.Parameter(torch.eye(4))
        self.twin = nn.Linear(4, 4, bias=False)
        self.twin.weight = self.tied.weight

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.plain(functional.relu(self.norm(self.first(x.flatten(1)))))
        return functional.log_softmax(self.last(self.twin(self.tied(hidden) + self.token)), dim=1)


def test_layers_are_in_the_order_in_which_they_run_and_hold_every_tensor_once() -> None:
    network = Backwards()
    layers = find_layers(network, torch.rand(2, 1, 3, 3))
    assert [layer.name for layer in layers] == ["first", "tied", "token", "last", "idle"]
    tensors = {layer.name: layer.tensors for layer in layers}
    norms = [key for key in network.state_dict() if key.startswith(("norm.", "plain."))]
    assert sorted(tensors["first"]) == sorted(["first.weight", "first.bias", *norms])
    assert tensors["tied"] == ("tied.weight", "tied.bias", "twin.weight")
    assert sorted(key for own in tensors.values() for key in own) == sorted(network.state_dict())
    assert [layer.output for layer in layers] == ["norm", "tied", "", "last", ""]
    assert network.training


def test_patterns_group_tensors_and_what_none_matches_is_a_group_too() -> None:
    network = build_network(NetworkSpec("resnet10", 1, 8, 8, 5), 0)
    x = torch.rand(2, 1, 8, 8)
    groups = find_layers(network, x, ["stage[12]", "linear"])
    assert [group.name for group in groups] == ["stage[12]", "linear", REST]
    assert [group.output for group in groups] == ["stage2.0.shortcut.norm", "linear", "stage3.0.shortcut.norm"]
    assert sorted(key for group in groups for key in group.tensors) == sorted(network.state_dict())
    assert len(find_layers(network, x, ["*"])) == 1
    with pytest.raises(
        ValueError, match=r"layer_groups=stage9: no layer or tensor is called so; there are conv, stage1"
    ):
        find_layers(network, x, ["stage9"])
    with pytest.raises(ValueError, match=r"stage1 and \*\.bias both match stage1\.0\.norm1\.bias"):
        find_layers(network, x, ["stage1", "*.bias"])


class Residual(nn.Module):
    """Adds a shortcut in place, as networks of torchvision do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.first(x.flatten(1)), inplace=True)
        out = self.second(hidden)
        out += hidden
        return functional.log_softmax(self.head(out.relu()), dim=1)


def test_features_are_compared_as_numpy_does_and_changes_in_place_do_not_count() -> None:
    torch.manual_seed(0)
    networks = Residual(), Residual(), Residual()
    x = torch.randn(130, 1, 2, 2)
    layers = find_layers(networks[0], x[:2])
    rows = {row["layer"]: row for row in feature_rows(networks, layers, {"test": ResidentImages(x)})}
    flat = x.flatten(1).double().numpy()

    def features(network: Residual) -> dict[str, np.ndarray]:
        w = {key: value.double().numpy() for key, value in network.state_dict().items()}
        hidden = np.maximum(flat @ w["first.weight"].T + w["first.bias"], 0)
        second = hidden @ w["second.weight"].T + w["second.bias"]
        head = np.maximum(second + hidden, 0) @ w["head.weight"].T + w["head.bias"]
        return {"first": hidden, "second": second, "head": head}

    a, middle, b = map(features, networks)
    for name, row in rows.items():
        mean = (a[name] + b[name]) / 2
        both = (mean**2).sum(1) * (middle[name] ** 2).sum(1) > 0
        cosines = (mean * middle[name]).sum(1)[both] / np.sqrt((mean**2).sum(1) * (middle[name] ** 2).sum(1))[both]
        assert row["feature_cosine"] == pytest.approx(cosines.mean(), abs=1e-6)
        used = (mean**2).sum(1) > 0
        scales = (mean * middle[name]).sum(1)[used] / (mean**2).sum(1)[used]
        assert row["feature_scale"] == pytest.approx(scales.mean(), abs=1e-5)
    assert list(rows) == ["first", "second", "head"]


def test_features_of_a_network_between_itself_and_itself_are_linear() -> None:
    a = nn.Sequential(OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(64, 5), output=nn.LogSoftmax(1)))
    x, _ = images()
    (row,) = feature_rows((a, a, a), find_layers(a, x[:2]), {"test": ResidentImages(x)})
    assert (row["feature_cosine"], row["feature_scale"], row["ends_cosine"]) == pytest.approx((1, 1, 1))
