"""Random crops are torchvision's, with the same draws in every engine and on both sides."""

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import Tensor
from torchvision.transforms import functional as pictures

from entry_points.interpolate import main as interpolate
from entry_points.star import main as star
from entry_points.train_pair import main as train_pair
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.data.content import check_translation
from lmc_mlflow.data.labelled import LabelledImages, edge_of
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.training import drawn_batches as batches
from lmc_mlflow.training.augmentation import translate_images
from lmc_mlflow.training.drawn_batches import drawn_batches
from lmc_mlflow.training.engines.resident_epoch import ResidentEpoch
from lmc_mlflow.training.engines.stacked.draws import plan_epoch
from lmc_mlflow.training.engines.table import choose_engine
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.pair.runs import make_trainees

CPU = torch.device("cpu")
SCALING = Scaling(255.0, (0.5, 0.2), (0.25, 0.5))
RAW = torch.randint(0, 256, (50, 2, 6, 6), generator=torch.Generator().manual_seed(4), dtype=torch.uint8)
LABELS = torch.arange(50) % 5
PADDING, BATCH = 2, 16


def trainee(side: str = "A", noise: str = "same", model: str = "mlp_l1_w7") -> Trainee:
    network = build_network(NetworkSpec(model, 2, 6, 6, 5), seed=1)
    optimizer = make_optimizer(network.parameters(), OptimizationConfig())
    edge = torch.tensor(SCALING.black())[:, None, None]
    stream = noise_stream(NoiseConfig(noise=noise), 1, side, CPU, PADDING)
    return Trainee(side, network, optimizer, stream, ResidentImages(SCALING.apply(RAW)), LABELS, edge)


def seen(one: Trainee, epoch: int = 1) -> Tensor:
    """The images of an epoch as the exact engine trains on them."""
    with one.noise.epoch(epoch, len(RAW), BATCH, True) as draws:
        return torch.cat([images for images, _ in drawn_batches(one, draws)])


def test_a_crop_is_torchvisions_of_the_flipped_raw_image_with_its_border_of_black_pixels() -> None:
    one = trainee()
    with one.noise.epoch(1, len(RAW), BATCH, True) as draws:
        found = torch.cat([images for images, _ in drawn_batches(one, draws)])
    assert draws.moves is not None
    assert draws.all_flips is not None
    expected = []
    for position, flipped, move in zip(draws.order, draws.all_flips, draws.moves, strict=True):
        image = RAW[position].flip(-1) if flipped else RAW[position]
        row, column = (PADDING - move).tolist()
        expected.append(pictures.crop(pictures.pad(image, [PADDING], fill=0), row, column, 6, 6))
    assert torch.equal(found, SCALING.apply(torch.stack(expected)))
    rows = PADDING - draws.moves
    assert sorted(set(rows.flatten().tolist())) == [0, 1, 2, 3, 4]  # each of 2 * 2 + 1 places


def test_both_sides_see_the_same_crops_with_the_same_noise_and_other_ones_with_different_noise() -> None:
    assert torch.equal(seen(trainee("A")), seen(trainee("B")))
    assert not torch.equal(seen(trainee("A")), seen(trainee("B", "different")))
    assert not torch.equal(seen(trainee()), seen(trainee(), epoch=2))


def test_the_fast_engine_and_captured_steps_gather_the_same_images() -> None:
    one = trainee()
    plan = plan_epoch(one, BATCH, True, 1)
    exact = seen(one)
    epoch = ResidentEpoch([one.images.tensor] * 2, 5, True, PADDING, [one.edge, torch.zeros(2, 1, 1)])
    epoch.start([plan, plan], BATCH)
    for index, start in enumerate(range(0, len(RAW), BATCH)):
        expected = exact[start : start + BATCH]
        batch = torch.empty_like(expected)
        plan.gather(index, start, batch)  # the flipped ones last
        places = [int((batch == image).flatten(1).all(1).nonzero()[0]) for image in expected]
        assert sorted(places) == list(range(len(expected)))
        captured = torch.empty(2, *expected.shape)
        epoch.advance(epoch.gather(captured), torch.zeros(2, len(expected), 5))
        assert torch.equal(captured[0], batch)
        assert not torch.equal(captured[1], batch)  # another side's black is another number


@pytest.mark.parametrize("model", ["mlp_l1_w7", "resnet10"])
def test_fast_training_ends_where_exact_training_does(model: str) -> None:
    config = OptimizationConfig(epochs=2, batch_size=BATCH, optimizer="sgd", lr=0.05)
    ends = []
    for engine in ("exact", "fast"):
        sides = [trainee("A", model=model), trainee("B", model=model)]
        for one in sides:
            one.optimizer = make_optimizer(one.network.parameters(), config)
        choose_engine(engine, sides, config).start(sides, config, True).train_epoch(1)
        ends.append(sides)
    for exact, fast in zip(*ends, strict=True):
        assert exact.traces == fast.traces
        assert exact.traces[0].moves
        for p, q in zip(exact.network.parameters(), fast.network.parameters(), strict=True):
            assert (p - q).abs().max().item() < 1e-4


