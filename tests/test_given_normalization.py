"""Networks see pixels minus a given mean, over a given deviation, and only those that see alike are joined."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from test_datasets import write_image
from torchvision.transforms.functional import normalize, to_tensor

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.pixels import ArraySource
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.findings.next_command import another_seed
from lmc_mlflow.models.libraries.timm_networks import timm_normalization

CPU = torch.device("cpu")
HERE = ["--device=cpu", "--threads=1"]
IMAGENET = DataConfig(normalization="given", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def given(mean: str, std: str) -> list[str]:
    return ["--normalization=given", f"--mean={mean}", f"--std={std}"]


def test_given_numbers_are_worked_by_hand(tmp_path: Path) -> None:
    # 51 of 255 is 0.2 and 255 is 1
    for part in ("train", "test"):
        write_image(tmp_path / part / "cat" / "0.png", (51, 51, 255))
        write_image(tmp_path / part / "dog" / "0.png", (255, 51, 51))
    folder = {"dataset": "imagefolder", "data_root": str(tmp_path), "normalization": "given", "shift": "none"}
    each = load_shifted(DataConfig(**folder, mean=(0.2, 0.0, 0.5), std=(0.1, 0.5, 0.25)), CPU)
    torch.testing.assert_close(each.test.images.tensor[0, :, 0, 0], torch.tensor([0.0, 0.4, 2.0]))
    one = load_shifted(DataConfig(**folder, mean=(0.2,), std=(0.1, 0.5, 0.25)), CPU)
    torch.testing.assert_close(one.test.images.tensor[1, :, 0, 0], torch.tensor([8.0, 0.0, 0.0]))


def test_given_scaling_is_bit_for_bit_that_of_torchvision() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 9, 9), dtype=np.uint8)
    ours = Scaling.for_config(IMAGENET, ArraySource(images)).apply(torch.from_numpy(images))
    for image, mine in zip(images, ours, strict=True):
        assert torch.equal(mine, normalize(to_tensor(image.transpose(1, 2, 0)), IMAGENET.mean, IMAGENET.std))


def test_both_sides_are_scaled_by_the_given_numbers_whatever_one_of_them_sees() -> None:
    numbers = {"normalization": "given", "mean": (0.5,), "std": (0.25,)}
    unit, data = (
        load_shifted(DataConfig(shift="rotate_90", **some), CPU) for some in ({"normalization": "unit"}, numbers)
    )
    for name in ("a", "b", "test"):
        before, after = getattr(unit, name).images.tensor, getattr(data, name).images.tensor
        assert torch.equal(after, (before - 0.5) / 0.25)


def test_the_numbers_are_part_of_the_identity() -> None:
    configs = [DataConfig(normalization="given", mean=(m,), std=(s,)) for m, s in ((0.5, 0.5), (0.4, 0.5), (0.5, 0.4))]
    digests = {fingerprint(TrainPairConfig(data=data)) for data in configs}
    assert len(digests) == 3
    assert fingerprint(TrainPairConfig()) == fingerprint(TrainPairConfig(data=DataConfig(mean=(), channels="auto")))


def test_one_number_says_what_three_equal_ones_say() -> None:
    three = DataConfig(normalization="given", mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3))
    assert three.scaling == "given mean=0.5 std=0.1,0.2,0.3"
    assert DataConfig(normalization="given", mean=(0.5,), std=(0.1, 0.2, 0.3)).scaling == three.scaling
    assert DataConfig(normalization="half").scaling == "half"


@pytest.fixture
def trained(store: MlflowClient) -> list[str]:
    """Endpoints on side A: two that see alike, one with another deviation, one of another size, one in grey."""
    small = [*QUICK, "--channels=3", "--image_size=8"]
    assert train_pair([*small, *given("0.5", "0.25")]) == 0
    assert train_pair([*small, *given("0.5,0.5,0.5", "0.25"), "--seed=2"]) == 0
    assert train_pair([*small, *given("0.5", "0.5")]) == 0
    assert train_pair([*QUICK, "--channels=3", "--image_size=9", *given("0.5", "0.25")]) == 0
    assert train_pair([*QUICK, "--image_size=8", *given("0.5", "0.25")]) == 0
    ends = [run for run in runs_of_kind(store, "endpoint") if run.data.tags["lmc.side"] == "A"]
    return [run.info.run_id for run in sorted(ends, key=lambda run: run.info.start_time)]


def test_networks_that_see_alike_are_joined_and_others_are_refused(
    store: MlflowClient, trained: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, alike, steeper, larger, grey = trained
    assert interpolate([f"--run_a={first}", f"--run_b={alike}", "--num_alphas=3", *HERE]) == 0
    path = runs_of_kind(store, "path")[0]
    logged = json.loads(Path(store.download_artifacts(path.info.run_id, "path.json", str(tmp_path))).read_text())
    start = next(row for row in logged["data"] if row[:2] == [0.0, "test"])
    assert start[2] == pytest.approx(store.get_run(first).data.metrics["test/loss"], rel=1e-5)
    for other, difference in (
        (steeper, "normalization: given mean=0.5 std=0.25 vs given mean=0.5 std=0.5"),
        (larger, "image_size: 8 vs 9"),
        (grey, "channels: 3 vs auto"),
    ):
        capsys.readouterr()
        assert interpolate([f"--run_a={first}", f"--run_b={other}", *HERE]) == 1
        line = capsys.readouterr().err.strip()
        assert f"cannot be joined: {difference}; choose two that agree in this, or train or adopt one again" in line


def test_every_member_of_an_ensemble_sees_images_in_its_own_scaling(store: MlflowClient, trained: list[str]) -> None:
    first, _, steeper, *_ = trained
    assert ensemble([f"--runs={first},{steeper}", *HERE]) == 0
    alone = [store.get_run(run).data.metrics["test/accuracy"] for run in (first, steeper)]
    assert runs_of_kind(store, "ensemble")[0].data.metrics["member_accuracy"] == pytest.approx(sum(alone) / 2)


def test_tables_hold_the_numbers_and_commands_repeat_them(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--epochs=1", "--image_size=8", *given("0.25", "0.5")]) == 0
    pairs = query.pairs()
    assert pairs[["normalization", "mean", "std", "image_size", "channels"]].to_numpy().tolist() == [
        ["given", "0.25", "0.5", 8, "auto"]
    ]
    assert " -P image_size=8 -P normalization=given -P mean=0.25 -P std=0.5 " in another_seed(pairs)


def test_timm_s_own_numbers_are_those_of_the_network_or_of_its_weights() -> None:
    assert timm_normalization("timm:resnet18") == (IMAGENET.mean, IMAGENET.std)
    assert timm_normalization("timm:vit_tiny_patch16_224") == ((0.5,) * 3, (0.5,) * 3)
    assert timm_normalization("timm:vit_base_patch16_clip_224.openai")[0] == pytest.approx(
        (0.481, 0.458, 0.408), abs=1e-3
    )
    with pytest.raises(ValueError, match=r"weights of timm:resnet18 'a1_in2k' is unknown .*; choose from a1_in1k, "):
        timm_normalization("timm:resnet18.a1_in2k")
    with pytest.raises(ValueError, match="knows no such network"):
        timm_normalization("timm:resnt18")
