"""Every training option does what its name says, in every engine, and its default changes nothing."""

import copy
import math
from threading import Event

import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import Tensor, nn

from entry_points.train_pair import main as train_pair
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.training.augmentation import translate_images
from lmc_mlflow.training.engines.exact import ExactTraining
from lmc_mlflow.training.engines.stacked.draws import plan_epoch
from lmc_mlflow.training.engines.stacked.engine import Stack, StackedTraining, why_not_stacked
from lmc_mlflow.training.engines.table import TRAINING_ENGINES, choose_engine
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import clip, learning_rate, make_optimizer
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.pair.runs import make_trainees

CPU = torch.device("cpu")
MAKER = torch.Generator().manual_seed(4)
IMAGES, LABELS = torch.randn(50, 2, 6, 6, generator=MAKER), torch.arange(50) % 5
EVERYTHING = {"schedule": "cosine", "warmup_epochs": 1.5, "clip_norm": 0.05, "weight_decay": 0.01}
OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "lr": 0.5},
    "momentum": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "adamw": {"optimizer": "adamw", "lr": 0.01},
    "rmsprop": {"optimizer": "rmsprop", "lr": 0.001},
}


def pair(config: OptimizationConfig, model: str = "mlp_l1_w7", noise: dict | None = None, translate: int = 0):
    trainees = []
    for side in "AB":
        network = build_network(NetworkSpec(model, 2, 6, 6, 5), seed=1)
        stream = noise_stream(NoiseConfig(**{"noise": "different", **(noise or {})}), 1, side, CPU, translate)
        optimizer = make_optimizer(network.parameters(), config)
        trainees.append(Trainee(side, network, optimizer, stream, ResidentImages(IMAGES), LABELS))
    return trainees


def assert_alike(first: list[Trainee], second: list[Trainee], tolerance: float) -> None:
    for mine, theirs in zip(first, second, strict=True):
        assert mine.traces == theirs.traces
        for p, q in zip(mine.network.parameters(), theirs.network.parameters(), strict=True):
            assert (p - q).abs().max().item() <= tolerance


# steps


def test_warm_up_rises_step_by_step_to_the_rate_from_which_the_cosine_falls_to_0() -> None:
    config = OptimizationConfig(epochs=5, lr=1.0, schedule="cosine", warmup_epochs=1)
    rates = [learning_rate(config, step, steps_per_epoch=4) for step in range(20)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    assert rates[12] == pytest.approx(0.5)  # half of the 16 steps that are left
    assert rates[19] == pytest.approx(0.5 * (1 + math.cos(math.pi * 15 / 16)))


def test_a_gradient_of_length_5_is_cut_to_length_2_and_one_of_length_1_is_left() -> None:
    config = OptimizationConfig(clip_norm=2.0)
    for gradients, expected in (((3.0, 4.0), (1.2, 1.6)), ((0.6, 0.8), (0.6, 0.8))):
        parameters = [nn.Parameter(torch.zeros(1)) for _ in gradients]
        for parameter, value in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor([value])
        clip(parameters, config)
        assert [p.grad.item() for p in parameters if p.grad is not None] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("engine", [ExactTraining, StackedTraining])
def test_a_clipped_step_of_gradient_descent_has_the_length_of_rate_times_norm(engine: type) -> None:
    config = OptimizationConfig(epochs=1, batch_size=50, optimizer="sgd", lr=0.5, clip_norm=0.01)
    trainees = pair(config)
    before = copy.deepcopy(trainees[0].network)
    engine(trainees, config, False).train_epoch(1)
    pairs = zip(trainees[0].network.parameters(), before.parameters(), strict=True)
    assert math.sqrt(sum((p - q).square().sum().item() for p, q in pairs)) == pytest.approx(0.005, rel=1e-3)


def test_one_step_of_rmsprop_on_paper() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = make_optimizer([weight], OptimizationConfig(optimizer="rmsprop", lr=0.05))
    weight.grad = torch.tensor([2.0])
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 0.05 * 2 / math.sqrt(0.01 * 4))  # 0.5: the mean square starts from 0


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("model", ["mlp_l1_w7", "patches_conv"])
def test_all_interventions_at_once_are_the_same_in_both_engines(options: dict, model: str) -> None:
    config = OptimizationConfig(**{"epochs": 4, "batch_size": 16, **EVERYTHING, **options})
    size = {"mlp_l1_w7": 6, "patches_conv": 4}[model]
    trained = []
    for engine in ("exact", "fast"):
        trainees = []
        for side in "AB":
            network = build_network(NetworkSpec(model, 2, size, size, 5), seed=1)
            stream = noise_stream(NoiseConfig(noise="different"), 1, side, CPU, 1)
            images = ResidentImages(IMAGES[:, :, :size, :size])
            trainees.append(
                Trainee(side, network, make_optimizer(network.parameters(), config), stream, images, LABELS)
            )
        training = choose_engine(engine, trainees, config).start(trainees, config, True)
        for epoch in (1, 2, 3):
            training.train_epoch(epoch)
        trained.append(trainees)
    assert_alike(*trained, tolerance=2e-4)


