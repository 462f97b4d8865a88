"""One pass over the images gives the same losses as one network after the other, for every kind of network."""

import copy
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lmc_mlflow import weights
from lmc_mlflow.batches import Images, ResidentImages, channels_last
from lmc_mlflow.data.pixels import ArraySource
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.streaming import ScaledSource, StreamedImages
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.families import has_batch_norm
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment, distances_from_start
from lmc_mlflow.paths.engines import table as path_module
from lmc_mlflow.paths.engines.folding import plan_folding
from lmc_mlflow.paths.engines.mlp import affine, plan_mlp
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.walk import Path, measure_path

FAST = {
    "mlp_l1_w17": (3, 8, 8),
    "mlp_l1_w17_bn": (1, 8, 8),
    "mlp_l3_w9_16_7": (1, 8, 8),
    "mlp_l3_w9_16_7_bn": (3, 8, 8),
    "mlp_l3_w9_16_7_dropout": (3, 8, 8),
    "mlp_l2_w9_7_bn_dropout": (1, 8, 8),
    "mlp_l2_w9_7_bn_leaky0.3_dropout": (1, 8, 8),
    "mlp_l1_w17_leaky1": (1, 8, 8),
    "linear_l1": (1, 8, 8),
    "linear_l3_w9": (3, 8, 8),
    "resnet10": (1, 12, 12),
    "resnet22": (3, 8, 8),
    "vgg11": (3, 32, 32),
    "vgg_like": (1, 40, 40),
    "timm:resnet18": (3, 32, 32),
}
LARGE = {"resnet22": True, "vgg11": False, "vgg_like": True, "timm:resnet18": False}
"""Networks that are measured with fewer policies and one kind of label, to save time: with several or with one."""
WITHOUT_PAIRS = {"timm:vit_tiny_patch16_224": (3, 32, 32)}
NUM_IMAGES = 130  # a whole piece of a convolutional network's batch, and a part of one


