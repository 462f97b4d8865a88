"""The fast engine takes the same steps as the exact engine from the same draws, except for rounding."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest
import torch
from torch import Tensor, nn

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.parallel import run_in_threads
from lmc_mlflow.training import state as training_state
from lmc_mlflow.training.engines.exact import ExactTraining
from lmc_mlflow.training.engines.stacked.draws import plan_epoch
from lmc_mlflow.training.engines.stacked.engine import Stack, StackedTraining, why_not_stacked
from lmc_mlflow.training.loop import EpochReport, train
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee, check_last_batch

CPU = torch.device("cpu")
MAKER = torch.Generator().manual_seed(3)
IMAGES, LABELS = torch.randn(70, 3, 4, 4, generator=MAKER), torch.arange(70) % 5
SEVERAL = (torch.rand(70, 5, generator=MAKER) < 0.4).to(torch.uint8)
TEST = (ResidentImages(IMAGES[:30]), LABELS[:30])
BOTH_SCOPES = [NoiseConfig(noise="different", noise_scope=scope) for scope in ("run", "paper")]
OPTIMIZERS = {
    "adam": {"weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
    "sgd": {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.01},
    "momentum": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "warmup_epochs": 1.5},
    "nesterov": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
}


def config_of(options: dict, batch_size: int = 16) -> OptimizationConfig:
    return OptimizationConfig(**{"epochs": 4, "batch_size": batch_size, **options})


def trainee(
    config: OptimizationConfig,
    side: str = "A",
    model: str = "mlp_l1_w9",
    noise: NoiseConfig = BOTH_SCOPES[0],
    labels: Tensor = LABELS,
    device: torch.device = CPU,
) -> Trainee:
    output = "log_probabilities" if labels.ndim == 1 else "logits"
    network = build_network(NetworkSpec(model, 3, 4, 4, 5, output=output), seed=1).to(device)
    optimizer = make_optimizer(network.parameters(), config)
    images = ResidentImages(IMAGES[: len(labels)].to(device))
    return Trainee(side, network, optimizer, noise_stream(noise, 1, side, device), images, labels.to(device))


def pair(config: OptimizationConfig, **options: object) -> list[Trainee]:
    return [trainee(config, side, **options) for side in "AB"]


def largest_difference(first: Trainee, second: Trainee, told: bool = False) -> float:
    """Largest difference between two networks' tensors; with `told` those without a say are left out.

    A batch norm takes away what a bias before it adds: the bias' gradient is rounding alone, which Adam blows up.
    """
    mine, theirs = first.network.state_dict(), second.network.state_dict()
    unheard = {
        f"linear{name[4:-6]}bias" for name in mine if told and name.startswith("norm") and name.endswith("weight")
    }
    names = [name for name in mine if name not in unheard and not (told and name.endswith("running_mean"))]
    return max((mine[name].double().cpu() - theirs[name].double().cpu()).abs().max().item() for name in names)


def ignore(epoch: int, reports: list[EpochReport]) -> None:
    pass


def test_one_step_through_two_layers_on_paper() -> None:
    layers = nn.Linear(1, 1), nn.Linear(1, 2)
    for parameter, value in zip([*layers[0].parameters(), *layers[1].parameters()], (1, 0, 0, 0), strict=True):
        parameter.data.fill_(value)
    layers[1].weight.data[0] = math.log(3)
    network = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.LogSoftmax(1))
    config = OptimizationConfig(epochs=1, batch_size=4, optimizer="sgd", lr=1.0)
    images, labels = ResidentImages(torch.ones(2, 1, 1, 1)), torch.tensor([1, 1])
    noise = noise_stream(NoiseConfig(), 1, "A", CPU)
    one = Trainee("A", network, make_optimizer(network.parameters(), config), noise, images, labels)
    (scores,) = StackedTraining([one], config, flips=False).train_epoch(1)
    # h = 1, pre-activations (ln 3, 0), p = (3/4, 1/4); the label is the second class, so p - y = (3/4, -3/4).
    assert scores.loss == pytest.approx(math.log(4))
    assert scores.score == 0.0
    assert layers[1].weight.flatten().tolist() == pytest.approx([math.log(3) - 0.75, 0.75])
    assert layers[1].bias.tolist() == pytest.approx([-0.75, 0.75])
    assert layers[0].weight.item() == pytest.approx(1 - 0.75 * math.log(3))
    assert layers[0].bias.item() == pytest.approx(-0.75 * math.log(3))


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("labels", [LABELS, SEVERAL], ids=["one label", "several labels"])
@pytest.mark.parametrize("model", ["mlp_l1_w9", "mlp_l3_w7_8_9"])
def test_a_step_is_the_exact_engines_up_to_rounding(options: dict, labels: Tensor, model: str) -> None:
    config = config_of(options, batch_size=70)
    exact, fast = (pair(config, model=model, labels=labels) for _ in range(2))
    expected = ExactTraining(exact, config, True).train_epoch(1)
    for mine, theirs in zip(StackedTraining(fast, config, True).train_epoch(1), expected, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    for mine, theirs in zip(fast, exact, strict=True):
        assert largest_difference(mine, theirs) < 2e-6


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("noise", BOTH_SCOPES, ids=["run", "paper"])
def test_epochs_of_unequal_sides_are_the_exact_engines_up_to_rounding(options: dict, noise: NoiseConfig) -> None:
    config = config_of(options)
    exact, fast = (
        [trainee(config, side, noise=noise, labels=labels) for side, labels in (("A", LABELS), ("B", LABELS[:53]))]
        for _ in range(2)
    )
    by_hand, plain = StackedTraining(fast, config, True), ExactTraining(exact, config, True)
    for epoch in (1, 2, 3):
        for mine, theirs in zip(by_hand.train_epoch(epoch), plain.train_epoch(epoch), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4)
    for mine, theirs in zip(fast, exact, strict=True):
        assert mine.traces == theirs.traces
        assert mine.train_seconds > 0
        assert largest_difference(mine, theirs) < 1e-4
        kept, expected = mine.optimizer.state_dict(), theirs.optimizer.state_dict()
        assert kept["param_groups"] == expected["param_groups"]
        for index, slots in expected["state"].items():
            for name, value in slots.items():
                assert value is None or torch.allclose(kept["state"][index][name], value, atol=1e-4), name
                assert name != "step" or torch.equal(kept["state"][index][name], value)


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("model", ["mlp_l1_w9_bn", "mlp_l3_w7_8_9_bn", "mlp_l2_w6_bn_leaky0.1"])
def test_batch_norm_is_the_exact_engines_up_to_rounding(options: dict, model: str) -> None:
    config = config_of(options)
    exact, fast = (
        [trainee(config, side, model=model, labels=labels) for side, labels in (("A", LABELS), ("B", LABELS[:53]))]
        for _ in range(2)
    )
    by_hand, plain = StackedTraining(fast, config, True), ExactTraining(exact, config, True)
    for epoch in (1, 2):
        for mine, theirs in zip(by_hand.train_epoch(epoch), plain.train_epoch(epoch), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4)
    for mine, theirs in zip(fast, exact, strict=True):
        assert largest_difference(mine, theirs, told=True) < 1e-4
        assert evaluate(mine.network, *TEST)[0] == pytest.approx(evaluate(theirs.network, *TEST)[0], rel=1e-3)
        assert mine.network.get_buffer("norm1.num_batches_tracked") == 2 * math.ceil(len(mine.labels) / 16)
        if config.optimizer == "sgd":
            assert largest_difference(mine, theirs) < 1e-4


def test_gradients_through_batch_norm_are_autograds_in_float64() -> None:
    network = build_network(NetworkSpec("mlp_l2_w6_7_bn", 3, 4, 4, 5), seed=1).double()
    config = config_of({"optimizer": "sgd", "lr": 1.0}, batch_size=70)
    noise, labels = noise_stream(NoiseConfig(), 1, "A", CPU), LABELS
    one = Trainee(
        "A", network, make_optimizer(network.parameters(), config), noise, ResidentImages(IMAGES.double()), labels
    )
    before = {name: value.clone() for name, value in network.named_parameters()}
    nn.functional.nll_loss(network.train()(IMAGES.double()), LABELS).backward()
    gradients = {name: value.grad.clone() for name, value in network.named_parameters()}
    train_stack(Stack([one], config, False), config, [one], flips=False)
    for name, value in network.named_parameters():
        assert torch.allclose(before[name] - value, gradients[name], atol=1e-12), name


def train_stack(stack: Stack, config: OptimizationConfig, trainees: Sequence[Trainee], flips: bool = True) -> Tensor:
    outputs = stack.train([plan_epoch(t, config.batch_size, flips, 1) for t in trainees], 1, Event())
    stack.store()
    return outputs


@pytest.mark.parametrize("model", ["mlp_l2_w6_7", "mlp_l2_w6_7_bn"])
@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_networks_in_one_stack_train_as_each_would_alone(options: dict, model: str) -> None:
    config = config_of(options)
    together, alone = pair(config, model=model), pair(config, model=model)
    outputs = train_stack(Stack(together, config, True), config, together)
    for i, (mine, theirs) in enumerate(zip(together, alone, strict=True)):
        expected = train_stack(Stack([theirs], config, True), config, [theirs])
        assert torch.allclose(outputs[i], expected[0], atol=1e-5)
        assert largest_difference(mine, theirs, told=True) < 1e-5
    assert largest_difference(*together) > 1e-3


@pytest.mark.parametrize(("flips", "model"), [(True, "mlp_l2_w6_7"), (False, "mlp_l2_w6_7"), (True, "mlp_l2_w6_7_bn")])
@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_that_find_their_place_on_the_device_are_the_same_steps(options: dict, flips: bool, model: str) -> None:
    config = config_of(options)  # on a GPU they are replayed from a CUDA graph; here they run one by one
    plain, replayed = pair(config, model=model), pair(config, model=model)
    stacks = Stack(plain, config, flips), Stack(replayed, config, flips)
    stacks[1].use_replay(flips)
    for epoch in (1, 2, 3):
        outputs = []
        for stack, trainees in zip(stacks, (plain, replayed), strict=True):
            plans = [plan_epoch(t, config.batch_size, flips, epoch) for t in trainees]
            outputs.append(stack.train(plans, epoch, Event()))
            stack.store()
        assert torch.allclose(*outputs, atol=1e-5)
    for mine, theirs in zip(replayed, plain, strict=True):
        assert largest_difference(mine, theirs, told=True) < 1e-5
        assert mine.optimizer.state_dict()["param_groups"] == theirs.optimizer.state_dict()["param_groups"]


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(
    ("noise", "model"), [*((noise, "mlp_l1_w9") for noise in BOTH_SCOPES), (BOTH_SCOPES[0], "mlp_l1_w9_bn")],
    ids=["run", "paper", "batch norm"],
)  # fmt: skip
def test_a_restored_fast_training_ends_bit_equal_to_one_never_stopped(
    options: dict, noise: NoiseConfig, model: str, tmp_path: Path
) -> None:
    config = config_of(options)
    whole, stopped, resumed = (pair(config, noise=noise, model=model) for _ in range(3))
    expected: list[EpochReport] = []
    train(whole, TEST, config, True, 1, lambda epoch, reports: expected.extend(reports), engine="fast")

    def stop(epoch: int, reports: list[EpochReport]) -> None:
        if epoch == 2:
            training_state.save(training_state.capture(stopped, 2, 1.5), tmp_path / "state")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped, TEST, config, True, 1, stop, engine="fast")
    training_state.restore(resumed, training_state.load(tmp_path / "state"))
    reports: list[EpochReport] = []
    train(resumed, TEST, config, True, 3, lambda epoch, found: reports.extend(found), engine="fast")
    assert reports == expected[4:]
    for mine, theirs in zip(resumed, whole, strict=True):
        assert mine.traces == theirs.traces
        assert largest_difference(mine, theirs) == 0


def test_a_fast_training_can_be_continued_exactly_and_the_other_way_round() -> None:
    config = config_of({})
    first, second, exact = pair(config), pair(config), pair(config)
    for trainees, engines in (
        (first, (StackedTraining, ExactTraining)),
        (second, (ExactTraining, StackedTraining)),
        (exact, (ExactTraining, ExactTraining)),
    ):
        for epoch, engine in enumerate(engines, start=1):
            engine(trainees, config, True).train_epoch(epoch)
    assert largest_difference(first[0], exact[0]) < 1e-4
    assert largest_difference(second[1], exact[1]) < 1e-4


def test_test_scores_are_those_of_evaluate_to_the_last_bit() -> None:
    config, reports = config_of({"epochs": 1}), []
    trainees = pair(config)
    assert train(trainees, TEST, config, False, 1, lambda epoch, found: reports.extend(found), engine="fast") == "fast"
    assert [report.test for report in reports] == [evaluate(t.network, *TEST) for t in trainees]


def test_a_pair_ends_the_same_in_one_thread_as_in_two() -> None:
    config, num_threads = config_of({"epochs": 2}), torch.get_num_threads()
    trained = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            trained.append(pair(config))
            train(trained[-1], TEST, config, True, 1, ignore, engine="fast")
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(num_threads)
    assert [largest_difference(x, y) for x, y in zip(*trained, strict=True)] == [0, 0]


def test_one_failing_task_stops_the_others() -> None:
    waited: list[bool] = []

    def wait(stopped: Event) -> Tensor:
        waited.append(stopped.wait(timeout=30))
        return torch.zeros(())

    def fail(stopped: Event) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_threads([fail, wait], 2)
    assert waited == [True]


def normed(*between: nn.Module, **options: object) -> nn.Sequential:
    extra = [] if between else [nn.BatchNorm1d(2)]
    return nn.Sequential(
        nn.Flatten(), nn.Linear(2, 2), nn.BatchNorm1d(2, **options), *extra, *between, nn.Linear(2, 2), nn.Identity()
    )


class Streamed:
    """Images that lie nowhere."""

    shape = (70, 3, 4, 4)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("resnet10", "side A: the network has a Conv2d"),
        ("mlp_l1_w9_ln", "side A: the network has a LayerNorm"),
        ("mlp_l1_w9_dropout", "side A: the network has a Dropout"),
        ("mlp_l3_w9_8_7", None),
        ("mlp_l3_w9_8_7_bn", None),
    ],
)
def test_what_cannot_be_stacked_is_told(model: str, reason: str | None) -> None:
    config = config_of({})
    one = trainee(config)
    one.network = build_network(NetworkSpec(model, 3, 16, 16, 5), seed=1)
    assert why_not_stacked([one], config) == reason


def test_networks_that_are_no_mlp_and_images_that_are_streamed_cannot_be_stacked() -> None:
    config = config_of({})
    one = trainee(config)
    one.images = Streamed()
    assert why_not_stacked([one], config) == (
        "side A: the images are read batch by batch; a higher memory_gb keeps them in memory"
    )
    for network, reason in (
        (nn.Linear(2, 2), "side A: a Linear is no MLP"),
        (nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), "side A: its layers do not alternate as an MLP's"),
        (nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.Identity()), "side A: a layer has no bias"),
        (normed(), "side A: its layers do not alternate as an MLP's"),
        (normed(nn.ReLU(), affine=False), "side A: a batch norm has no weights or no running average"),
        (normed(nn.ReLU(), momentum=None), "side A: a batch norm has no weights or no running average"),
    ):
        one.network = network
        assert why_not_stacked([one], config) == reason


def test_the_exact_engine_takes_over_what_the_fast_one_cannot(caplog: pytest.LogCaptureFixture) -> None:
    config = config_of({"epochs": 1})
    fast, exact = pair(config, model="mlp_l1_w9_bn_dropout"), pair(config, model="mlp_l1_w9_bn_dropout")
    with caplog.at_level(logging.WARNING):
        assert train(fast, TEST, config, True, 1, ignore, engine="fast") == "exact"
    assert caplog.messages == [
        "engine=fast cannot train these networks (side A: the network has a Dropout); engine=exact does"
    ]
    assert train(exact, TEST, config, True, 1, ignore) == "exact"
    assert largest_difference(fast[1], exact[1]) == 0


def test_a_last_batch_of_one_image_is_no_batch_to_normalize() -> None:
    one = trainee(config_of({}), model="mlp_l1_w9_bn")
    assert why_not_stacked([one], config_of({}, batch_size=23)) == (
        "side A: batch norm cannot take a last batch of one image; choose another batch_size"
    )
    assert why_not_stacked([trainee(config_of({}))], config_of({}, batch_size=23)) is None
    assert why_not_stacked([one], config_of({}, batch_size=24)) is None
    for batch_size in (1, 23, 69):
        with pytest.raises(ValueError, match=f"batch_size={batch_size}: of the 70 training images of side A the last"):
            check_last_batch(one.network, one.images, batch_size, "A")
    for other, batch_size in ((one, 24), (one, 70), (trainee(config_of({})), 23)):
        check_last_batch(other.network, other.images, batch_size, "A")
    assert one.network.get_buffer("norm1.num_batches_tracked") == 0


def test_an_unknown_engine_and_a_broken_loss_are_named() -> None:
    wild = OptimizationConfig(epochs=3, optimizer="sgd", lr=1e30)
    with pytest.raises(ValueError, match="engine 'quick' is unknown; choose from exact, fast"):
        train(pair(wild), TEST, wild, False, 1, ignore, engine="quick")
    with pytest.raises(FloatingPointError, match="side A: the loss is nan in epoch"):
        train(pair(wild), TEST, wild, False, 1, ignore, engine="fast")


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["mlp_l1_w9", "mlp_l2_w6_7_bn"])
@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_gpu_trains_as_the_cpu_does_up_to_rounding(options: dict, model: str) -> None:
    config = config_of(options)
    cpu, gpu = pair(config, model=model), pair(config, model=model, device=torch.device("cuda:0"))
    for trainees in (cpu, gpu):
        StackedTraining(trainees, config, True).train_epoch(1)
    for mine, theirs in zip(gpu, cpu, strict=True):
        assert mine.traces == theirs.traces
        assert largest_difference(mine, theirs, told=True) < 1e-4
