"""Networks that torch.export has traced: read without running anything, and built again to the last bit."""

import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from lmc_mlflow.alignment import derive_symmetry
from lmc_mlflow.models.graphs.content import graph_name, read_graph
from lmc_mlflow.models.graphs.exported import read_exported
from lmc_mlflow.models.graphs.network import graph_network


class Small(nn.Module):
    """Two convolutions with batch norm, dropout, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 16, 3, stride=2, bias=False)
        self.norm2 = nn.BatchNorm2d(16)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.norm2(self.second(x)))
        return self.head(self.drop(x.mean((2, 3))))  # type: ignore[no-any-return]


class Named(Small):
    """Gives a mapping, as networks of transformers do."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        logits = super().forward(x)
        return {"hidden": x.mean((1, 2, 3)), "logits": logits}


class Odd(nn.Module):
    """Uses tensors that no layer holds, one layer twice, the device and the number of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("table", torch.arange(4.0), persistent=False)
        self.shared = nn.Linear(4, 4)
        self.pick = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(self.shared(self.pick(x.flatten(1))))
        ones = torch.ones(x.shape[0], 4, device=x.device)
        return x * self.scale + self.table + ones  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(8, 6, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rows(x.squeeze(1))[0][:, -1])  # type: ignore[no-any-return]


class Twice(nn.Module):
    """Uses one batch norm twice, in images and then in their rows."""

    def __init__(self, rows: bool) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(144, 4)
        self.norm._check_input_dim = lambda _: None  # type: ignore[method-assign]
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        return self.head(self.norm(x.flatten(2) if self.rows else x).flatten(1))  # type: ignore[no-any-return]


class Unrecorded(nn.Module):
    """Computes its first layer without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(64, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.first(x.flatten(1))
        return self.head(x)  # type: ignore[no-any-return]


def between(layer: nn.Module) -> nn.Module:
    """Put a layer between a convolution of 4 channels and a linear layer."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), layer, nn.Flatten(), nn.Linear(144, 4))


class Noisy(nn.Module):
    """Draws at random while it runs."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4] + torch.rand_like(x.flatten(1)[:, :4])


class Several(nn.Module):
    """Takes two inputs."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x + y).flatten(1)[:, :4]


class Counting(nn.Module):
    """Changes a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(x.flatten(1)[:, :4].sum(0))
        return x.flatten(1)[:, :4] + self.seen


def export(
    network: nn.Module, path: Path, shape: tuple[int, ...] = (1, 8, 8), free: bool = True, number: int = 1
) -> Path:
    """Save a network as MLflow does."""
    inputs = tuple(torch.randn(4, *shape) for _ in range(number))
    free_axis = tuple({0: torch.export.Dim.AUTO} for _ in inputs) if free else None
    torch.export.save(torch.export.export(network, inputs, dynamic_shapes=free_axis), path)
    return path


def built(path: Path) -> nn.Module:
    """Read a graph, build its network, and load its state."""
    content, state = read_exported(path)
    network = graph_network(read_graph(content.text).text)
    network.load_state_dict(state)
    return network.eval()


def trained(network: nn.Module, shape: tuple[int, ...] = (1, 8, 8)) -> nn.Module:
    """Move batch statistics away from what they are at the start."""
    torch.manual_seed(3)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(16, *shape))
    return network.eval()


@pytest.mark.parametrize("make", [Small, Odd])
def test_a_network_is_built_again_to_the_last_bit_for_any_number_of_images(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = trained(make())
    again = built(export(network, tmp_path / "n.pt2"))
    assert {*network.state_dict()} <= {*again.state_dict()}
    for number in (1, 4, 7):
        images = torch.randn(number, 1, 8, 8)
        torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: torchvision.models.resnet18(weights=None, num_classes=10), 32),
        (lambda: torchvision.models.mobilenet_v3_small(weights=None, num_classes=10), 32),
        (lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=10, depth=2), 32),
        (
            lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=56, num_classes=10, depths=(1, 1, 1, 1)),
            56,
        ),
    ],
    ids=["resnet18", "mobilenet", "vit", "swin"],
)
def test_public_architectures_are_built_again_to_the_last_bit(
    make: Callable[[], nn.Module], size: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = make().eval()
    again = built(export(network, tmp_path / "n.pt2", (3, size, size)))
    images = torch.randn(3, 3, size, size)
    torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)


