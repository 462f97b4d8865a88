"""What the host does for a GPU stays within its budget, and fast training on a GPU equals exact training.

Measured on the simulated device; `python -m benchmarks counts` prints the counts.
"""

from collections.abc import Iterator

import pytest
import torch
from simulated_device import Machine

from benchmarks.counts import (
    BATCH_SIZE,
    CASES,
    Case,
    count_matching,
    count_point,
    count_star_point,
    count_training,
    measure_training,
    start,
)
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.seeds import set_determinism
from lmc_mlflow.training import state as training_state
from lmc_mlflow.training.engines import graphs
from lmc_mlflow.training.engines.captured import CapturedTraining
from lmc_mlflow.training.loop import train
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine

CPU, FIRST, SECOND = torch.device("cpu"), torch.device("cuda", 0), torch.device("cuda", 1)
BUDGETS = {
    "MLP L1 exact": (23, 12),
    "MLP L1 exact, flips in the paper's order": (26, 12),
    "MLP L1 with dropout exact, flips in the paper's order": (30, 12),
    "MLP L1 exact, flips and translations": (36, 12),
    "MLP L1 exact, batch by batch": (25, 12),
    "MLP L1 fast": (0.5, 42),
    "MLP L3 fast": (0.5, 72),
    "MLP L3 with batch norm fast, flips and translations": (0.5, 118),
    "MLP L1 fast, sides of two sizes": (1, 44),
    "ResNet10 exact": (90, 12),
    "ResNet10 exact, bfloat16": (118, 12),
    "ResNet10 fast": (1, 88),
    "ResNet22 fast": (1, 184),
    "VGG11 exact, flips": (89, 12),
    "VGG11 fast": (1, 96),
}
"""Launches of a step of one network, and of an epoch of both outside the steps: half of what they were, or less."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.model == "vgg11" else []) for c in CASES],
)
def test_training_stays_within_its_budget_of_launches_and_waits_for_nothing_but_the_scores(
    two_gpus: Machine, case: Case
) -> None:
    found = count_training(case)
    of_step, outside = BUDGETS[case.name]
    assert found.waits == 0
    assert found.launches <= of_step
    assert found.outside_launches <= outside
    assert found.outside_waits == 2  # the scores of each network


@pytest.mark.parametrize("bn", ["recalibrate", "repair"])
def test_a_policy_of_batch_norm_waits_as_often_whatever_the_number_of_batches(two_gpus: Machine, bn: str) -> None:
    for model in ("mlp_l1_w8_bn", "mlp_l3_w8_8_8_bn"):
        assert [count_point(model, bn, num_batches).waits for num_batches in (2, 4)] == [0, 0]


def test_matching_waits_for_the_weights_alone_and_a_point_of_a_star_is_one_launch(two_gpus: Machine) -> None:
    matching = count_matching("mlp_l3_w8_8_8_bn")
    assert (matching.launches, matching.waits) == (0, 2 * 14)  # weights and biases of four layers and three norms
    forward = count_star_point("mlp_l3_w8_8_8")
    assert forward.waits == 0
    assert forward.kernels["_foreach_lerp"] == 1


def test_the_benchmark_brings_a_simulated_gpu_of_its_own() -> None:
    (row,) = measure_training(CASES[:1])
    assert row["launches a step"] == 23
    assert not torch.cuda.is_available()


# a step as a graph


def largest_difference(first: list[Trainee], second: list[Trainee]) -> float:
    return max(
        float((mine.cpu().double() - theirs.cpu().double()).abs().max())
        for a, b in zip(first, second, strict=True)
        for mine, theirs in zip(a.network.state_dict().values(), b.network.state_dict().values(), strict=True)
    )


def trained(case: Case, device: torch.device, epochs: int = 1, num_samples: int = 4 * BATCH_SIZE - 1) -> list[Trainee]:
    trainees, training = start(case, num_samples, device)
    for epoch in range(1, epochs + 1):
        training.train_epoch(epoch)
    return trainees


SGD = {"optimizer": "sgd", "lr": 0.05}
OPTIMIZERS = {
    "sgd": SGD,
    "momentum": {**SGD, "momentum": 0.9, "warmup_epochs": 0.5},
    "nesterov": {**SGD, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "clip": {**SGD, "clip_norm": 0.1, "schedule": "cosine"},
    "adam": {"lr": 1e-4},
    "adamw": {"optimizer": "adamw", "lr": 1e-4, "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop", "lr": 1e-5},
}


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_captured_steps_are_the_exact_engines_up_to_rounding(two_gpus: Machine, options: dict) -> None:
    noise = {"flips": True, "translate": 2, "options": options}
    fast = trained(Case("", "patches_conv", "fast", **noise), FIRST)
    exact = trained(Case("", "patches_conv", "exact", **noise), CPU)
    assert largest_difference(fast, exact) < 2e-4
    for mine, theirs in zip(fast, exact, strict=True):
        assert mine.traces == theirs.traces
        kept, expected = mine.optimizer.state_dict(), theirs.optimizer.state_dict()
        assert kept["param_groups"] == expected["param_groups"]
        assert kept["state"].keys() == expected["state"].keys()
        for index, slots in expected["state"].items():
            for name, value in slots.items():
                if name == "step":
                    assert torch.equal(kept["state"][index][name], value)
                elif value is not None:
                    assert torch.allclose(kept["state"][index][name].cpu(), value, atol=1e-3), name


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("tf32", 0.02), ("bfloat16", 0.1)])
def test_a_captured_residual_network_is_the_exact_one_up_to_the_rounding_of_its_precision(
    two_gpus: Machine, precision: str, tolerance: float
) -> None:
    options = {**SGD, "lr": 0.01, "precision": precision}
    fast = trained(Case("", "resnet10", "fast", options=options), FIRST)
    exact = trained(Case("", "resnet10", "exact", options={**options, "precision": "float32"}), CPU)
    assert largest_difference(fast, exact) < tolerance
    assert all(tensor.is_contiguous() for one in fast for tensor in one.network.state_dict().values())


def test_channels_last_is_for_the_precisions_that_gain_by_it(two_gpus: Machine) -> None:
    for precision, expected in (("float32", False), ("tf32", True), ("bfloat16", True)):
        _, training = start(Case("", "resnet10", "fast", options={"precision": precision}), BATCH_SIZE, FIRST)
        assert isinstance(training, CapturedTraining)
        weights = [p for p in training._doubles[0]._network.parameters() if p.ndim == 4 and p.shape[1] > 1]
        assert {not weight.is_contiguous() for weight in weights if weight.shape[2] > 1} == {expected}


@pytest.mark.parametrize("model", ["mlp_l1_w8", "patches_conv"])
def test_a_restored_training_on_a_gpu_ends_bit_equal_to_one_never_stopped(two_gpus: Machine, model: str) -> None:
    case = Case("", model, "fast", flips=True)
    whole, first = trained(case, FIRST, epochs=3), trained(case, FIRST, epochs=2)
    second, training = start(case, 4 * BATCH_SIZE - 1, FIRST)
    training_state.restore(second, training_state.capture(first, 2, 0.0))
    training.train_epoch(3)
    assert largest_difference(second, whole) == 0


def test_cudnn_chooses_the_fastest_algorithms_only_where_results_need_not_repeat(
    two_gpus: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    seen: list[bool] = []

    def capture(*given: object) -> object:
        seen.append(torch.backends.cudnn.benchmark)
        return graphs.capture_graphs(*given)

    monkeypatch.setattr("lmc_mlflow.training.engines.captured.capture_graphs", capture)
    case = Case("", "patches_conv", "fast")
    try:
        for deterministic in (False, True):
            set_determinism(deterministic)
            start(case, BATCH_SIZE, FIRST)
            assert not torch.backends.cudnn.benchmark
    finally:
        set_determinism(False)
    assert seen == [True, True, False, False]  # a network each


# the device and the precision of a capture


@pytest.mark.parametrize("model", ["mlp_l1_w8", "patches_conv"])
def test_a_graph_is_captured_on_the_device_of_its_network_whichever_is_current(two_gpus: Machine, model: str) -> None:
    case = Case("", model, "fast")
    assert torch.cuda.current_device() == 0
    second = trained(case, SECOND)
    assert largest_difference(second, start(case, 4 * BATCH_SIZE - 1, CPU)[0]) > 1e-4
    assert largest_difference(second, trained(case, FIRST)) == 0


def test_a_graph_that_does_nothing_is_refused_in_one_line(two_gpus: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmc_mlflow.training.engines.graphs.NUM_WARM_UPS", 0)
    cursor, stream = torch.zeros((), dtype=torch.int64, device=SECOND), graphs.make_stream(SECOND)
    one = torch.zeros(1, device=SECOND)
    with pytest.raises(ValueError, match=r"^engine=fast: the step captured for cuda:1 does not run; use engine=exact$"):
        graphs.capture_graphs({1: lambda: one.add_(1)}, cursor, stream)


def test_a_step_that_waits_is_refused_in_one_line(two_gpus: Machine) -> None:
    cursor, stream = torch.zeros((), device=FIRST), graphs.make_stream(FIRST)
    with pytest.raises(ValueError, match=r"^engine=fast cannot capture a step .*\(CUDA error: .*\); use engine=exact$"):
        graphs.capture_graphs({1: lambda: cursor.add_(1).item()}, cursor, stream)


@pytest.mark.parametrize("model", ["mlp_l1_w8", "patches_conv"])
def test_a_graph_has_the_precision_that_was_asked_for(
    two_gpus: Machine, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[bool] = []
    capture = torch.cuda.graph

    def watched(*given: object, **named: object) -> object:
        allowed.append(torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32)
        return capture(*given, **named)

    monkeypatch.setattr(torch.cuda, "graph", watched)
    case = Case("", model, "fast", options={"precision": "tf32", "epochs": 1})
    trainees, _ = start(Case("", model, "exact"), BATCH_SIZE, FIRST)
    test = (trainees[0].images, trainees[0].labels)
    train(trainees, test, OptimizationConfig(**case.options), False, 1, lambda *_: None, engine="fast")
    assert set(allowed) == {True}


def test_a_command_on_the_second_gpu_makes_it_the_current_one(two_gpus: Machine) -> None:
    for name, expected in (("cuda:1", 1), ("cuda", 0)):
        prepare_machine(RuntimeConfig(device=name, keep_memory=False))
        assert torch.cuda.current_device() == expected


def test_networks_take_turns_each_on_its_own_stream(two_gpus: Machine) -> None:
    launched = []

    def run(name: str, num_steps: int) -> Iterator[None]:
        for _ in range(num_steps):
            launched.append((name, torch.cuda.current_stream(SECOND)))
            yield

    streams = [stream for stream in (graphs.make_stream(SECOND), graphs.make_stream(SECOND)) if stream is not None]
    graphs.take_turns([run("a", 3), run("b", 1)], streams)
    assert launched == [("a", streams[0]), ("b", streams[1]), ("a", streams[0]), ("a", streams[0])]
    assert torch.cuda.current_device() == 0


# draws


@pytest.mark.parametrize("scope", ["run", "paper"])
def test_flips_drawn_beforehand_are_those_of_the_cpu(two_gpus: Machine, scope: str) -> None:
    case = Case("", "mlp_l1_w8", "exact", flips=True, noise_scope=scope)
    gpu, cpu = trained(case, FIRST, epochs=2), trained(case, CPU, epochs=2)
    assert [one.traces for one in gpu] == [one.traces for one in cpu]
    assert largest_difference(gpu, cpu) < 1e-5


def test_dropout_does_not_change_the_flips_of_a_gpu(two_gpus: Machine) -> None:
    plain, dropping = (
        trained(Case("", model, "exact", flips=True, noise_scope="paper"), FIRST)
        for model in ("mlp_l1_w8", "mlp_l1_w8_dropout")
    )
    assert [one.traces for one in dropping] == [one.traces for one in plain]


def test_streamed_images_train_as_resident_ones_do(two_gpus: Machine) -> None:
    streamed = trained(Case("", "mlp_l1_w8", "exact", streamed=True), FIRST)
    on_cpu = trained(Case("", "mlp_l1_w8", "exact", streamed=True), CPU)
    assert largest_difference(streamed, on_cpu) < 1e-5


def test_the_network_that_is_not_captured_is_left_alone(two_gpus: Machine) -> None:
    trainees, _ = start(Case("", "resnet10", "fast"), 2 * BATCH_SIZE, FIRST)
    fresh, _ = start(Case("", "resnet10", "exact"), 2 * BATCH_SIZE, FIRST)
    assert largest_difference(trainees, fresh) == 0
    assert not trainees[0].optimizer.state
