"""Networks of torchvision and transformers are built by name, seeded, and refused in one line where they do not fit."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.train_pair import ModelConfig
from lmc_mlflow.contract import Tag
from lmc_mlflow.models.families import Facts, check_model, facts_of, has_batch_norm
from lmc_mlflow.models.libraries.foreign_network import ForeignNetwork, logits_of
from lmc_mlflow.models.registry import NetworkSpec, build_network, empty_state
from lmc_mlflow.models.weight_files.files import read_state
from lmc_mlflow.models.weight_files.fit import fit_to_network
from lmc_mlflow.models.weight_files.hub_folders import read_hub_folder
from lmc_mlflow.own_code import is_own
from lmc_mlflow.tracking.provenance import provenance_tags

SIZES = {
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "ViT": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": 8,
    },
}


def torchvision_spec(name: str, shape: tuple[int, int, int, int] = (3, 64, 64, 7), options: str = "") -> NetworkSpec:
    return NetworkSpec(f"torchvision:{name}", *shape, model_options=options)


def transformers_spec(kind: str, channels: int = 3, **options: Any) -> NetworkSpec:
    pytest.importorskip("transformers")
    text = json.dumps({**SIZES[kind], **options})
    return NetworkSpec(f"transformers:{kind}ForImageClassification", channels, 32, 32, 4, model_options=text)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "regnet_y_400mf", "googlenet", "swin_t"])
def test_networks_of_torchvision_are_built_from_a_seed_and_end_in_log_probabilities(name: str) -> None:
    spec = torchvision_spec(name)
    networks = [build_network(spec, seed) for seed in (1, 1, 2)]
    first, again, other = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert torch.allclose(networks[0](torch.randn(2, 3, 64, 64)).exp().sum(dim=1), torch.ones(2), atol=1e-5)
    assert [(key, value.shape) for key, value in empty_state(spec).items()] == [
        (key, value.shape) for key, value in first.items()
    ]


def test_arguments_of_a_network_of_torchvision_are_passed_on() -> None:
    plain = build_network(torchvision_spec("resnet18"), 1)
    zero = build_network(torchvision_spec("resnet18", options='{"zero_init_residual": true}'), 1)
    assert plain.state_dict()["body.layer1.0.bn2.weight"].sum() == 64
    assert zero.state_dict()["body.layer1.0.bn2.weight"].sum() == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (torchvision_spec("resnet18", (1, 28, 28, 10)), "takes images with 3 channels, not 1; give channels=3"),
        (torchvision_spec("vit_b_16", (3, 64, 32, 10)), "takes square images, not 64 x 32"),
        (torchvision_spec("inception_v3", (3, 32, 32, 10)), "cannot take images of 3 x 32 x 32"),
        (torchvision_spec("resnt18"), r"did you mean torchvision:resnet18"),
        (torchvision_spec("fcn_resnet50"), "knows no such image classifier"),
        (
            torchvision_spec("resnet18", options='{"depth": 3}'),
            r"cannot be built \(ResNet.*'depth'\); change model_options",
        ),
        (
            torchvision_spec("resnet18", options='{"weights": "DEFAULT"}'),
            "leave out weights: networks start from random",
        ),
        (
            torchvision_spec("googlenet", options='{"aux_logits": true}'),
            "leave out aux_logits: networks have one output",
        ),
        (
            NetworkSpec("timm:resnet18", 3, 32, 32, 4, model_options='{"checkpoint_path": "x"}'),
            "leave out checkpoint_path",
        ),
        (NetworkSpec("timm:resnet18", 3, 32, 32, 4, model_options='{"dept": 2}'), r"cannot be built \(ResNet.*'dept'"),
    ],
)
def test_what_a_network_cannot_be_built_from_is_one_line(spec: NetworkSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build_network(spec, seed=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ("torchvision:resnet50", Facts("ResNet", 50, norm=None, library="torchvision")),
        ("torchvision:vgg11_bn", Facts("VGG", 11, "bn", norm=None, library="torchvision")),
        ("torchvision:wide_resnet50_2", Facts("other", norm=None, library="torchvision")),
        ("transformers:ResNetForImageClassification", Facts("ResNet", norm=None, library="transformers")),
        ("transformers:ViTForImageClassification", Facts("other", norm=None, library="transformers")),
    ],
)
def test_the_facts_of_a_name(model: str, facts: Facts) -> None:
    assert facts_of(model) == facts
    assert not is_own("model", model)


@pytest.mark.parametrize(
    ("name", "batch_norm"), [("resnet18", True), ("regnet_y_400mf", True), ("vgg11", False), ("swin_t", False)]
)
def test_batch_norm_of_a_network_of_torchvision_is_read_from_the_network(name: str, batch_norm: bool) -> None:
    state = torch.get_rng_state()
    assert has_batch_norm(f"torchvision:{name}") is batch_norm
    assert torch.equal(torch.get_rng_state(), state)


def test_model_options_belong_to_the_networks_of_others_and_change_the_fingerprint() -> None:
    options = ModelConfig(model="torchvision:resnet18", model_options='{ "zero_init_residual":true}')
    assert options.model_options == '{"zero_init_residual": true}'
    prints = {
        fingerprint(TrainPairConfig(model=model)) for model in (options, ModelConfig(model="torchvision:resnet18"))
    }
    assert len(prints) == 2
    with pytest.raises(ValueError, match="model_options belongs to model=<module>:<function> or timm:<name> or"):
        ModelConfig(model="resnet10", model_options='{"depth": 3}')


LOGITS = torch.ones(2, 3)


class Answer:
    """An object with logits, as Hugging Face's outputs are."""

    logits = LOGITS


