"""Names of tensors in files are mapped to those of a built network, or refused in one line."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import lightning
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from lmc_mlflow.models.registry import NetworkSpec, build_network, empty_state
from lmc_mlflow.models.weight_files.files import read_state
from lmc_mlflow.models.weight_files.fit import fit_to_network
from lmc_mlflow.models.weight_files.keys import match_keys

RESNET = NetworkSpec("torchvision:resnet18", 3, 32, 32, 10)
VIT = NetworkSpec("timm:vit_tiny_patch16_224", 3, 32, 32, 5, model_options='{"depth": 2}')
State = Mapping[str, Tensor]


@functools.cache
def resnet(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return torchvision.models.resnet18(num_classes=10).eval()


@functools.cache
def vit(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5, depth=2).eval()


def same_function(spec: NetworkSpec, tensors: State, network: nn.Module) -> bool:
    """Whether a network of ours with these tensors gives the log-probabilities of somebody else's."""
    ours = build_network(spec, seed=0).eval()
    ours.load_state_dict(dict(tensors))
    images = torch.randn(2, spec.channels, spec.height, spec.width)
    return torch.equal(ours(images), network(images).log_softmax(dim=1))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("spec", "network"), [(RESNET, resnet), (VIT, vit)], ids=["torchvision", "timm"])
def test_a_file_of_a_library_s_network_computes_what_it_did(
    tmp_path: Path, spec: NetworkSpec, network: Callable[[int], nn.Module], seed: int
) -> None:
    torch.save(network(seed).state_dict(), tmp_path / "w.pth")
    tensors, notes = fit_to_network(read_state(tmp_path / "w.pth").tensors, spec)
    assert list(tensors) == list(empty_state(spec))
    assert same_function(spec, tensors, network(seed))
    assert notes == []


PREFIXES = [
    "module.",
    "_orig_mod.",
    "_orig_mod.module.",
    "model.",
    "net.",
    "backbone.",
    "body.",
    "network.",
    "encoder.",
]


@pytest.mark.parametrize("prefix", [*PREFIXES, "ema_model.module.", "model.my_own_name.net."])
def test_any_prefix_is_taken_off_and_it_is_said(prefix: str) -> None:
    own = resnet(1).state_dict()
    tensors, notes = match_keys({prefix + name: value for name, value in own.items()}, empty_state(RESNET))
    assert all(torch.equal(tensors[f"body.{name}"], value) for name, value in own.items())
    plain = prefix.replace("_orig_mod.", "")
    assert len(notes) == (prefix != "body.")
    assert not plain or prefix == "body." or notes[-1] == f"the prefix {prefix!r} was taken off"


