"""Files of weights of public networks: adopted, walked, and aligned where the symmetry is known."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from mlflow import MlflowClient
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

import lmc_mlflow as lmc
from entry_points.adopt import main as adopt
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.contract import Artifact
from lmc_mlflow.data.loading import load_shifted

IMAGES: dict[str, Any] = {"dataset": "digits", "channels": "3", "image_size": 32, "normalization": "half"}
HERE = ["--device=cpu", "--threads=1"]


def images_of_test() -> tuple[Tensor, Tensor]:
    """Load the test set as the adopted networks get it."""
    test = load_shifted(DataConfig(**IMAGES), torch.device("cpu")).test
    return next(iter(test.images.batches(None, len(test)))), test.labels


def resnet(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return torchvision.models.resnet18(weights=None, num_classes=10).eval()


def vit(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=10, depth=2).eval()


def loss_of(network: nn.Module) -> float:
    images, labels = images_of_test()
    with torch.no_grad():
        return float(functional.cross_entropy(network(images).double(), labels))


def plain(state: Mapping[str, Tensor], path: Path) -> Path:
    save_file(dict(state), path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def wrapped(state: Mapping[str, Tensor], path: Path) -> Path:
    """Save as DataParallel and a training script do, with half the counters of batch norm gone."""
    kept = {f"module.{name}": value for name, value in state.items() if "num_batches" not in name}
    torch.save({"epoch": 3, "state_dict": kept, "optimizer": {"state": {}}}, path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def lightning(state: Mapping[str, Tensor], path: Path) -> Path:
    """Save as Lightning's trainer does."""
    content = {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{name}": value for name, value in state.items()},
        "hyper_parameters": {"lr": 1e-3},
        "optimizer_states": [],
        "loops": {},
    }
    torch.save(content, path.with_suffix(".ckpt"))
    return path.with_suffix(".ckpt")


@pytest.mark.parametrize("save", [plain, wrapped, lightning])
def test_two_state_dicts_of_torchvision_are_walked_and_aligned(
    save: Callable[[Mapping[str, Tensor], Path], Path], empty_store: Path, store: MlflowClient, tmp_path: Path
) -> None:
    networks = [resnet(seed) for seed in (1, 2)]
    files = [save(network.state_dict(), tmp_path / f"n{i}") for i, network in enumerate(networks)]
    a, b = (lmc.adopt(state=file, model="torchvision:resnet18", **IMAGES) for file in files)
    assert a.metrics["test/loss"] == pytest.approx(loss_of(networks[0]), abs=1e-6)
    frame = lmc.interpolate(a, b, num_alphas=2, align="weights" if save is plain else "none").frame()
    assert frame["loss"].iloc[0] == pytest.approx(a.metrics["test/loss"], abs=1e-6)


def test_two_vision_transformers_of_timm_are_walked_and_aligned(store: MlflowClient, tmp_path: Path) -> None:
    networks = [vit(seed) for seed in (1, 2)]
    files = [plain(network.state_dict(), tmp_path / f"n{i}") for i, network in enumerate(networks)]
    options = {**IMAGES, "model": "timm:vit_tiny_patch16_224", "model_options": {"depth": 2}}
    a, b = (lmc.adopt(state=file, **options) for file in files)
    assert b.metrics["test/loss"] == pytest.approx(loss_of(networks[1]), abs=1e-6)
    aligned = lmc.align(a, b)
    assert aligned.metrics["max_output_difference"] < 1e-4
    assert lmc.interpolate(a, aligned, num_alphas=3).metrics


def test_a_hub_folder_of_timm_says_itself_which_network_it_is(store: MlflowClient, tmp_path: Path) -> None:
    network = vit(1)
    save_file(dict(network.state_dict()), tmp_path / "model.safetensors")
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 10, "model_args": {"img_size": 32, "depth": 2}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = lmc.adopt(state=tmp_path, **IMAGES)
    assert found.metrics["test/loss"] == pytest.approx(loss_of(network), abs=1e-6)