def test_rmsprop_is_handed_to_the_exact_engine_for_mlps(caplog: pytest.LogCaptureFixture) -> None:
    config = OptimizationConfig(optimizer="rmsprop")
    assert why_not_stacked(pair(config), config) == "optimizer rmsprop has no fused step"
    assert choose_engine("fast", pair(config), config) is TRAINING_ENGINES["exact"]
    assert "engine=fast cannot train these networks (optimizer rmsprop has no fused step)" in caplog.text


def test_steps_that_find_their_place_on_the_device_clip_and_translate_too() -> None:
    config = OptimizationConfig(epochs=2, batch_size=16, clip_norm=0.05)
    first, second = (pair(config, translate=2) for _ in range(2))
    stacks = Stack(first, config, True), Stack(second, config, True)
    stacks[1].use_replay(True)
    for stack, trainees in zip(stacks, (first, second), strict=True):
        for epoch in (1, 2):
            stack.train([plan_epoch(t, 16, True, epoch) for t in trainees], epoch, Event())
            stack.store()
    assert_alike(first, second, tolerance=1e-6)


# translation


def test_images_move_by_whole_pixels_and_zeros_come_in() -> None:
    image = torch.arange(1.0, 10).view(1, 1, 3, 3)
    moves = torch.tensor([[0, 0], [1, 0], [0, -2], [-1, 1]])
    found = translate_images(image.expand(4, 1, 3, 3), moves, largest=2)[:, 0]
    assert found.tolist() == [
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[0, 0, 0], [1, 2, 3], [4, 5, 6]],
        [[3, 0, 0], [6, 0, 0], [9, 0, 0]],
        [[0, 4, 5], [0, 7, 8], [0, 0, 0]],
    ]


def test_moves_are_spread_evenly_from_minus_to_plus_the_largest() -> None:
    stream = noise_stream(NoiseConfig(), 1, "A", CPU, translate=2)
    with stream.epoch(1, 5000, 100, False) as draws:
        assert draws.moves is not None
        counts = torch.stack([torch.bincount(column + 2, minlength=5) for column in draws.moves.t()])
    assert counts.shape == (2, 5)
    assert ((counts - 1000).abs() < 120).all()  # four standard deviations


def test_what_lies_in_memory_and_what_is_read_batch_by_batch_are_translated_alike() -> None:
    found = []
    for memory in (4, 0):
        flags = [*QUICK, "--augmentation=flip_translate", "--translate_pixels=3", f"--memory_gb={memory}"]
        config = parse_flags("train_pair", TrainPairConfig, flags)
        data = load_shifted(config.data, CPU)
        assert (data.flips, data.translate) == (True, 3)
        trainees = make_trainees(config, data, CPU)
        ExactTraining(trainees, config.optimization, data.flips).train_epoch(1)
        found.append(trainees)
    assert_alike(*found, tolerance=0)


# seeds


def batches(seeds: dict[str, int], epoch: int = 1, side: str = "A") -> list[Tensor]:
    """The images of an epoch as they are trained on, from a noise stream made anew."""
    one = pair(OptimizationConfig(), noise=seeds, translate=2)["AB".index(side)]
    plan, found = plan_epoch(one, 16, True, epoch), []
    for i, start in enumerate(range(0, len(IMAGES), 16)):
        batch = IMAGES.new_empty(min(16, len(IMAGES) - start), *IMAGES.shape[1:])
        plan.gather(i, start, batch)
        found.append(batch)
    return found


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_the_same_loader_and_augmentation_seed_give_the_same_batches_over_three_instantiations() -> None:
    first, second, third = (batches({"order_seed": 43, "augmentation_seed": 118}) for _ in range(3))
    assert same(first, second)
    assert same(second, third)
    assert not same(first, batches({"order_seed": 44, "augmentation_seed": 118}))
    assert not same(first, batches({"order_seed": 43, "augmentation_seed": 119}))
    assert not same(first, batches({"order_seed": 43, "augmentation_seed": 118}, side="B"))
    assert not same(first, batches({"order_seed": 43, "augmentation_seed": 118}, epoch=2))


def traces(**seeds: int) -> list[str]:
    (one, _) = pair(OptimizationConfig(), noise=seeds, translate=1)
    trace = plan_epoch(one, 16, True, 1).trace
    return [trace.positions, trace.flips, trace.moves]


