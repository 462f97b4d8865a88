"""The simulated GPUs refuse what CUDA refuses, count what the host does, and go without a trace."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from conftest import ROOT
from simulated_device import Machine, StreamRaceError, counted, simulated_gpus
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("two_gpus")


def captured(step: Callable[[], object], stream: torch.cuda.Stream | None = None) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph


@pytest.fixture
def there() -> Tensor:
    return torch.ones(4, device="cuda")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda x: x + torch.ones(4), r"same device, but found cpu and cuda:0"),
        (lambda x: x.add_(torch.ones(4, device="cuda:1")), r"same device, but found cuda:0 and cuda:1"),
        (lambda x: torch.cat([x, torch.ones(4)]), r"same device, but found cpu and cuda:0"),
        (lambda x: x.normal_(generator=torch.Generator()), r"Expected a 'cuda:0' generator device but found 'cpu'"),
        (lambda x: x.normal_(generator=torch.Generator("cuda:1")), r"Expected a 'cuda:0' generator .* 'cuda:1'"),
        (lambda _: torch.rand(4, generator=torch.Generator("cuda")), r"Expected a 'cpu' generator .* 'cuda:0'"),
        (lambda _: torch.zeros(4, device="cuda:2"), r"invalid device ordinal"),
        (lambda _: torch.cuda.set_device(2), r"invalid device ordinal"),
        (lambda x: x.pin_memory(), r"cannot pin"),
    ],
)
def test_what_cuda_refuses_raises(there: Tensor, fault: Callable[[Tensor], object], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        fault(there)


@pytest.mark.parametrize("read", [lambda x: x.numpy(), lambda x: __import__("numpy").asarray(x)])
def test_numpy_of_a_device_tensor_raises(there: Tensor, read: Callable[[Tensor], object]) -> None:
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu"):
        read(there)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda x: x.sum().item(), "capturing: _local_scalar_dense"),
        (lambda x: bool(x.any()), "capturing: _local_scalar_dense"),
        (lambda x: x[x > 0], "capturing: index by a mask"),
        (lambda x: x.nonzero(), "capturing: nonzero"),
        (lambda x: x.cpu(), "capturing: copy to the host"),
        (lambda x: x.copy_(torch.ones(4)), "capturing: copy to the device"),
        (lambda _: torch.tensor(1.0, device="cuda"), "capturing: copy to the device"),
        (lambda x: x[torch.tensor([0])], "capturing: copy of an index to the device"),
        (lambda x: x + torch.ones(4), "same device, but found cpu and cuda:0"),
        (lambda x: x.numpy(), "Use Tensor.cpu"),
        (lambda x: x.normal_(generator=torch.Generator()), "'cuda:0' generator device but found 'cpu'"),
        (lambda x: x.normal_(generator=torch.Generator("cuda")), "CUDA generator not in capture mode"),
        (lambda _: torch.cuda.synchronize(), "capturing: synchronize"),
        (lambda _: torch.cuda.current_stream().synchronize(), "capturing: a stream"),
        (lambda x: captured(lambda: x.add_(1)), "capturing"),
    ],
)
def test_a_fault_in_a_captured_step_raises(there: Tensor, fault: Callable[[Tensor], object], message: str) -> None:
    with pytest.raises((RuntimeError, TypeError), match=message):
        captured(lambda: fault(there))
    assert captured(lambda: there.add_(1)).num_kernels == 1, "the next capture works"


def test_a_capture_that_goes_on_after_a_fault_fails_at_its_end(there: Tensor) -> None:
    def step() -> None:
        with suppress(RuntimeError):
            there.add_(1).sum().item()

    with pytest.raises(RuntimeError, match="previous error during capture"):
        captured(step)


def test_a_capture_runs_nothing_and_a_replay_runs_it_with_the_numbers_of_the_capture(there: Tensor) -> None:
    lr, results = torch.tensor(2.0), []
    graph = captured(lambda: results.append(there.mul_(lr).mul_(3.0) + 1))
    assert there.tolist() == [1.0] * 4
    assert results[0].isnan().all(), "what a graph makes has no values before the first replay"
    lr.fill_(100.0)
    graph.replay()
    assert there.tolist() == [6.0] * 4
    assert results[0].tolist() == [7.0] * 4
    graph.replay()
    assert there.tolist() == [36.0] * 4


def test_a_graph_draws_anew_at_each_replay_and_a_capture_draws_nothing() -> None:
    drop, x, kept = nn.Dropout(), torch.ones(64, device="cuda"), []
    before = torch.cuda.get_rng_state()
    graph = captured(lambda: kept.append(drop(x)))
    assert torch.equal(before, torch.cuda.get_rng_state())
    graph.replay()
    first = kept[0].clone()
    graph.replay()
    assert not torch.equal(first, kept[0])


def test_running_statistics_change_at_a_replay_alone() -> None:
    norm, x = nn.BatchNorm1d(2).to("cuda"), torch.ones(8, 2, device="cuda")
    graph = captured(lambda: norm(x))
    assert norm.running_mean.tolist() == [0.0, 0.0]
    graph.replay()
    assert norm.running_mean.tolist() == pytest.approx([0.1, 0.1])


def test_a_pinned_buffer_is_read_at_each_replay(there: Tensor) -> None:
    host = torch.ones(4).pin_memory()
    graph = captured(lambda: there.copy_(host, non_blocking=True))
    host.fill_(7.0)
    graph.replay()
    assert there.tolist() == [7.0] * 4


def test_a_replay_on_freed_memory_raises() -> None:
    buffer = torch.ones(4, device="cuda")
    graph = captured(lambda: buffer.add_(1))
    buffer = buffer.clone()
    with pytest.raises(RuntimeError, match="memory of a graph was freed"):
        graph.replay()
    assert buffer.tolist() == [1.0] * 4


@pytest.mark.parametrize("chosen", [True, False])
def test_a_capture_for_another_card_than_its_stream_s_is_empty(chosen: bool) -> None:
    captured(lambda: torch.ones(1, device="cuda").add_(1))  # makes PyTorch's stream for captures, on cuda:0
    weights = torch.ones(2, device="cuda:1")
    if chosen:
        torch.cuda.set_device(1)
    with pytest.warns(UserWarning, match="captured on wrong device or stream"):
        graph = captured(lambda: weights.mul_(2))
    graph.replay()
    assert weights.tolist() == [2.0, 2.0], "done once, by the capture"


def test_a_capture_on_a_stream_of_its_card_holds_its_kernels() -> None:
    weights = torch.ones(2, device="cuda:1")
    graph = captured(lambda: weights.mul_(2), torch.cuda.Stream("cuda:1"))
    assert torch.cuda.current_device() == 0
    graph.replay()
    graph.replay()
    assert weights.tolist() == [4.0, 4.0]


def test_forked_streams_are_part_of_a_capture_and_must_be_joined(there: Tensor) -> None:
    other, aside = torch.ones(2, device="cuda"), torch.cuda.Stream()

    def step(fork: bool = True, join: bool = True) -> None:
        main = torch.cuda.current_stream()
        if fork:
            aside.wait_stream(main)
        there.add_(1)
        with torch.cuda.stream(aside):
            other.add_(1)
        if join:
            main.wait_stream(aside)

    graph = captured(step)
    assert graph.num_kernels == 2
    graph.replay()
    assert there.tolist() == [2.0] * 4
    assert other.tolist() == [2.0] * 2
    with pytest.raises(RuntimeError, match="unjoined work"):
        captured(lambda: step(join=False))
    with pytest.raises(RuntimeError, match="uncaptured work"):
        captured(lambda: step(fork=False))


def on(stream: torch.cuda.Stream, step: Callable[[], object]) -> None:
    with torch.cuda.stream(stream):
        step()


@pytest.mark.parametrize(
    "pair",
    [
        (lambda x: x.add_(1), lambda x: x + 1),
        (lambda x: x + 1, lambda x: x.add_(1)),
        (lambda x: x.add_(1), lambda x: x[:2].zero_()),
    ],
    ids=["read of what is written", "write of what is read", "two writes"],
)
@pytest.mark.parametrize("capturing", [False, True])
def test_kernels_of_two_streams_that_use_the_same_memory_must_be_ordered(
    there: Tensor, pair: tuple[Callable[[Tensor], object], Callable[[Tensor], object]], capturing: bool
) -> None:
    aside = torch.cuda.Stream()

    def step(ordered: bool) -> None:
        main = torch.cuda.current_stream()
        aside.wait_stream(main)
        pair[0](there)
        if ordered:
            aside.wait_event(main.record_event())
        on(aside, lambda: pair[1](there))
        main.wait_stream(aside)

    run = captured if capturing else lambda call: call()
    run(lambda: step(True))
    with pytest.raises(StreamRaceError, match="what another stream"):
        run(lambda: step(False))


def test_streams_may_read_together_and_go_on_after_the_host_has_waited(there: Tensor) -> None:
    torch.cuda.synchronize()
    first, second = torch.cuda.Stream(), torch.cuda.Stream()
    for stream in (first, second):
        on(stream, lambda: there + 1)
    with pytest.raises(StreamRaceError, match="writes what another stream reads"):
        there.add_(1)
    torch.cuda.synchronize()
    there.add_(1)


def test_a_replay_is_ordered_with_the_streams_that_use_its_memory(there: Tensor) -> None:
    results: list[Tensor] = []
    graph = captured(lambda: results.append(there.add_(1) + 1))
    aside = torch.cuda.Stream()
    graph.replay()
    with pytest.raises(StreamRaceError, match="uses what another stream writes"):
        on(aside, lambda: results[0] + 1)
    aside.wait_stream(torch.cuda.current_stream())
    on(aside, lambda: results[0] + 1)
    with pytest.raises(StreamRaceError, match="a graph writes what another stream reads"):
        graph.replay()


def test_graphs_on_two_streams_may_read_the_same_memory(there: Tensor) -> None:
    results: list[Tensor] = []
    graphs = [captured(lambda: results.append(there + 1)) for _ in range(2)]
    torch.cuda.synchronize()
    for graph in graphs:
        on(torch.cuda.Stream(), graph.replay)
    with pytest.raises(StreamRaceError):
        there.add_(1)


def test_each_card_has_a_generator_of_its_own() -> None:
    torch.manual_seed(3)
    first, second = (torch.rand(3, device=f"cuda:{i}") for i in range(2))
    assert first.tolist() == second.tolist(), "both were seeded"
    assert torch.rand(3, device="cuda:1").tolist() != second.tolist()
    host = torch.get_rng_state()
    torch.rand(3, device="cuda")
    assert torch.equal(host, torch.get_rng_state())
    with torch.random.fork_rng(devices=[0]):
        inside = torch.rand(3, device="cuda").tolist()
    assert torch.rand(3, device="cuda").tolist() == inside


def test_waits_launches_and_copies_are_counted_with_the_lines_that_cause_them(there: Tensor) -> None:
    with counted() as counts:
        there.add_(1).mul_(2)
        there.view(2, 2)
        there[0] = 3.0
        there.sum().item()
        there.copy_(torch.ones(4))
        there.copy_(torch.ones(4).pin_memory(), non_blocking=True)
        graph = captured(lambda: there.add_(1).mul_(2))
        graph.replay()
    assert (counts.launches, counts.replays, counts.graph_kernels) == (5, 1, 2)
    assert counts.kernels == {"add_": 1, "mul_": 1, "fill_": 1, "sum": 1}
    assert (counts.waits, counts.copies) == (3, 2)
    assert sorted(place.partition(" ")[2] for place in counts.wait_places) == [
        "_local_scalar_dense",
        "copy to the device",
        "synchronize before a capture",
    ]
    assert all(place.startswith("tests/test_simulated_device.py:") for place in counts.wait_places)


def test_a_module_s_parameters_stay_the_same_objects_when_they_move() -> None:
    layer = nn.Linear(3, 2)
    weight = layer.weight
    assert layer.cuda().to("cuda").weight is weight
    assert weight.device == torch.device("cuda", 0)
    assert isinstance(weight, nn.Parameter)
    assert copy.deepcopy(layer).weight.device == weight.device
    assert pickle.loads(pickle.dumps(weight)).device == weight.device


@pytest.mark.parametrize("fused", [True, False])
def test_training_is_that_of_the_cpu(fused: bool) -> None:
    def trained(device: str) -> Tensor:
        torch.manual_seed(0)
        layer, images = nn.Linear(3, 2), torch.randn(8, 3)
        layer.to(device)
        optimizer = torch.optim.Adam(layer.parameters(), fused=fused)
        for _ in range(3):
            optimizer.zero_grad()
            layer(images.to(device)).square().mean().backward()
            nn.utils.clip_grad_norm_(layer.parameters(), 0.1)
            optimizer.step()
        return layer.weight.detach().cpu()

    assert torch.equal(trained("cpu"), trained("cuda:1"))


def test_products_are_rounded_to_tf32_where_it_is_allowed_and_a_graph_keeps_what_was_allowed() -> None:
    factor = torch.full((1, 1), 1 + 2**-12, device="cuda")
    product, results = lambda: results.append(factor @ factor), []
    exact = (1 + 2**-12) ** 2
    graph = captured(product)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        product()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    graph.replay()
    assert [x.item() for x in results] == [pytest.approx(exact, abs=1e-7), 1.0]


def test_determinism_is_refused_where_cuda_has_none(two_gpus: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    x = torch.ones(2, 2, device="cuda")
    x @ x
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # too late
    images = torch.ones(1, 1, 15, 15, device="cuda", requires_grad=True)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match="CUBLAS_WORKSPACE_CONFIG"):
            x @ x
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
            nn.functional.adaptive_avg_pool2d(images, 5).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


def test_memory_is_counted_until_the_last_view_is_gone() -> None:
    before = torch.cuda.memory_allocated(1)
    rows = torch.zeros(1024, device="cuda:1")[:2]
    assert torch.cuda.memory_allocated(1) - before == 4096
    del rows
    assert torch.cuda.memory_allocated(1) == before
    assert torch.cuda.max_memory_allocated(1) == before + 4096
    torch.cuda.reset_peak_memory_stats(1)
    assert torch.cuda.max_memory_allocated(1) == before


def test_a_small_card_is_soon_full_and_an_old_one_has_no_kernels() -> None:
    with simulated_gpus(1, memory_gb=1e-3):
        assert torch.cuda.device_count() == 1
        with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
            torch.zeros(2**19, device="cuda")
    with simulated_gpus(1, capability=(6, 1)), pytest.raises(RuntimeError, match="no kernel image"):
        torch.zeros(1, device="cuda")
    assert torch.rand(2, device="cuda:1", generator=torch.cuda.default_generators[1]).device.index == 1


def test_threads_see_the_gpus_too() -> None:
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(torch.ones(2, device="cuda:1") + 1))
    thread.start()
    thread.join()
    assert found[0].tolist() == [2.0, 2.0]


def test_a_process_started_by_a_test_has_gpus_too() -> None:
    code = "import torch; print(torch.cuda.device_count(), (torch.ones(2, device='cuda:1') + 1).tolist())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (ran.stdout, ran.stderr) == ("2 [2.0, 2.0]\n", "")


def test_afterwards_pytorch_is_as_before() -> None:
    code = """
import threading, torch
from types import ModuleType
from simulated_device import simulated_gpus
import torch._dynamo  # which replaces torch.manual_seed
owners = torch, torch.cuda, torch.Tensor, torch.amp, torch.accelerator, torch.optim.Optimizer, threading.Thread
before = [dict(vars(owner)) for owner in owners]
with simulated_gpus():
    torch.ones(2, device="cuda")
    assert vars(torch.cuda)["is_available"] is not before[1]["is_available"]
for owner, attributes in zip(owners, before):
    changed = {name for name, value in attributes.items() if vars(owner).get(name) is not value}
    new = vars(owner).keys() - attributes.keys()
    added = {name for name in new if not isinstance(vars(owner)[name], ModuleType)}
    assert not changed | added, (owner, changed, added)
assert type(torch.nn.Linear(2, 2).double().weight) is torch.nn.Parameter
print("done")
"""
    environment = {name: value for name, value in os.environ.items() if name != "SIMULATED_GPUS"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert ran.stderr == ""
    assert ran.stdout == "done\n"