def test_image_classifiers_of_transformers_are_walked(store: MlflowClient, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        num_channels=3, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=10
    )
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = transformers.ResNetForImageClassification(config).eval()
        network.save_pretrained(tmp_path / str(seed))
        runs.append(lmc.adopt(state=tmp_path / str(seed), **IMAGES))
        images, labels = images_of_test()
        with torch.no_grad():
            loss = float(functional.cross_entropy(network(images).logits.double(), labels))
        assert runs[-1].metrics["test/loss"] == pytest.approx(loss, abs=1e-6)
    assert lmc.interpolate(*runs, num_alphas=3, align="weights").metrics


def test_probabilities_are_told_from_logits(store: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "softly.py").write_text(
        "import torchvision\nfrom torch import nn\n\n\ndef build(channels, height, width, num_classes):\n"
        "    return nn.Sequential(torchvision.models.resnet18(weights=None, num_classes=10), nn.Softmax(dim=1))\n"
    )
    network = nn.Sequential(resnet(1), nn.Softmax(dim=1))
    file = plain(network.state_dict(), tmp_path / "n")
    options: dict[str, Any] = {**IMAGES, "model": "softly:build", "code": tmp_path, "state": file}
    with pytest.raises(ValueError, match="give output=probabilities"):
        lmc.adopt(**options)
    found = lmc.adopt(output="probabilities", **options)
    assert found.metrics["test/loss"] == pytest.approx(loss_of(network[0]), abs=1e-6)


def test_what_was_done_to_the_names_is_printed_and_logged(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = wrapped(resnet(1).state_dict(), tmp_path / "n")
    flags = [f"--state={file}", "--model=torchvision:resnet18", "--dataset=digits", "--channels=3", "--image_size=32"]
    assert adopt([*flags, *HERE]) == 0
    said = capsys.readouterr().out
    assert "module." in said
    assert "state_dict" in said
    (run,) = store.search_runs(["0"])
    logged = Path(store.download_artifacts(run.info.run_id, "adopting.txt", str(tmp_path))).read_text()
    assert all(line in said for line in logged.splitlines())
    assert adopt([*flags, *HERE]) == 0
    assert "finished before" in capsys.readouterr().out
    assert len(store.search_runs(["0"])) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}, "classes"),
        ({"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}, "no finite ones"),
        ({"fc.weight": None}, "fc.weight"),
        ({"conv1.weight": torch.zeros(64, 1, 7, 7)}, "conv1.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    change: dict[str, Any], words: str, store: MlflowClient, tmp_path: Path
) -> None:
    state = {name: value for name, value in (resnet(1).state_dict() | change).items() if value is not None}
    with pytest.raises(ValueError, match=words) as refused:
        lmc.adopt(state=plain(state, tmp_path / "n"), model="torchvision:resnet18", **IMAGES)
    assert "\n" not in str(refused.value)
    assert not store.search_runs(["0"])


def test_an_adopted_network_is_exported_with_all_that_rebuilds_it(store: MlflowClient, tmp_path: Path) -> None:
    file = plain(resnet(1).state_dict(), tmp_path / "n")
    found = lmc.adopt(state=file, model="torchvision:resnet18", trained_on="A", shift="label_2080", **IMAGES)
    names = {item.path for item in store.list_artifacts(found.run_id)}
    assert {Artifact.MANIFEST, Artifact.SPLIT, Artifact.CHECKPOINT_FOLDER} <= names
    assert {"train/loss", "test/loss"} <= {*found.metrics}


def test_pixels_are_scaled_as_timm_scales_them(store: MlflowClient, tmp_path: Path) -> None:
    network = vit(1)
    file = plain(network.state_dict(), tmp_path / "n")
    options: dict[str, Any] = {"model": "timm:vit_tiny_patch16_224", "model_options": {"depth": 2}, "state": file}
    images = {name: value for name, value in IMAGES.items() if name != "normalization"}
    by_timm = lmc.adopt(scaling="timm", **options, **images)
    by_hand = lmc.adopt(normalization="given", mean=0.5, std=0.5, **options, **images)
    assert by_timm.metrics["test/loss"] == by_hand.metrics["test/loss"]
    with pytest.raises(ValueError, match="scaling=timm belongs to"):
        lmc.adopt(scaling="timm", **options, **IMAGES)
