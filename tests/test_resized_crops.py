"""Random boxes are torchvision's random resized crops, with the same draws on both sides and in every process."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import QUICK
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional

from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.data.content import check_resizing
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.pixels import ArraySource
from lmc_mlflow.data.resized_crops import ResizingThreads, draw_boxes, resize_boxes
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.streaming import ScaledSource, StreamedImages
from lmc_mlflow.training.budget import limit_steps
from lmc_mlflow.training.drawn_batches import drawn_batches
from lmc_mlflow.training.engines.data_parallel.shares import Share
from lmc_mlflow.training.engines.table import TRAINING_ENGINES, choose_engine
from lmc_mlflow.training.first_batch import first_images
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.noise_trace import trace_epoch
from lmc_mlflow.workflows.pair.runs import make_trainees

CPU = torch.device("cpu")
RAW = np.random.default_rng(0).integers(0, 256, (50, 3, 12, 12), dtype=np.uint8)
SCALING = Scaling(255.0, (0.5, 0.4, 0.3), (0.25, 0.5, 0.2))


def streamed() -> StreamedImages:
    return StreamedImages(
        (ScaledSource(ArraySource(RAW[:20]), SCALING), ScaledSource(ArraySource(RAW[20:]), SCALING)), CPU
    )


def boxes_of(side: str = "A", noise: str = "same", epoch: int = 1, **seeds: int) -> Tensor:
    stream = noise_stream(NoiseConfig(noise=noise, **seeds), 1, side, CPU, boxed=(12, 12))
    with stream.epoch(epoch, len(RAW), 16, True) as draws:
        assert draws.boxes is not None
        return draws.boxes


def test_what_is_trained_on_is_torchvisions_resized_crop_of_each_raw_image() -> None:
    order = torch.randperm(len(RAW), generator=torch.Generator().manual_seed(1))
    boxes = boxes_of()
    found = torch.cat([*streamed().batches(order, 16, boxes)])
    expected = [
        functional.resized_crop(torch.from_numpy(RAW[i]), *box, [12, 12], antialias=True)
        for i, box in zip(order.tolist(), boxes.tolist(), strict=True)
    ]
    assert torch.equal(found, SCALING.apply(torch.stack(expected)))


def test_the_whole_image_is_left_as_it_is_and_numbers_that_are_no_bytes_are_not_rounded() -> None:
    whole = torch.tensor([[0, 0, 12, 12]]).expand(50, 4)
    with ThreadPoolExecutor(2) as pool:
        threads = ResizingThreads(pool, 2)
        assert torch.equal(resize_boxes(torch.from_numpy(RAW), whole, threads), torch.from_numpy(RAW))
        ramp = torch.arange(4.0).expand(1, 1, 4, 4)
        half = resize_boxes(ramp, torch.tensor([[0, 1, 4, 2]]), threads)
    assert half[0, 0, 0].tolist() == [1.0, 1.25, 1.75, 2.0]


def test_boxes_have_the_areas_ratios_and_places_of_torchvisions() -> None:
    ours = draw_boxes(4000, 64, 64, torch.Generator().manual_seed(0)).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.empty(1, 64, 64)
        theirs = torch.tensor(
            [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
        ).double()
    assert ours.min() >= 0
    assert (ours[:, :2] + ours[:, 2:]).max() <= 64
    for column in range(4):
        quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
        difference = ours[:, column].quantile(quantiles) - theirs[:, column].quantile(quantiles)
        assert difference.abs().max() <= 2.5  # pixels of 64
    area = ours[:, 2] * ours[:, 3] / 64**2
    assert 0.07 < area.min() < 0.1
    assert area.max() > 0.9
    ratio = ours[:, 3] / ours[:, 2]
    assert 0.7 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.45


def test_images_in_which_no_box_fits_are_seen_whole() -> None:
    assert draw_boxes(5, 1, 90, torch.Generator().manual_seed(0)).tolist() == [[0, 0, 1, 90]] * 5


def test_both_sides_see_the_same_boxes_with_the_same_noise_and_other_ones_with_different_noise() -> None:
    assert torch.equal(boxes_of("A"), boxes_of("B"))
    assert not torch.equal(boxes_of("A"), boxes_of("B", "different"))
    assert not torch.equal(boxes_of(), boxes_of(epoch=2))
    assert not torch.equal(boxes_of(), boxes_of(augmentation_seed=7))
    assert torch.equal(boxes_of(), boxes_of(order_seed=7))


def test_a_training_that_ends_early_has_the_boxes_of_its_first_images_and_the_trace_tells_boxes_apart() -> None:
    whole = noise_stream(NoiseConfig(), 1, "A", CPU, boxed=(12, 12))
    limited = limit_steps(whole, OptimizationConfig(steps=2, batch_size=16))
    assert limited.boxed == (12, 12)
    with limited.epoch(1, len(RAW), 16, False) as draws:
        assert draws.boxes is not None
        assert torch.equal(draws.boxes, boxes_of()[:32])
    traces = []
    for stream in (
        whole,
        noise_stream(NoiseConfig(), 1, "A", CPU),
        noise_stream(NoiseConfig(), 2, "A", CPU, 0, (12, 12)),
    ):
        with stream.epoch(1, len(RAW), 16, False) as draws:
            traces.append(trace_epoch(1, draws, torch.zeros(50, dtype=torch.int64)).moves)
    assert len(set(traces)) == 3
    assert traces[1] == ""


def test_two_devices_see_the_parts_of_the_batches_that_one_sees() -> None:
    order, boxes = torch.randperm(50, generator=torch.Generator().manual_seed(1)), boxes_of()
    whole = [*streamed().batches(order, 16, boxes)]
    halves = [[*Share(rank, 2).images(streamed(), order, 16, boxes)] for rank in (0, 1)]
    assert all(torch.equal(batch, torch.cat(parts)) for batch, *parts in zip(whole, *halves, strict=True))


def test_memory_decides_nothing_and_the_fast_engine_gives_way(caplog: pytest.LogCaptureFixture) -> None:
    found = []
    for memory in (4, 0):
        flags = [*QUICK, "--augmentation=flip_resized_crop", f"--memory_gb={memory}", "--engine=fast"]
        config = parse_flags("train_pair", TrainPairConfig, flags)
        data = load_shifted(config.data, CPU)
        assert isinstance(data.a.images, StreamedImages)
        trainees = make_trainees(config, data, CPU)
        with trainees[0].noise.epoch(1, len(data.a), 32, True) as draws:
            found.append(torch.cat([images for images, _ in drawn_batches(trainees[0], draws)]))
        shown, _ = first_images(trainees[0], trainees[0].noise, 32, True, 6)
        assert torch.equal(shown, found[-1][:6])
    assert torch.equal(*found)
    assert choose_engine("fast", trainees, config.optimization) is TRAINING_ENGINES["exact"]
    assert "random boxes of its images are resized as they are read); engine=exact does" in caplog.text


def test_bands_and_the_papers_draws_are_refused() -> None:
    config = DataConfig(dataset="bigearthnet", augmentation="flip_resized_crop")
    with pytest.raises(ValueError, match="bigearthnet holds no pictures of 8 bits; choose flip_crop"):
        check_resizing(config, 10_000.0)
    check_resizing(config, 255.0)
    with pytest.raises(ValueError, match="noise_scope=paper draws no crops; leave one out"):
        parse_flags("train_pair", TrainPairConfig, ["--augmentation=flip_resized_crop", "--noise_scope=paper"])