def test_the_symmetry_of_a_graph_is_that_of_its_class(tmp_path: Path) -> None:
    network = torchvision.models.resnet18(weights=None, num_classes=10).eval()
    again = built(export(network, tmp_path / "n.pt2", (3, 32, 32)))
    images = torch.randn(2, 3, 32, 32)
    assert sorted(derive_symmetry(again, images).sizes.values()) == sorted(
        derive_symmetry(network, images).sizes.values()
    )


def test_a_graph_of_training_mode_is_the_same_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = trained(Small())
    as_tested, _ = read_exported(export(network, tmp_path / "eval.pt2"))
    as_trained, state = read_exported(export(network.train(), tmp_path / "train.pt2"))
    network.eval()
    assert graph_name(as_tested.text) == graph_name(as_trained.text)
    again = built(tmp_path / "train.pt2")
    images = torch.randn(5, 1, 8, 8)
    before = {name: value.clone() for name, value in again.state_dict().items()}
    torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in again.state_dict().items())
    assert {*state} == {*network.state_dict()}


@pytest.mark.filterwarnings("ignore:The tensor attributes self.rows")
@pytest.mark.parametrize("mode", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    "make",
    [
        Recurrent,
        lambda: between(nn.RReLU()),
        lambda: between(nn.Dropout2d(0.4, inplace=True)),
        lambda: between(nn.AlphaDropout(0.4)),
        lambda: between(nn.FeatureAlphaDropout(0.4)),
        lambda: between(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
        lambda: between(nn.InstanceNorm2d(4)),
        lambda: Twice(rows=False),
        lambda: Twice(rows=True),
    ],
    ids=["lstm", "rrelu", "dropout2d", "alpha", "feature alpha", "instance", "no statistics", "twice", "other rank"],
)
def test_what_differs_in_training_mode_is_set_to_evaluation(
    make: Callable[[], nn.Module], mode: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = trained(make())
    again = built(export(network.train(mode), tmp_path / "n.pt2"))
    network.eval()
    images = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)


def test_layers_are_layers_again(tmp_path: Path) -> None:
    again = built(export(Small().eval(), tmp_path / "n.pt2"))
    kinds = {name: type(module) for name, module in again.named_modules() if not [*module.children()] and name}
    wanted = {
        "first": nn.Conv2d,
        "norm": nn.BatchNorm2d,
        "second": nn.Conv2d,
        "norm2": nn.BatchNorm2d,
        "head": nn.Linear,
    }
    assert kinds.items() >= wanted.items()
    assert [kind for kind in kinds.values() if kind is nn.Dropout] == [nn.Dropout]
    again.train()
    before = again.get_buffer("norm.running_mean").clone()
    first, second = again(torch.ones(6, 1, 8, 8)), again(torch.ones(6, 1, 8, 8))
    assert not torch.equal(again.get_buffer("norm.running_mean"), before)
    assert not torch.equal(first, second), "dropout draws in training"


def test_two_networks_of_one_class_have_one_name_and_another_constant_another(tmp_path: Path) -> None:
    one, two = Odd(), Odd()
    names = [
        graph_name(read_exported(export(n.eval(), tmp_path / f"{i}.pt2"))[0].text) for i, n in enumerate((one, two))
    ]
    two.table += 1  # type: ignore[operator]
    changed = graph_name(read_exported(export(two.eval(), tmp_path / "changed.pt2"))[0].text)
    assert names[0] == names[1] != changed


def test_the_output_named_logits_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Named().eval()
    again = built(export(network, tmp_path / "n.pt2"))
    images = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(again(images), network(images)["logits"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        (Noisy(), {}, "draws at random"),
        (Several(), {"number": 2}, "takes 2 inputs"),
        (Counting(), {}, "changes seen"),
        (Small().eval(), {"free": False}, "batches of exactly 4; leave the number free"),
        (Unrecorded().eval(), {}, r"torch\.no_grad"),
        (Small().eval().double(), {}, "float64"),
    ],
    ids=["random", "several", "changing", "static", "no gradients", "double"],
)
def test_what_cannot_be_used_is_refused_by_name(
    network: nn.Module, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    if words == "float64":
        example = (torch.randn(4, 1, 8, 8, dtype=torch.float64),)
        exported = torch.export.export(network, example, dynamic_shapes=({0: torch.export.Dim.AUTO},))
        torch.export.save(exported, tmp_path / "n.pt2")
    else:
        export(network, tmp_path / "n.pt2", **options)
    with pytest.raises(ValueError, match=words):
        read_exported(tmp_path / "n.pt2")


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def changed(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Write an archive again with other contents."""
    target = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def test_pickles_in_an_archive_are_not_executed(tmp_path: Path) -> None:
    path, planted = export(Small().eval(), tmp_path / "n.pt2"), tmp_path / "executed"
    payload = io.BytesIO()
    pickle.dump(Payload(planted), payload)

    def plant(name: str, content: bytes) -> bytes:
        if name.endswith("model_weights_config.json"):
            config = json.loads(content)
            config["config"]["first.weight"]["use_pickle"] = True
            return json.dumps(config).encode()
        return payload.getvalue() if name.endswith(("weight_0", "sample_inputs/model.pt")) else content

    with pytest.raises(ValueError, match="as a pickle"):
        read_exported(changed(path, plant))
    only_inputs = changed(path, lambda name, old: payload.getvalue() if name.endswith("inputs/model.pt") else old)
    read_exported(only_inputs)
    assert not planted.exists()


def test_expressions_in_an_archive_are_not_evaluated(tmp_path: Path) -> None:
    path, planted = export(Small().eval(), tmp_path / "n.pt2"), tmp_path / "executed"

    def plant(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        return re.sub(rb'("expr_str": )"', rf'\1"open({str(planted)!r}, chr(119)) or '.encode(), content)

    target = changed(path, plant)
    with zipfile.ZipFile(target) as archive:
        text = next(archive.read(name) for name in archive.namelist() if name.endswith("models/model.json"))
    assert b"open(" in text
    read_exported(target)
    assert not planted.exists()


@pytest.mark.parametrize(
    "name", ["aten.from_file.default", "prim.device.default", "mylib.secret.default", "aten.nothing.x"]
)
def test_operations_that_are_no_plain_computation_are_refused(name: str, tmp_path: Path) -> None:
    path = export(Small().eval(), tmp_path / "n.pt2")
    target = changed(
        path,
        lambda file, old: (
            old.replace(b"torch.ops.aten.relu.default", f"torch.ops.{name}".encode())
            if file.endswith("models/model.json")
            else old
        ),
    )
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        read_exported(target)
    content, _ = read_exported(path)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        graph_network(content.text.replace("aten.relu.default", name))


@pytest.mark.parametrize("keep", [0, 10, 1000, 5000])
def test_a_truncated_archive_is_refused(keep: int, tmp_path: Path) -> None:
    path = export(Small().eval(), tmp_path / "n.pt2")
    (tmp_path / "cut.pt2").write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"archive|graphs"):
        read_exported(tmp_path / "cut.pt2")


def test_a_weight_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = export(Small().eval(), tmp_path / "n.pt2")
    with pytest.raises(ValueError, match=r"first\.weight has 4 bytes"):
        read_exported(changed(path, lambda name, old: old[:4] if name.endswith("weights/weight_0") else old))