def test_what_lies_in_memory_and_what_is_read_batch_by_batch_are_cropped_alike() -> None:
    found = []
    for memory in (4, 0):
        flags = [*QUICK, "--augmentation=flip_crop", "--normalization=half", f"--memory_gb={memory}"]
        config = parse_flags("train_pair", TrainPairConfig, flags)
        data = load_shifted(config.data, CPU)
        assert (data.flips, data.translate) == (True, 3)  # 28 // 8
        first = make_trainees(config, data, CPU)[0]
        assert first.edge is not None
        assert first.edge.flatten().tolist() == [-1.0]
        with first.noise.epoch(1, len(first.labels), 32, True) as draws:
            found.append(torch.cat([images for images, _ in drawn_batches(first, draws)]))
    assert torch.equal(*found)


@pytest.mark.parametrize(("size", "padding"), [((32, 32), 4), ((28, 28), 3), ((64, 48), 6), ((4, 4), 1)])
def test_the_border_is_an_eighth_of_the_smaller_side_or_what_is_given(size: tuple[int, int], padding: int) -> None:
    assert DataConfig(augmentation="flip_crop").largest_move(*size) == padding
    assert DataConfig(augmentation="flip_crop", crop_padding=2).largest_move(*size) == 2
    assert DataConfig(augmentation="flip").largest_move(*size) == 0


@pytest.mark.slow
def test_stars_and_curves_of_networks_that_were_trained_on_crops_see_crops(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--augmentation=flip_crop", "--normalization=half", "--shift=none", "--init=different", "--c2st_samples=0"]
    assert train_pair([*QUICK, *flags, "--epochs=1", "--batch_size=512", "--model=mlp_l1_w8", "--seeds=1,2"]) == 0
    first, second, third, _ = [run.info.run_id for run in runs_of_kind(store, "endpoint")]
    seen: list[tuple[int, float]] = []

    def note(images: Tensor, moves: Tensor, largest: int, edge: Tensor) -> Tensor:
        seen.append((largest, edge.item()))
        return translate_images(images, moves, largest, edge)

    monkeypatch.setattr(batches, "translate_images", note)
    curve = [f"--run_a={first}", f"--run_b={second}", "--path=bezier", "--curve_epochs=1", "--num_resamples=0"]
    assert interpolate([*curve, "--num_alphas=3", "--device=cpu"]) == 0
    of_curve, seen[:] = list(seen), []
    given = [f"--sources={first},{second}", f"--held_out={third}", "--epochs=1", "--num_alphas=3", "--device=cpu"]
    assert star(given) == 0
    assert set(of_curve) == set(seen) == {(3, -1.0)}  # 28 // 8; black is -1


def test_black_that_is_no_one_number_is_refused() -> None:
    together = LabelledImages(ResidentImages(SCALING.apply(RAW)), LABELS, "both")
    assert edge_of(DataConfig(augmentation="flip"), together) is None
    with pytest.raises(ValueError, match="black is no one number; choose flip_translate"):
        edge_of(DataConfig(augmentation="flip_crop"), together)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--crop_padding=3"], "crop_padding=3 belongs to augmentation=flip_crop; leave it out"),
        (["--augmentation=flip_crop", "--translate_pixels=3"], "translate_pixels belongs to augmentation=translate"),
        (["--augmentation=flip_crop", "--noise_scope=paper"], "noise_scope=paper draws no crops; leave one out"),
    ],
)
def test_crops_that_make_no_sense_are_refused_in_one_line(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, *flags]) == 1
    assert message in capsys.readouterr().err


def test_a_border_as_wide_as_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="crop_padding=28: images of 28 x 28 leave the picture; give less"):
        load_shifted(DataConfig(augmentation="flip_crop", crop_padding=28), CPU)


def test_the_fingerprint_tells_crops_apart_and_leaves_all_others_as_they_were() -> None:
    prints = [
        fingerprint(parse_flags("train_pair", TrainPairConfig, [*QUICK, *flags]))
        for flags in ([], ["--augmentation=flip_crop"], ["--augmentation=flip_crop", "--crop_padding=2"])
    ]
    assert len(set(prints)) == 3
    assert fingerprint(TrainPairConfig()) == "e3b0c44298fc1c14"  # sha256 of nothing


@pytest.mark.parametrize("augmentation", ["flip_crop", "flip_resized_crop", "translate"])
def test_points_are_not_cropped(augmentation: str) -> None:
    config = DataConfig(dataset="moons", augmentation=augmentation)
    with pytest.raises(ValueError, match=f"{augmentation}: images of 1 x 1 cannot be moved or cropped; choose another"):
        check_translation(config, (4, 2, 1, 1))
    check_translation(DataConfig(dataset="moons"), (4, 2, 1, 1))