@pytest.mark.parametrize("answer", [LOGITS, Answer(), {"loss": None, "logits": LOGITS}, (LOGITS, [1])])
def test_logits_are_found_in_what_a_network_returns(answer: object) -> None:
    class Body(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return answer

    assert ForeignNetwork(Body(), nn.Identity())(torch.zeros(1)) is LOGITS


@pytest.mark.parametrize("answer", [{"scores": LOGITS}, [LOGITS], (1, LOGITS), (), None])
def test_an_answer_without_logits_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match=f"it returns a {type(answer).__name__} without logits"):
        logits_of(answer)


def test_without_transformers_its_networks_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match="needs transformers; pip install transformers"):
        check_model("transformers:ViTForImageClassification")
    assert has_batch_norm("transformers:BitForImageClassification")


@pytest.mark.parametrize(("kind", "channels"), [("ResNet", 3), ("ResNet", 1), ("ViT", 3)])
def test_image_classifiers_of_transformers_are_built_from_a_seed(kind: str, channels: int) -> None:
    spec = transformers_spec(kind, channels)
    check_model(spec.model)
    networks = [build_network(spec, seed) for seed in (1, 1, 2)]
    first, again, other = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert networks[0](torch.randn(2, channels, 32, 32)).shape == (2, 4)
    assert has_batch_norm(spec.model) == (kind == "ResNet")


def test_the_version_of_transformers_is_told_where_it_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    assert f"transformers=={transformers.__version__}" in provenance_tags()[Tag.PACKAGES].split()
    monkeypatch.delitem(sys.modules, "transformers")
    assert "transformers" not in provenance_tags()[Tag.PACKAGES]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embeding_size": 3}, r"field 'embeding_size' is unknown \(did you mean 'embedding_size'\?\)"),
        ({"num_labels": 3}, "leave out num_labels: the data decide it"),
        ({"auto_map": {"AutoModel": "code.Net"}}, "leave out auto_map: code of a repository is never run"),
        ({"depths": "three"}, "cannot be built"),
    ],
)
def test_fields_that_transformers_cannot_use_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(transformers_spec("ResNet", **options), seed=1)


def test_a_class_that_is_no_image_classifier_is_refused() -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=r"'BertForMaskedLM' is unknown.*choose from"):
        check_model("transformers:BertForMaskedLM")


def folder_with(folder: Path, config: object, *files: str) -> Path:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in files:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("kind", ["ResNet", "ViT"])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_what_transformers_saves_computes_here_what_it_did(tmp_path: Path, kind: str, prefix: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config")(**SIZES[kind], image_size=32, num_labels=4)
    torch.manual_seed(0)
    theirs = getattr(transformers, f"{kind}ForImageClassification")(config).eval()
    theirs.save_pretrained(tmp_path)
    model, options, weights = read_hub_folder(tmp_path)
    assert (model, weights.name) == (f"transformers:{kind}ForImageClassification", "model.safetensors")
    spec = NetworkSpec(model, 3, 32, 32, 4, model_options=ModelConfig(model=model, model_options=options).model_options)
    state = {prefix + name: value for name, value in read_state(weights).tensors.items()}
    ours = build_network(spec, seed=1).eval()
    ours.load_state_dict(fit_to_network(state, spec)[0])
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(ours(images), theirs(images).logits.log_softmax(dim=1))


def test_a_folder_of_timm_is_read(tmp_path: Path) -> None:
    config = {
        "architecture": "vit_tiny_patch16_224.augreg_in21k",
        "num_classes": 5,
        "model_args": {"depth": 2, "num_classes": 5},
        "pretrained_cfg": {"input_size": [3, 32, 32]},
    }
    found = read_hub_folder(folder_with(tmp_path, config, "pytorch_model.bin"))
    assert found == ("timm:vit_tiny_patch16_224", '{"depth": 2}', tmp_path / "pytorch_model.bin")
    network = build_network(NetworkSpec(found.model, 3, 32, 32, 5, model_options=found.model_options), seed=1)
    assert len(network.get_submodule("body.blocks")) == 2
    (tmp_path / "model.safetensors").touch()
    assert read_hub_folder(tmp_path).weights.name == "model.safetensors"


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        ("{", ["model.safetensors"], "it cannot be read as JSON"),
        ([1], ["model.safetensors"], "it holds a list, not the fields of a network"),
        ({"model": "x"}, ["model.safetensors"], "neither the field architecture of timm nor architectures of"),
        ({"architecture": "resnet18"}, [], "neither model.safetensors nor pytorch_model.bin; download the weights"),
        ({"architecture": "resnet18"}, ["pytorch_model.bin.index.json"], "its weights lie in several files"),
        ({"architectures": ["A"], "auto_map": {}}, ["model.safetensors"], "auto_map names code of the folder"),
        ({"architectures": ["A", "B"]}, ["model.safetensors"], "exactly one is needed; give model="),
    ],
)
def test_another_folder_is_one_line(tmp_path: Path, config: object, files: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_hub_folder(folder_with(tmp_path, config, *files))


def test_a_folder_without_a_configuration_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.json: there is no such file; name the file of weights"):
        read_hub_folder(tmp_path)
    with pytest.raises(ValueError, match="there is no such folder"):
        read_hub_folder(tmp_path / "missing")
