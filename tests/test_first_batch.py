"""The figure of the first batch shows the images on which the networks were trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import Tensor

from entry_points.train_pair import main
from lmc_mlflow import plots
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.training.engines.exact import ExactTraining
from lmc_mlflow.training.first_batch import first_images
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.workflows.pair.runs import make_trainees

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--augmentation=flip"],
        ["--augmentation=flip_translate", "--translate_pixels=2", "--order_seed=43", "--augmentation_seed=118"],
        ["--augmentation=flip", "--noise_scope=paper", "--noise=different"],
        ["--augmentation=flip", "--memory_gb=0"],
        ["--augmentation=flip_crop", "--memory_gb=0"],
    ],
)
def test_it_shows_the_batch_that_the_first_step_gets(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse_flags("train_pair", TrainPairConfig, [*QUICK, *flags])
    data = load_shifted(config.data, CPU)
    for trainee in make_trainees(config, data, CPU):
        seen: list[Tensor] = []
        forward = trainee.network.forward
        trainee.network.forward = lambda x, seen=seen, go=forward: (seen.append(x.detach().clone()), go(x))[1]
        ExactTraining([trainee], config.optimization, data.flips).train_epoch(1)
        noise = noise_stream(config.noise, config.model.seed, trainee.side, CPU, data.translate)
        size = config.optimization.batch_size
        shown, labels = first_images(trainee, noise, size, data.flips, 6)
        assert torch.equal(shown, seen[0][:6])
        assert labels.shape == (6,)


def test_a_pair_logs_it(store: MlflowClient, tmp_path: Path) -> None:
    assert main([*QUICK, "--epochs=1"]) == 0
    (pair,) = runs_of_kind(store, "pair")
    file = Path(store.download_artifacts(pair.info.run_id, "figures/first_batch.png", str(tmp_path)))
    assert file.stat().st_size > 5000


def drawn(images: dict[str, Any]) -> list[Any]:
    labels = {side: ["a"] * len(pixels) for side, pixels in images.items()}
    return plots.first_batch_figure(images, labels, "title").axes


def test_both_sides_share_one_range_and_name_their_own() -> None:
    a = np.zeros((2, 1, 3, 4), dtype=np.float32)
    a[1] = 1.0
    first, second = drawn({"A": a, "B": 3 * a - 1})
    assert [panel.get_title(loc="left") for panel in (first, second)] == [
        "side A: 0.00 to 1.00",
        "side B: -1.00 to 2.00",
    ]
    strip = first.images[0].get_array()
    assert strip.shape == (3, 4 + 1 + 4)
    assert np.allclose(strip[:, :4], 1 / 3)
    assert np.allclose(strip[:, 5:], 2 / 3)
    assert [label.get_text() for label in first.get_xticklabels()] == ["a", "a"]


@pytest.mark.parametrize(("channels", "shape"), [(1, (3, 9)), (2, (3, 9)), (3, (3, 9, 3))])
def test_colours_are_shown_where_there_are_three_channels(channels: int, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).normal(size=(2, channels, 3, 4)).astype(np.float32)
    (panel,) = drawn({"A": images})
    assert panel.images[0].get_array().shape == shape