def test_data_parallel_and_compiled_modules_within_a_network_are_found(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torchvision.models.vgg11_bn(num_classes=4)
    network.features = nn.DataParallel(network.features)
    network.classifier = torch.compile(network.classifier)
    spec = NetworkSpec("torchvision:vgg11_bn", 3, 32, 32, 4)
    state = network.state_dict()
    assert "features.module.0.weight" in state
    assert "classifier._orig_mod.0.weight" in state
    tensors, notes = match_keys(state, empty_state(spec))
    assert torch.equal(tensors["body.features.0.weight"], state["features.module.0.weight"])
    assert notes == ["taken out of all names: _orig_mod and module"]


class Classifier(lightning.LightningModule):
    """A network, its loss with weights, and hyper-parameters, as Lightning saves them."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = resnet(1)
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(10))


def test_a_checkpoint_of_lightning_is_read(tmp_path: Path) -> None:
    trainer = lightning.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", enable_model_summary=False)
    trainer.strategy.connect(Classifier())
    trainer.save_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    read = read_state(tmp_path / "last.ckpt")
    tensors, notes = match_keys(read.tensors, empty_state(RESNET))
    assert same_function(RESNET, tensors, resnet(1))
    assert read.notes == ("the state dict lies under ['state_dict']",)
    assert notes == [
        "the prefix 'model.' was taken off",
        "left out, as no part of the network: criterion.weight",
    ]


def test_averaged_weights_of_a_library_are_read(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(resnet(1))
    torch.save({"model": resnet(2).state_dict(), "model_ema": averaged.state_dict()}, tmp_path / "w.pt")
    for weights, seed in (("ema", 1), ("raw", 2)):
        tensors, notes = match_keys(read_state(tmp_path / "w.pt", weights).tensors, empty_state(RESNET))
        assert same_function(RESNET, tensors, resnet(seed))
        assert ("left out, as no part of the network: n_averaged" in notes) == (weights == "ema")


def small(**changes: Tensor | None) -> dict[str, Tensor]:
    """Give the state of a small network with batch norm; a tensor that is None is left out."""
    state = {
        "conv.weight": torch.ones(4, 3, 3, 3),
        "norm.weight": torch.ones(4),
        "norm.running_mean": torch.zeros(4),
        "norm.num_batches_tracked": torch.tensor(7),
        "fc.weight": torch.ones(10, 4),
        "fc.bias": torch.zeros(10),
    }
    changed = {**state, **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in changed.items() if value is not None}


def test_missing_counters_of_batch_norm_are_zero_and_averaged_ones_are_whole_numbers() -> None:
    tensors, notes = match_keys(small(norm__num_batches_tracked=None), small())
    assert tensors["norm.num_batches_tracked"].dtype == torch.int64
    assert tensors["norm.num_batches_tracked"] == 0
    assert notes == ["1 counters of batch norm are missing and were set to 0"]
    tensors, _ = match_keys(small(norm__num_batches_tracked=torch.tensor(7.0)), small())
    assert tensors["norm.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize(
    ("kind", "name"), [(torch.float16, "float16"), (torch.bfloat16, "bfloat16"), (torch.float64, "float64 (rounded)")]
)
def test_other_floats_become_float32_and_it_is_said(kind: torch.dtype, name: str) -> None:
    given = {name: value.to(kind) if value.is_floating_point() else value for name, value in small().items()}
    tensors, notes = match_keys(given, small())
    assert tensors["conv.weight"].dtype == torch.float32
    assert given["conv.weight"].dtype == kind
    assert notes == [f"{name} became float32"]


def test_what_is_no_part_of_the_network_is_left_out_and_named() -> None:
    surplus = {
        "conv.total_ops": torch.zeros(1),
        "total_params": torch.zeros(1),
        "criterion.weight": torch.ones(10),
        "aux1.fc.weight": torch.ones(10, 4),
    }
    tensors, notes = match_keys({**small(), **surplus}, small())
    assert tensors.keys() == small().keys()
    assert notes == [
        "left out, as no part of the network: criterion.weight, aux1.fc.weight, conv.total_ops, total_params"
    ]


def test_a_module_of_another_name_is_found_by_its_shapes_and_it_is_said() -> None:
    head = {"head.weight": torch.ones(10, 4), "head.bias": torch.zeros(10)}
    body = {f"backbone.{name}": value for name, value in small(fc__weight=None, fc__bias=None).items()}
    tensors, notes = match_keys({**body, **head}, small())
    assert tensors["fc.weight"] is head["head.weight"]
    assert notes[-1] == "found by their shapes: fc.weight is head.weight, fc.bias is head.bias"


def test_a_network_that_is_there_twice_is_ambiguous_unless_one_is_the_file_s_own() -> None:
    twice = {f"{side}.{name}": value + i for i, side in enumerate(("left", "right")) for name, value in small().items()}
    with pytest.raises(ValueError, match=r"in the file twice, as 'left\.' and as 'right\.', with other numbers"):
        match_keys(twice, small())
    teacher = {f"teacher.{name}": value + 1 for name, value in small().items()}
    tensors, _ = match_keys({**teacher, **small()}, small())
    assert torch.equal(tensors["conv.weight"], small()["conv.weight"])


def test_two_modules_of_the_same_shapes_are_not_guessed() -> None:
    given = {"first.weight": torch.ones(10, 4), "first.bias": torch.ones(10)}
    given |= {"second.weight": torch.ones(10, 4), "second.bias": torch.ones(10)}
    with pytest.raises(ValueError, match=r"fc\.weight: shape \(10, 4\) in the network, missing in the file"):
        match_keys({**small(fc__weight=None, fc__bias=None), **given}, small())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (small(norm__weight=None), r"norm\.weight: shape \(4,\) in the network, missing in the file; it has nothing"),
        (
            small(conv__weight=torch.ones(4, 3, 5, 5)),
            r"conv\.weight: shape \(4, 3, 5, 5\) in the file vs \(4, 3, 3, 3\)",
        ),
        (
            small(conv__weight=torch.ones(4, 1, 3, 3)),
            r"channels of the images: 1 in the file vs 3 in the network \(conv",
        ),
        (
            small(fc__weight=torch.ones(100, 4), fc__bias=torch.ones(100)),
            r"number of classes: 100 in the file vs 10 in the network \(fc\.weight: shape \(100, 4\) in the file vs",
        ),
        (
            small(fc__weight=None, fc__bias=None, head__weight=torch.ones(100, 4), head__bias=torch.ones(100)),
            r"number of classes: 100 in the file vs 10 in the network \(head\.weight: shape \(100, 4\) vs fc\.weight",
        ),
        (small(fc__weight=torch.ones(10, 4).int()), r"fc\.weight: type torch\.int32 in the file vs torch\.float32"),
        (small(fc__bias=torch.ones(10).bool()), r"fc\.bias: type torch\.bool in the file vs torch\.float32"),
        (small(norm__num_batches_tracked=torch.tensor(0.5)), r"num_batches_tracked: type torch\.float32 in the file"),
        (small(fc__bias=torch.full((10,), torch.nan)), r"fc\.bias: 10 of 10 numbers are no finite ones"),
        (small(conv__bias=torch.ones(4)), r"conv\.bias: shape \(4,\) in the file, missing in the network"),
        (small(conv9__weight=torch.ones(4, 4, 3, 3)), r"conv9\.weight: shape \(4, 4, 3, 3\) in the file, missing in"),
        (
            {"a.b": torch.ones(1)},
            "the file is of another network: its first tensor is a.b, the network's is conv.weight",
        ),
        ({}, "the file is of another network: its first tensor is missing"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_first_tensor(given: State, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        match_keys(given, small())
    assert "\n" not in str(caught.value)


def test_a_deeper_network_of_the_same_names_is_not_taken_for_a_shallower_one() -> None:
    state = torchvision.models.resnet34(num_classes=10).state_dict()
    assert resnet(1).state_dict().keys() < state.keys()
    with pytest.raises(
        ValueError, match=r"layer1\.2\.conv1\.weight: shape \(64, 64, 3, 3\) in the file, missing in the"
    ):
        match_keys(state, empty_state(RESNET))
