"""A device is tried before it is used, what it cannot do is said in one line, and its memory is a run's own."""

import os
import subprocess
import sys
import warnings
from mmap import mmap
from typing import ClassVar

import pytest
import torch
from conftest import QUICK, ROOT
from mlflow import MlflowClient
from simulated_device import simulated_gpus

from entry_points import train_pair as entry_point
from entry_points.train_pair import main as train_pair
from lmc_mlflow import gpus
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.errors import first_line
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.precision import _roundings, products
from lmc_mlflow.seeds import CUBLAS_WORKSPACE, set_determinism
from lmc_mlflow.workflows.lifecycle.machine import peak_memory, prepare_machine

NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be"
TOO_OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver."
PRECISION_PROGRAM = """
import os, torch
from lmc_mlflow.precision import _operations, products
from lmc_mlflow.seeds import set_determinism

def now():
    return [operation.fp32_precision for operation in _operations()]

for setup in (
    "",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.allow_tf32 = False",
    "torch.set_float32_matmul_precision('high')",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.cudnn.fp32_precision = 'ieee'",
):
    if os.fork():
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0, setup
        continue
    exec(setup)
    before = now()
    for precision, expected in (("tf32", "tf32"), ("float32", "ieee")):
        with products(precision):
            assert set(now()) == {expected}
    assert now() == before
    set_determinism(False)
    assert set(now()) == {"ieee"}
    os._exit(0)
"""


def machine_with(patch: pytest.MonkeyPatch, *faults: str, warning: str = "") -> list[int]:
    """Pretend that there is a GPU for each fault, with which it fails ("": none); return those that are tried."""
    plain, tried = torch.ones, []

    def ones(*size: int, device: torch.device | None = None, **options: object) -> torch.Tensor:
        if device is not None and device.type == "cuda":
            tried.append(device.index)
            if faults[device.index]:
                raise RuntimeError(faults[device.index])
        return plain(*size, **options)

    def available() -> bool:
        if warning:
            warnings.warn(warning, stacklevel=1)
        return bool(faults)

    patch.setattr(torch, "ones", ones)
    patch.setattr(torch.cuda, "device_count", lambda: len(faults))
    patch.setattr(torch.cuda, "is_available", available)
    patch.setattr(torch.cuda, "init", lambda: None)
    patch.setattr(torch.cuda, "set_device", lambda _: None)
    patch.setattr(torch.cuda, "current_device", lambda: 0)
    patch.setattr(torch.cuda, "get_device_name", lambda _: "GTX 1080")
    patch.setattr(torch.cuda, "get_device_capability", lambda _: (6, 1))
    patch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    patch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_120"])
    return tried


def device(name: str = "auto") -> str:
    return str(prepare_machine(RuntimeConfig(device=name)))


def test_auto_takes_the_first_gpu_that_computes_and_tries_each_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = machine_with(monkeypatch, "", "")
    assert [device(), device()] == ["cuda:0", "cuda:0"]
    assert tried == [0]
    assert caplog.messages == []


def test_auto_falls_back_with_one_line_that_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine_with(monkeypatch, NO_KERNEL)
    assert [device(), device()] == ["cpu", "cpu"]
    assert caplog.messages == [
        "device=auto computes on the CPU: cuda:0 (GTX 1080, sm_61): CUDA error: no kernel image is available for "
        "execution on the device (this PyTorch has kernels for sm_75, sm_120)"
    ]


def test_auto_passes_over_a_card_without_kernels(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine_with(monkeypatch, NO_KERNEL, "")
    assert device() == "cuda:1"
    assert caplog.messages[0].startswith("device=auto computes on cuda:1: cuda:0 (GTX 1080, sm_61): CUDA error")


def test_what_pytorch_warns_of_is_part_of_the_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine_with(monkeypatch, warning=f"{TOO_OLD}\nmore")
    assert device() == "cpu"
    assert caplog.messages == [f"device=auto computes on the CPU: {TOO_OLD}"]


def test_without_a_gpu_nothing_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    machine_with(monkeypatch)
    assert device() == "cpu"
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("name", "faults", "reason"),
    [
        (
            "cuda",
            [NO_KERNEL],
            r"device='cuda': cuda:0 \(GTX 1080, sm_61\): CUDA error: no kernel .*; choose cpu or auto",
        ),
        ("cuda:1", ["", NO_KERNEL], r"device='cuda:1': cuda:1 \(GTX 1080, sm_61\): CUDA error: no kernel"),
        ("cuda:1", [""], "device='cuda:1': this machine has 1 CUDA device; choose cpu or auto"),
        ("cuda", [], "device='cuda': this machine has 0 CUDA devices; choose cpu or auto"),
    ],
)
def test_a_named_device_that_cannot_compute_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, faults: list[str], reason: str
) -> None:
    machine_with(monkeypatch, *faults)
    with pytest.raises(ValueError, match=reason):
        device(name)


def test_a_command_says_once_why_it_computes_on_the_cpu(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine_with(monkeypatch, NO_KERNEL)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # PyTorch's own code asks too
    assert train_pair([*QUICK, "--epochs=1", "--device=auto"]) == 0
    assert [message.partition(":")[0] for message in caplog.messages] == ["device=auto computes on the CPU"]


def test_gpus_are_tried_in_another_process_where_this_one_is_to_keep_no_memory_on_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = machine_with(monkeypatch, "", NO_KERNEL, "")
    answers = subprocess.CompletedProcess([], 0, stdout='["", "cuda:1: no kernel", ""]')
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answers)
    assert gpus.usable_gpus() == gpus.usable_gpus() == [0, 2]
    assert tried == []
    assert caplog.messages == ["2 of 3 GPUs compute; cuda:1: no kernel"]


