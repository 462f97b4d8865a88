"""The fast engine trains convolutional networks as the exact engine does, except for rounding."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.precision import products
from lmc_mlflow.training import state as training_state
from lmc_mlflow.training.engines.channels_last import SMALL_BATCH, ChannelsLastTraining, why_not_channels_last
from lmc_mlflow.training.engines.exact import ExactTraining
from lmc_mlflow.training.loop import EpochReport, train
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee

CPU = torch.device("cpu")
MAKER = torch.Generator().manual_seed(5)
IMAGES, LABELS = torch.randn(60, 1, 12, 12, generator=MAKER), torch.arange(60) % 5
TEST = (ResidentImages(IMAGES[:20]), LABELS[:20])
OPTIMIZERS = {
    "adam": {"weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "schedule": "cosine"},
    "momentum": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "warmup_epochs": 0.5},
}


def config_of(options: dict | None = None, batch_size: int = 16) -> OptimizationConfig:
    return OptimizationConfig(**{"epochs": 3, "batch_size": batch_size, **(options or {})})


def pair(config: OptimizationConfig, sizes: tuple[int, int] = (60, 53), scope: str = "run") -> list[Trainee]:
    trainees = []
    for side, size in zip("AB", sizes, strict=True):
        network = build_network(NetworkSpec("resnet10", 1, 12, 12, 5), seed=1)
        noise = noise_stream(NoiseConfig(noise="different", noise_scope=scope), 1, side, CPU)
        optimizer = make_optimizer(network.parameters(), config)
        trainees.append(Trainee(side, network, optimizer, noise, ResidentImages(IMAGES[:size]), LABELS[:size]))
    return trainees


def differences(first: list[Trainee], second: list[Trainee]) -> list[float]:
    return [
        max(
            (p.double() - q.double()).abs().max().item()
            for p, q in zip(a.network.state_dict().values(), b.network.state_dict().values(), strict=True)
        )
        for a, b in zip(first, second, strict=True)
    ]


def ignore(epoch: int, reports: list[EpochReport]) -> None:
    pass


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("scope", ["run", "paper"])
def test_a_step_is_the_exact_engines_up_to_rounding(options: dict, scope: str) -> None:
    config = config_of(options, batch_size=60)
    exact, fast = pair(config, scope=scope), pair(config, scope=scope)
    expected = ExactTraining(exact, config, True).train_epoch(1)
    for mine, theirs in zip(ChannelsLastTraining(fast, config, True).train_epoch(1), expected, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert [mine.traces for mine in fast] == [theirs.traces for theirs in exact]
    if config.optimizer == "sgd":  # the others divide rounding by rounding where a gradient is next to nothing
        assert max(differences(fast, exact)) < 1e-4


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_trainees_are_handed_back_as_the_exact_engine_keeps_them(options: dict) -> None:
    config = config_of(options)
    exact, fast = pair(config), pair(config)
    ExactTraining(exact, config, True).train_epoch(1)
    ChannelsLastTraining(fast, config, True).train_epoch(1)
    for mine, theirs in zip(fast, exact, strict=True):
        assert mine.train_seconds > 0
        assert all(tensor.is_contiguous() for tensor in mine.network.state_dict().values())
        kept, expected = mine.optimizer.state_dict(), theirs.optimizer.state_dict()
        assert kept["param_groups"] == expected["param_groups"]
        assert kept["state"].keys() == expected["state"].keys()
        for index, slots in kept["state"].items():
            for name, value in slots.items():
                assert not isinstance(value, Tensor) or value.is_contiguous()
                assert name != "step" or torch.equal(value, expected["state"][index][name])


@pytest.mark.parametrize("options", [{"optimizer": "sgd", "lr": 0.05, "momentum": 0.9}, {}], ids=["momentum", "adam"])
def test_epochs_are_the_exact_engines_up_to_rounding(options: dict) -> None:
    config = config_of(options, batch_size=60)  # what the optimizer keeps must lie as the weights do, in every epoch
    exact, fast = pair(config), pair(config)
    plain, laid_out = ExactTraining(exact, config, True), ChannelsLastTraining(fast, config, True)
    for epoch in (1, 2, 3):
        plain.train_epoch(epoch)
        laid_out.train_epoch(epoch)
    for mine, theirs in zip(fast, exact, strict=True):
        for p, q in zip(mine.network.parameters(), theirs.network.parameters(), strict=True):
            assert p.ndim < 4 or (p - q).norm() <= 1e-3 * q.norm()


def test_a_restored_fast_training_ends_bit_equal_to_one_never_stopped(tmp_path: Path) -> None:
    config = config_of()
    whole, first, second = pair(config), pair(config), pair(config)
    assert train(whole, TEST, config, True, 1, ignore, engine="fast") == "fast"

    def keep(epoch: int, reports: list[EpochReport]) -> None:
        if epoch == 2:
            training_state.save(training_state.capture(first, epoch, 0.0), tmp_path / "state")

    train(first, TEST, config, True, 1, keep, engine="fast")
    training_state.restore(second, training_state.load(tmp_path / "state"))
    train(second, TEST, config, True, 3, ignore, engine="fast")
    assert differences(second, whole) == [0, 0]


def test_side_by_side_and_one_after_the_other_are_the_same() -> None:
    config, num_threads, trained = config_of(), torch.get_num_threads(), []
    assert config.batch_size <= SMALL_BATCH
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            trained.append(pair(config))
            ChannelsLastTraining(trained[-1], config, True).train_epoch(1)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(num_threads)
    assert differences(*trained) == [0, 0]


class Streamed:
    """Images that lie nowhere."""

    shape = (60, 1, 12, 12)


def test_what_cannot_be_trained_so_is_told() -> None:
    (one, _) = pair(config_of())
    assert why_not_channels_last([one]) is None
    kept = one.images
    one.images = Streamed()
    assert why_not_channels_last([one]) == (
        "side A: the images are read batch by batch; a higher memory_gb keeps them in memory"
    )
    one.images = kept
    one.network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout2d(0.1))
    assert why_not_channels_last([one]) == "side A: Dropout2d draws while others train"
    one.network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert why_not_channels_last([one]) == "side A: the network has no convolutions"


@pytest.mark.parametrize("engine", ["exact", "fast"])
def test_bfloat16_rounds_the_steps_and_leaves_weights_and_tests_in_float32(engine: str) -> None:
    full, rounded = config_of({"epochs": 1}), config_of({"epochs": 1, "precision": "bfloat16"})
    first, second, scores = pair(full), pair(rounded), []
    train(first, TEST, full, True, 1, ignore, engine=engine)
    assert train(second, TEST, rounded, True, 1, lambda _, reports: scores.extend(reports), engine=engine) == engine
    assert {tensor.dtype for tensor in second[0].network.parameters()} == {torch.float32}
    assert max(differences(first, second)) > 1e-6
    with torch.no_grad():
        outputs = second[0].network.eval()(IMAGES[:20])
    assert scores[0].test.loss == pytest.approx(nn.functional.nll_loss(outputs, LABELS[:20]).item(), rel=1e-6)


def test_tf32_is_allowed_where_it_is_asked_for_and_only_there() -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = allowed()
    for precision, expected in (("tf32", (True, True)), ("float32", (False, False)), ("bfloat16", (False, False))):
        with products(precision):
            assert allowed() == expected
        assert allowed() == before
