"""Training and paths work on the real MNIST and on real photographs; needs LMC_DATA_ROOT (see CONTRIBUTING.md)."""

import os

import pytest
import torch
from conftest import runs_of_kind
from mlflow import MlflowClient

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.loading import load_shifted

ROOT = os.environ.get("LMC_DATA_ROOT", "")
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not ROOT, reason="LMC_DATA_ROOT is not set"),
]
CPU = torch.device("cpu")


@pytest.mark.parametrize(("shift", "sizes"), [("label_5050", (29997, 29997)), ("label_2080", (29642, 30358))])
def test_mnist_sides_have_the_paper_s_sizes(shift: str, sizes: tuple[int, int]) -> None:
    data = load_shifted(DataConfig(dataset="mnist", data_root=ROOT, shift=shift), CPU)
    assert (len(data.a), len(data.b), len(data.test)) == (*sizes, 10000)
    if shift == "label_5050":
        assert torch.equal(data.a.labels, data.b.labels)


def test_photographs_from_a_folder_are_split_in_halves() -> None:
    data = load_shifted(DataConfig(dataset="imagefolder", data_root=f"{ROOT}/cifar10-images"), CPU)
    assert data.a.images.shape == data.b.images.shape == (25000, 3, 32, 32)
    both = torch.cat([data.a.images.tensor, data.b.images.tensor])
    assert both.mean(dim=(0, 2, 3)) == pytest.approx([0, 0, 0], abs=1e-4)
    assert both.std(dim=(0, 2, 3)) == pytest.approx([1, 1, 1], abs=1e-4)


@pytest.mark.slow
def test_a_short_mnist_pair_is_accurate_and_connected(store: MlflowClient) -> None:
    flags = ["--dataset=mnist", f"--data_root={ROOT}", "--batch_size=1024", "--epochs=8", "--device=cpu"]
    assert train_pair(flags) == 0
    pair = runs_of_kind(store, "pair")[0]
    assert pair.data.metrics["test/accuracy"] > 0.96
    assert interpolate([f"--pair={pair.info.run_id}", "--num_alphas=3", "--device=cpu"]) == 0
    assert runs_of_kind(store, "path")[0].data.tags["lmc.connected"] == "yes"