def test_that_other_process_answers_with_one_fault_for_each_gpu() -> None:
    done = subprocess.run([sys.executable, "-m", gpus.__name__], capture_output=True, text=True, check=True, cwd=ROOT)
    assert len(done.stdout.strip("[]\n").split(",")) >= 1
    assert done.stderr == ""


NOT_DETERMINISTIC = (
    "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set "
    "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation, or ..."
)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            NOT_DETERMINISTIC,
            "deterministic=true: PyTorch has no deterministic adaptive_avg_pool2d_backward_cuda on this device; set "
            "deterministic=false",
        ),
        (
            "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or ...",
            "deterministic=true: set CUBLAS_WORKSPACE_CONFIG=:4096:8 before Python starts, or deterministic=false",
        ),
    ],
)
def test_what_has_no_deterministic_implementation_ends_any_command_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, line: str
) -> None:
    def work(_: object) -> list[str]:
        raise RuntimeError(words)

    assert first_line(RuntimeError(words)) == line
    monkeypatch.setattr(entry_point, "work", work)
    assert entry_point.run_command("train_pair", work, QUICK) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("train_pair: deterministic=true: ")
    assert "deterministic=false" in said or "deterministic false" in said


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    def work(_: object) -> list[str]:
        raise RuntimeError("index out of bounds")

    with pytest.raises(RuntimeError, match="out of bounds"):
        entry_point.run_command("train_pair", work, QUICK)


@pytest.mark.parametrize("deterministic", [True, False])
def test_cublas_is_told_to_repeat_before_its_first_product_whatever_is_asked_for_now(
    monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    name, value = CUBLAS_WORKSPACE
    monkeypatch.setenv(name, "")  # restored afterwards
    monkeypatch.delenv(name)
    set_determinism(deterministic)
    set_determinism(False)
    assert os.environ[name] == value


def test_a_process_that_has_used_the_gpu_before_is_refused_bit_equal_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS_WORKSPACE[0], "")
    monkeypatch.delenv(CUBLAS_WORKSPACE[0])
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    set_determinism(False)
    with pytest.raises(ValueError, match="set CUBLAS_WORKSPACE_CONFIG=:4096:8 before Python starts"):
        set_determinism(True)


def test_a_command_has_the_variable_as_it_starts() -> None:
    code = "import os, entry_points; print(os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    environment = {key: value for key, value in os.environ.items() if key != CUBLAS_WORKSPACE[0]}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert said.stdout.strip() == CUBLAS_WORKSPACE[1]


def test_the_peak_of_memory_is_that_of_the_work_since_the_machine_was_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = prepare_machine(RuntimeConfig(device="cpu"))
    with mmap(-1, 2**29) as earlier:  # not of the heap, which keeps what is freed
        earlier.write(bytes(2**29))
    high = peak_memory(cpu)["cost/peak_memory_gb"]
    assert high - peak_memory(prepare_machine(RuntimeConfig(device="cpu")))["cost/peak_memory_gb"] > 0.4
    machine_with(monkeypatch, "")
    peaks = [3 * 2**30]
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: peaks[-1])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: peaks.append(2**29))
    assert peak_memory(prepare_machine(RuntimeConfig(device="cuda")))["cost/peak_gpu_memory_gb"] == 0.5


def test_on_a_simulated_card_without_kernels_auto_computes_on_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    with simulated_gpus(1, capability=(6, 1)):
        assert device() == "cpu"
    assert caplog.messages[0].startswith("device=auto computes on the CPU: cuda:0 (simulated GPU 0, sm_61): CUDA error")


@pytest.mark.gpu
@pytest.mark.parametrize(("size", "refused"), [(40, False), (32, True)])
def test_vgg_like_has_a_deterministic_gradient_on_a_gpu_where_its_maps_divide(size: int, refused: bool) -> None:
    cuda = prepare_machine(RuntimeConfig(device="cuda", deterministic=True))
    try:
        network = build_network(NetworkSpec("vgg_like", 1, size, size, 3), seed=0).to(cuda)
        outputs = network(torch.rand(2, 1, size, size).to(cuda))
        if not refused:
            outputs.sum().backward()
            return
        with pytest.raises(RuntimeError) as caught:
            outputs.sum().backward()
        assert first_line(caught.value).endswith("on this device; set deterministic=false")
    finally:
        set_determinism(False)


class Watched(torch.nn.Flatten):
    """Notes how products are rounded while it runs."""

    seen: ClassVar[set[str]] = set()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Flatten."""
        self.seen.update(_roundings())
        return super().forward(input)


def test_networks_are_measured_in_float32_whatever_the_process_allows() -> None:
    network = torch.nn.Sequential(Watched(), torch.nn.Linear(4, 2), torch.nn.LogSoftmax(dim=1))
    images, labels = ResidentImages(torch.rand(6, 1, 2, 2)), torch.zeros(6, dtype=torch.int64)
    with products("tf32"):
        evaluate(network, images, labels)
        segment = Segment(network.state_dict(), network.state_dict())
        measure_path(network, segment, alpha_grid(3), {"test": (images, labels)}, "interpolate", engine="exact")
        assert set(_roundings()) == {"tf32"}
    assert Watched.seen == {"ieee"}


def test_products_round_as_asked_whatever_switch_the_user_has_set_before() -> None:
    command = [sys.executable, "-c", PRECISION_PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