def scattered(spec: NetworkSpec, seed: int) -> nn.Module:
    """A network whose batch norms are no identities."""
    network = build_network(spec, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
    return network


def setting(
    model: str, several: bool = False, num_images: int = NUM_IMAGES
) -> tuple[nn.Module, Segment, torch.Tensor, torch.Tensor]:
    """A network, a segment, images and labels."""
    channels, height, width = (FAST | WITHOUT_PAIRS)[model]
    spec = NetworkSpec(model, channels, height, width, 4, output="logits" if several else "log_probabilities")
    a, b = scattered(spec, 1), scattered(spec, 2)
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(num_images, channels, height, width, generator=generator)
    labels = torch.arange(num_images) % 4
    if several:
        labels = functional.one_hot(labels, 4) | functional.one_hot(labels.roll(1), 4)
    return a, Segment(a.state_dict(), b.state_dict()), images, labels


def assert_agree(fast: Path, exact: Path, num_images: int = NUM_IMAGES) -> None:
    assert exact.engine == "exact"
    for split, values in exact.values.items():
        assert list(fast.values[split]) == list(values)
        np.testing.assert_allclose(fast.losses[split], exact.losses[split], rtol=1e-5)
        np.testing.assert_allclose(fast.scores[split], exact.scores[split], rtol=0, atol=1.01 / num_images)
    for end in (0, -1):
        for name, values in exact.values["test"].items():
            assert fast.values["test"][name][end] == values[end], name
    np.testing.assert_array_equal(fast.angles_deg, exact.angles_deg)


CASES = [
    (model, bn, several)
    for model in FAST
    for bn in BN_POLICIES
    for several in (False, True)
    if model not in LARGE or (LARGE[model] == several and bn in ("recalibrate", "repair"))
]


@pytest.mark.parametrize(("model", "bn", "several"), CASES)
def test_fast_and_exact_agree_and_the_ends_to_the_last_bit(model: str, bn: str, several: bool) -> None:
    network, segment, images, labels = setting(model, several)
    splits = {"test": (ResidentImages(images), labels), "train_a": (ResidentImages(images[:60]), labels[:60])}
    paths = [
        measure_path(network, segment, alpha_grid(5), splits, bn, ResidentImages(images), engine)
        for engine in ("fast", "exact")
    ]
    assert paths[0].engine == ("exact" if bn == "batch" and has_batch_norm(model) else "fast")
    assert_agree(paths[0], paths[1], 60)


def test_two_slopes_in_one_network_are_walked_exactly() -> None:
    network, segment, images, labels = setting("mlp_l3_w9_16_7")
    assert plan_mlp(network, segment, images) is not None
    assert isinstance(network, nn.Sequential)
    mixed = nn.Sequential(OrderedDict(network.named_children()) | {"relu2": nn.LeakyReLU(0.1)})
    assert plan_mlp(mixed, segment, images) is None
    path = measure_path(mixed, segment, alpha_grid(3), {"test": (ResidentImages(images), labels)}, "interpolate")
    assert path.engine == "exact"


@pytest.mark.parametrize("model", ["mlp_l2_w9_7_bn_dropout", "resnet10"])
def test_the_ends_are_the_endpoints_over_several_batches(model: str) -> None:
    network, segment, images, labels = setting(model, num_images=2100)
    path = measure_path(network, segment, alpha_grid(3), {"test": (ResidentImages(images), labels)}, "interpolate")
    assert path.engine == "fast"
    for i, end in ((0, segment.a), (-1, segment.b)):
        network.load_state_dict(end)
        scores = evaluate(network, ResidentImages(images), labels)
        assert (path.losses["test"][i], path.scores["test"][i]) == scores


@pytest.mark.parametrize("model", ["mlp_l2_w9_7_bn_dropout", "mlp_l1_w17", "resnet10"])
def test_streamed_images_give_what_resident_ones_give(model: str) -> None:
    network, segment, images, labels = setting(model, num_images=1100)
    channels = images.shape[1]
    scaling = Scaling(1.0, (0.0,) * channels, (1.0,) * channels)
    streamed = StreamedImages((ScaledSource(ArraySource(images.numpy()), scaling),), torch.device("cpu"))
    both: tuple[Images, Images] = (ResidentImages(images), streamed)
    resident_path, streamed_path = (
        measure_path(network, segment, alpha_grid(5), {"test": (i, labels)}, "nearest") for i in both
    )
    np.testing.assert_array_equal(streamed_path.losses["test"], resident_path.losses["test"])
    np.testing.assert_array_equal(streamed_path.scores["test"], resident_path.scores["test"])


@pytest.mark.parametrize("model", ["mlp_l3_w9_16_7_bn", "resnet10"])
def test_a_small_memory_budget_changes_nothing_but_the_number_of_passes(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, segment, images, labels = setting(model)
    passes = []

    class Counted(ResidentImages):
        def batches(self, order: torch.Tensor | None, batch_size: int) -> Iterator[torch.Tensor]:
            passes.append(order is None)
            return super().batches(order, batch_size)

    plan = plan_mlp(network.eval(), segment, images) or plan_folding(copy.deepcopy(network).eval(), segment, images)
    assert plan is not None
    found = []
    for budget, expected in ((100 * plan.num_bytes(), 1), (2 * plan.num_bytes(), 3), (1, 5)):
        passes.clear()
        monkeypatch.setattr(path_module, "MEMORY_BUDGET", budget)
        path = measure_path(network, segment, alpha_grid(5), {"test": (Counted(images), labels)}, "interpolate")
        assert sum(passes) == expected
        found.append(path.losses["test"])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_plan_knows_the_bytes_of_one_network() -> None:
    network, segment, images, _ = setting("mlp_l3_w9_16_7")
    mlp = plan_mlp(network.eval(), segment, images)
    assert mlp is not None
    # behind the first layer: 9 -> 16, 16 -> 7, 7 -> 4, with biases; 4 outputs for each of 1000 images
    assert mlp.num_bytes() == 4 * ((9 * 16 + 16) + (16 * 7 + 7) + (7 * 4 + 4) + 4 * 1000)
    network, segment, images, _ = setting("resnet10")
    folded = plan_folding(network.eval(), segment, images)
    assert folded is not None
    scales = 2 * (16 + 3 * 32 + 3 * 64 + 3 * 128)  # a bias is left of a scale and a shift
    num_parameters = sum(p.numel() for p in network.parameters())
    assert folded.num_bytes() == 4 * (num_parameters - scales // 2 + 4 * 1000)
    assert len(folded.pairs) == 10


def test_what_cannot_be_folded_is_walked_exactly() -> None:
    model = "timm:vit_tiny_patch16_224"
    network, segment, images, labels = setting(model, num_images=6)
    path = measure_path(network, segment, alpha_grid(3), {"test": (ResidentImages(images), labels)}, "interpolate")
    assert path.engine == "exact"


class Branching(nn.Module):
    """A convolution and its batch norm in a network that looks at the pixels to decide what to do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x)).mean(dim=(2, 3)).log_softmax(dim=1)
        return y if x.sum() > 0 else y.flip(1)


class Twice(nn.Module):
    """One convolution that two batch norms follow, one that is read before its batch norm, and a shared ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm1, self.norm2 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.stem, self.norm0, self.relu = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()
        self.late, self.norm3 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm0(self.stem(x))
        x = self.relu(x) - x
        x = self.norm2(self.conv(self.relu(self.norm1(self.conv(x)))))
        y = self.late(x)
        return (y + self.norm3(y)).mean(dim=(2, 3)).log_softmax(dim=1)


class Counting(nn.Module):
    """Its graph holds the number of calls when it was traced, which is too low by the next call."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counting.calls += 1
        return (Counting.calls * self.norm(self.conv(x)).mean(dim=(2, 3))).log_softmax(dim=1)


def test_only_what_is_alone_between_convolution_and_batch_norm_is_folded() -> None:
    torch.manual_seed(0)
    a, b = Twice(), Twice()
    for module in [*a.modules(), *b.modules()]:
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_()
    images, labels = torch.randn(20, 1, 6, 6), torch.arange(20) % 4
    segment = Segment(a.state_dict(), b.state_dict())
    plan = plan_folding(copy.deepcopy(a).eval(), segment, images[:2])
    assert plan is not None
    assert plan.pairs == (("stem", "norm0"),)
    splits = {"test": (ResidentImages(images), labels)}
    paths = [
        measure_path(a, segment, alpha_grid(4), splits, "interpolate", engine=engine) for engine in ("fast", "exact")
    ]
    assert paths[0].engine == "fast"
    assert_agree(paths[0], paths[1], 20)


@pytest.mark.parametrize("kind", [Branching, Counting])
def test_a_network_that_cannot_be_traced_or_differs_from_its_graph_is_walked_exactly(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    a, b = kind(), kind()
    images, labels = torch.rand(20, 1, 6, 6), torch.arange(20) % 4
    path = measure_path(
        a,
        Segment(a.state_dict(), b.state_dict()),
        alpha_grid(3),
        {"test": (ResidentImages(images), labels)},
        "interpolate",
    )
    assert path.engine == "exact"


def test_networks_side_by_side_are_measured_as_one_after_the_other() -> None:
    network, segment, images, labels = setting("resnet10")
    num_threads, paths = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            splits = {"train_a": (ResidentImages(images), labels)}
            paths.append(measure_path(network, segment, alpha_grid(8), splits, "interpolate"))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(num_threads)
    for path in paths[1:]:
        assert path.losses["train_a"] == pytest.approx(paths[0].losses["train_a"], rel=1e-6)


def test_sequences_that_are_no_mlps_have_no_plan() -> None:
    image = torch.zeros(2, 1, 2, 2)
    for layers in (
        [nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), nn.LogSoftmax(1)],
        [nn.Linear(4, 3), nn.LogSoftmax(1)],
        [nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.ReLU(), nn.Linear(3, 2)],
        [nn.Flatten(), nn.Linear(4, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 2), nn.Identity()],
    ):
        network = nn.Sequential(*layers).eval()
        assert plan_mlp(network, Segment(network.state_dict(), network.state_dict()), image) is None


def test_an_engine_that_does_not_exist_is_refused() -> None:
    network, segment, images, labels = setting("mlp_l1_w17")
    with pytest.raises(
        ValueError, match=r"engine 'fsat' is unknown \(did you mean 'fast'\?\); choose from exact, fast"
    ):
        measure_path(
            network, segment, alpha_grid(2), {"test": (ResidentImages(images), labels)}, "interpolate", engine="fsat"
        )


@pytest.mark.parametrize("model", ["mlp_l2_w9_7_bn_dropout", "resnet10"])
def test_a_training_network_is_left_as_it_was(model: str) -> None:
    network, segment, images, labels = setting(model)
    segment = Segment(copy.deepcopy(segment.a), copy.deepcopy(segment.b))
    before, pixels = copy.deepcopy(network.state_dict()), images.clone()
    network.train()
    measure_path(network, segment, alpha_grid(3), {"test": (ResidentImages(images), labels)}, "nearest")
    assert all(module.training for module in network.modules())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert not any(module.inplace for module in network.modules() if isinstance(module, nn.ReLU))
    assert torch.equal(images, pixels)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert torch.equal(segment.a[name], before[name]), name


def test_a_product_as_a_convolution_is_the_product() -> None:
    x, weight, bias = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([[1.0, 10.0]]), torch.ones(1)
    assert affine(x, weight, bias).tolist() == [[22.0], [44.0], [66.0]]
    assert affine(x.double(), weight.double(), None).tolist() == [[21.0], [43.0], [65.0]]


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_is_what_pytorch_takes_for_it(channels: int) -> None:
    images = torch.randn(2, channels, 4, 5)
    laid_out = channels_last(images)
    assert torch.equal(images, laid_out)
    assert laid_out.stride() == (channels * 20, 1, 5 * channels, channels)


def test_angles_and_distances_along_a_segment() -> None:
    a, b = {"w": torch.tensor([3.0, 0.0]), "other": torch.ones(1)}, {"w": torch.tensor([0.0, 4.0])}
    alphas = np.array([0.0, 0.5, 1.0])
    angles, distances = distances_from_start(Segment(a, b), ["w"], alphas)
    assert angles == pytest.approx([0, np.degrees(np.arctan2(2, 1.5)), 90])
    assert distances == pytest.approx([0, 3.5, 7])
    zero = {"w": torch.zeros(2)}
    assert np.isnan(distances_from_start(Segment(zero, b), ["w"], alphas)[0]).all()
    assert np.isnan(distances_from_start(Segment(a, zero), ["w"], alphas)[0]).tolist() == [False, False, True]


def test_angles_and_distances_are_those_of_the_interpolated_states() -> None:
    network, segment, _, _ = setting("resnet10")
    names = [name for name, _ in network.named_parameters()]
    angles, distances = distances_from_start(segment, names, alpha_grid(4))
    for i, alpha in enumerate(alpha_grid(4)):
        state = segment.point(float(alpha))
        assert angles[i] == pytest.approx(weights.angle_deg(segment.a, state, names), rel=1e-6, abs=1e-9)
        assert distances[i] == pytest.approx(weights.manhattan(segment.a, state, names), rel=1e-6, abs=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["mlp_l3_w9_16_7_bn", "resnet10"])
def test_fast_and_exact_agree_on_a_gpu(model: str) -> None:
    network, segment, images, labels = setting(model)
    on_gpu = Segment(*({k: v.cuda() for k, v in end.items()} for end in segment.ends))
    splits = {"test": (ResidentImages(images.cuda()), labels.cuda())}
    with torch.backends.cudnn.flags(allow_tf32=False):
        paths = [
            measure_path(network.cuda(), on_gpu, alpha_grid(5), splits, "interpolate", engine=engine)
            for engine in ("fast", "exact")
        ]
    assert paths[0].engine == "fast"
    assert_agree(paths[0], paths[1])