def test_each_seed_decides_its_own_draws_and_none_is_the_seed_of_the_noise() -> None:
    usual = traces()
    assert [x == y for x, y in zip(traces(order_seed=7), usual, strict=True)] == [False, True, True]
    assert [x == y for x, y in zip(traces(augmentation_seed=7), usual, strict=True)] == [True, False, False]
    assert traces(order_seed=1, augmentation_seed=1) == usual == traces(noise_seed=1)
    assert traces(order_seed=7, augmentation_seed=7) == traces(noise_seed=7)


def test_dropout_follows_neither_the_order_nor_the_augmentation() -> None:
    draws = []
    for seeds in ({}, {"order_seed": 7, "augmentation_seed": 8}, {"noise_seed": 7}):
        (one, _) = pair(OptimizationConfig(), noise=seeds)
        with one.noise.epoch(1, 50, 16, True):
            draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]


# where weights start


@pytest.mark.parametrize("model", ["mlp_l1_w900", "patches_local", "patches_conv"])
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_weights_start_with_variance_2_over_fan_in_and_biases_at_0(model: str, kind: str) -> None:
    spec = NetworkSpec(model, 3, 16, 16, 10, weights_init=kind)
    state = build_network(spec, seed=1).state_dict()
    name, fan_in = {"mlp_l1_w900": ("linear1", 768)}.get(model, ("hidden", 48))
    weight = state[f"{name}.weight"] / math.sqrt(2 / fan_in)
    assert weight.std().item() == pytest.approx(1, abs=0.03)
    assert (weight.abs().max().item() <= math.sqrt(3) + 1e-5) == (kind == "uniform")
    assert not any(value.any() for name, value in state.items() if name.endswith("bias"))
    assert torch.equal(build_network(spec, seed=1).state_dict()[f"{name}.weight"], state[f"{name}.weight"])
    assert spec.difference(NetworkSpec(model, 3, 16, 16, 10)) is None


# options


def test_options_that_stay_at_their_defaults_leave_the_fingerprint_as_it_was() -> None:
    plain = parse_flags("train_pair", TrainPairConfig, QUICK)
    named = ("--clip_norm=0", "--order_seed=auto", "--augmentation_seed=auto", "--weights_init=default")
    assert fingerprint(parse_flags("train_pair", TrainPairConfig, [*QUICK, *named])) == fingerprint(plain)
    assert fingerprint(TrainPairConfig()) == "e3b0c44298fc1c14"  # sha256 of nothing
    for flag in ("--clip_norm=1", "--order_seed=1", "--augmentation_seed=1", "--weights_init=normal"):
        assert fingerprint(parse_flags("train_pair", TrainPairConfig, [*QUICK, flag])) != fingerprint(plain)


def test_a_pair_with_every_intervention_logs_them_and_what_was_drawn(store: MlflowClient) -> None:
    flags = ["--optimizer=sgd", "--momentum=0.9", "--schedule=cosine", "--warmup_epochs=0.5", "--clip_norm=0.5"]
    flags += ["--weights_init=normal", "--order_seed=43", "--augmentation_seed=118", "--augmentation=flip_translate"]
    assert train_pair([*QUICK, *flags, "--noise=different"]) == 0
    (run,) = runs_of_kind(store, "pair")
    params = run.data.params
    assert params["optimization.clip_norm"] == "0.5"
    assert (params["noise.order_seed"], params["noise.augmentation_seed"]) == ("43", "118")
    assert (params["model.weights_init"], params["data.translate_pixels"]) == ("normal", "2")
    assert run.data.tags["lmc.same_noise"] == "false"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--translate_pixels=3"], "translate_pixels belongs to augmentation=translate or flip_translate, not auto"),
        (["--augmentation=translate", "--noise_scope=paper"], "noise_scope=paper draws no translations"),
        (["--augmentation=translate", "--translate_pixels=28"], "images of 28 x 28 leave the picture"),
        (["--noise_scope=paper", "--order_seed=1"], "order_seed: noise_scope=paper fixes every draw itself"),
        (["--noise_scope=paper", "--augmentation_seed=1"], "leave augmentation_seed at auto"),
        (["--optimizer=rmsprop", "--momentum=0.9"], "belong to optimizer=sgd, not rmsprop"),
        (["--clip_norm=-1"], "clip_norm=-1.0: must be at least 0"),
        (["--weights_init=he"], "weights_init 'he' is unknown"),
        (["--model=linear_l1_w4"], "linear_l1 has no hidden layer"),
        (["--model=patches_conv", "--dataset=moons"], "images of 1 x 1 cannot be divided into patches of 4 x 4"),
    ],
)
def test_what_contradicts_itself_is_refused_before_a_run_is_opened(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert train_pair([*QUICK, *flags]) == 1
    assert message in capsys.readouterr().err
    assert runs_of_kind(store, "pair") == []
