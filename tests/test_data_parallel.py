"""Several processes that share every batch train the networks that one process trains; none outlives the command."""

import pickle
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from conftest import HAS_GPU, runs_of_kind
from mlflow import MlflowClient
from test_kill_resume import killed_after, statuses, training, wait_for_epoch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from entry_points.train_pair import main as train_pair
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.data.pixels import ArraySource, BandSource
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.streaming import ScaledSource, StreamedImages
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.training.engines.data_parallel import group, workers
from lmc_mlflow.training.engines.data_parallel.engine import data_parallel, why_not_data_parallel
from lmc_mlflow.training.engines.data_parallel.group import Group, joined, pack_trainees, unpack_trainees
from lmc_mlflow.training.engines.data_parallel.layers import shared_copy
from lmc_mlflow.training.engines.data_parallel.replica import Replica, train_replicas
from lmc_mlflow.training.engines.data_parallel.shares import Share
from lmc_mlflow.training.engines.exact import ExactTraining
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee
from lmc_mlflow.workflows.pair.recorder import Recorder

CPU = torch.device("cpu")
MAKER = torch.Generator().manual_seed(5)
IMAGES = torch.randn(64, 1, 8, 8, generator=MAKER, dtype=torch.float64)
LABELS = torch.arange(64) % 5
CONFIG = OptimizationConfig(epochs=2, batch_size=15, lr=0.05, clip_norm=0.5, schedule="cosine", warmup_epochs=0.5)
"""Batches of 15 are 8 and 7 images; the last of 64 images holds 4, that of 61 a single one: none for the second."""
FLAGS = ["--model=mlp_l1_w16", "--optimizer=sgd", "--lr=0.1", "--threads=1", "--c2st_samples=0", "--batch_size=101"]
OPTIMIZERS = {
    "adam": {},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
}


def trainee(
    name: str, model: str, optimizer: dict, num_images: int = 64, scope: str = "run", num_labels: int = 1
) -> Trainee:
    """One network in float64."""
    network = build_network(NetworkSpec(model, 1, 8, 8, 5, output=OUTPUTS[num_labels]), seed=1).double()
    made = make_optimizer(network.parameters(), OptimizationConfig(**optimizer))
    noise = noise_stream(NoiseConfig(noise="different", noise_scope=scope), 1, "B", CPU, 0 if scope == "paper" else 2)
    labels = LABELS if num_labels == 1 else torch.stack([LABELS % 2, LABELS // 2 % 2, *[LABELS // 4] * 3], dim=1)
    return Trainee(name, network, made, noise, ResidentImages(IMAGES[:num_images]), labels[:num_images])


OUTPUTS = {1: "log_probabilities", 2: "logits"}


def trainees() -> list[Trainee]:
    """Every optimizer, kind of layer, kind of labels and scope of the noise, and a last batch of one image."""
    return [
        *(trainee(name, "mlp_l1_w9", options, num_images=61) for name, options in OPTIMIZERS.items()),
        *(trainee(f"{name}_bn", "mlp_l2_w9_8_bn_dropout", options) for name, options in OPTIMIZERS.items()),
        trainee("resnet", "resnet10", OPTIMIZERS["momentum"]),
        trainee("paper", "mlp_l1_w9_bn_dropout", OPTIMIZERS["adam"], scope="paper"),
        trainee("labels", "mlp_l1_w9", OPTIMIZERS["adam"], num_labels=2),
        streamed(trainee("streamed", "mlp_l1_w9", OPTIMIZERS["momentum"])),
    ]


def streamed(one: Trainee) -> Trainee:
    """The same in float32, and its images are read batch by batch."""
    one.network.float()
    unchanged = Scaling(1.0, (0.0,), (1.0,))
    one.images = StreamedImages((ScaledSource(ArraySource(IMAGES.float().numpy()), unchanged),), CPU)
    return one


def workers_alive() -> list[psutil.Process]:
    """Processes of this one that train and have not ended."""
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if workers.WORKER_MODULE in child.cmdline()]


def largest_difference(first: Trainee, second: Trainee) -> float:
    pairs = zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True)
    return max((p.double() - q.double()).abs().max().item() for p, q in pairs)


def test_a_batch_is_divided_evenly_and_completely() -> None:
    assert [Share(rank, 3).of(8) for rank in range(3)] == [slice(0, 3), slice(3, 6), slice(6, 8)]
    assert [Share(rank, 3).of(1) for rank in range(3)] == [slice(0, 1), slice(1, 1), slice(1, 1)]
    images, order = ResidentImages(torch.arange(7.0).view(7, 1, 1, 1)), torch.tensor([6, 5, 4, 3, 2, 1, 0])
    seen = [[part.flatten().tolist() for part in Share(rank, 2).images(images, order, 3)] for rank in range(2)]
    assert seen == [[[6, 5], [3, 2], [0]], [[4], [1], []]]


def test_two_processes_train_what_one_trains() -> None:
    one, two = trainees(), trainees()
    exact = ExactTraining(one, CONFIG, True)
    expected = [exact.train_epoch(epoch) for epoch in (1, 2)]
    with data_parallel(two, CONFIG, True, (CPU, CPU)) as shared:
        found = [shared.train_epoch(epoch) for epoch in (1, 2)]
        assert len(workers_alive()) == 1
    assert not workers_alive()
    for mine, theirs in zip(two, one, strict=True):
        assert largest_difference(mine, theirs) < (1e-6 if mine.side == "streamed" else 1e-9), mine.side
        assert mine.traces == theirs.traces
        assert mine.train_seconds > 0
    for mine, theirs in zip(found, expected, strict=True):
        assert np.array(mine) == pytest.approx(np.array(theirs), abs=1e-6)  # losses of several labels are float32


def test_bfloat16_is_the_exact_engine_s_up_to_rounding(tmp_path: Path) -> None:
    config = OptimizationConfig(epochs=1, batch_size=15, optimizer="sgd", lr=0.05, precision="bfloat16")
    one, two = (trainee("A", "mlp_l2_w9_8_bn_dropout", OPTIMIZERS["momentum"]) for _ in range(2))
    for t in (one, two):
        t.network.float()
        t.images = ResidentImages(IMAGES.float())
    (expected,) = ExactTraining([one], config, True).train_epoch(1)
    hook = sys.excepthook
    with joined(Group((CPU,), tmp_path, 1, False), 0):
        (tally,) = train_replicas([Replica.of(two, 0, 1)], config, True, 1)
    assert sys.excepthook is hook
    assert tally.scores() == pytest.approx(expected, rel=0.02)
    assert 0 < largest_difference(one, two) < 0.02


class Refusing(nn.Module):
    """Fails in every process but the first."""

    def forward(self, x: Tensor) -> Tensor:
        assert not sys.argv[0].endswith("worker.py"), "planted"
        return x


def test_a_process_that_fails_is_named_with_its_error() -> None:
    one = trainee("A", "mlp_l1_w9", {})
    assert isinstance(one.network, nn.Sequential)
    one.network.append(Refusing())
    message = r"the process of cpu \(rank 1\) has failed \(AssertionError: planted\); the same command resumes"
    with pytest.raises(ChildProcessError, match=message), data_parallel([one], CONFIG, False, (CPU, CPU)) as shared:
        shared.train_epoch(1)
    assert not workers_alive()


def stop_after(epoch: int, patch: pytest.MonkeyPatch, stop: Callable[[], None]) -> None:
    """Call `stop` when an epoch has been logged."""
    original = Recorder.on_epoch

    def on_epoch(self: Recorder, number: int, reports: list) -> None:
        original(self, number, reports)
        if number == epoch:
            stop()

    patch.setattr(Recorder, "on_epoch", on_epoch)


def kill_a_process() -> None:
    for process in workers_alive():
        process.kill()


@pytest.mark.slow
def test_a_killed_process_ends_the_command_in_one_line_and_another_number_of_devices_resumes(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*FLAGS, "--epochs=3", "--checkpoint_every=1", "--seeds=1,2"]
    with monkeypatch.context() as patch:
        stop_after(2, patch, kill_a_process)
        assert train_pair([*flags, "--devices=cpu,cpu"]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line == (
        "train_pair: the process of cpu (rank 1) was killed (SIGKILL); the same command resumes from the last progress "
        "that was saved"
    )
    assert not workers_alive()
    assert statuses(store) == ["FAILED"] * 6
    begun = runs_of_kind(store, "pair")
    assert begun[0].data.tags["lmc.error"] in line
    assert train_pair([*flags, "--device=cpu"]) == 0
    assert train_pair([*flags, "--devices=cpu,cpu", "--force=true"]) == 0
    assert statuses(store) == ["FINISHED"] * 12
    pairs = runs_of_kind(store, "pair")
    resumed, whole = pairs[:2], pairs[2:]
    assert [run.info.run_id for run in resumed] == [run.info.run_id for run in begun]
    assert resumed[0].data.params["data_parallel.devices"] == "cpu,cpu"
    tags = ("lmc.engine", "lmc.num_devices", "lmc.seed")
    assert [[run.data.tags[tag] for tag in tags] for run in pairs] == [
        ["exact", "1", "1"],
        ["exact", "1", "2"],
        ["data_parallel", "2", "1"],
        ["data_parallel", "2", "2"],
    ]
    assert resumed[0].data.tags["lmc.fingerprint"] == whole[0].data.tags["lmc.fingerprint"]
    states = [load_network(store, run.info.run_id).state for run in runs_of_kind(store, "endpoint")]
    for mine, theirs in zip(states[:4], states[4:], strict=True):
        for name, value in mine.items():
            assert torch.allclose(value, theirs[name], atol=1e-5), name


@pytest.mark.slow
def test_a_process_that_stands_still_ends_the_training_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "PATIENCE", timedelta(seconds=8))
    monkeypatch.setattr(workers, "GRACE_SECONDS", 0.1)
    message = "a process of cpu did not answer for 10 minutes; the same command resumes"
    one = trainee("A", "mlp_l1_w9", {})
    with pytest.raises(ChildProcessError, match=message):
        train_beside_a_stopped_process(one)
    assert not workers_alive()


def train_beside_a_stopped_process(one: Trainee) -> None:
    with data_parallel([one], CONFIG, False, (CPU, CPU)) as shared:
        shared.train_epoch(1)
        (process,) = workers_alive()
        process.suspend()
        shared.train_epoch(2)


@pytest.mark.slow
def test_nothing_is_left_of_a_killed_command_and_the_same_command_resumes_it(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    flags = [*FLAGS, "--epochs=300", "--checkpoint_every=1", "--devices=cpu,cpu"]
    with training(flags) as process:
        wait_for_epoch(store, process, 2)
        others = psutil.Process(process.pid).children(recursive=True)
        assert len(list(temporary.rglob("store"))) == 1
        process.send_signal(signal.SIGKILL)
        process.communicate()
    _, alive = psutil.wait_procs(others, timeout=20)
    assert others
    assert not alive
    assert not list(temporary.rglob("store"))
    before = {run.info.run_id for run in runs_of_kind(store, "pair")}
    status, said = killed_after(store, flags, 5, signal.SIGTERM)
    assert (status, said.strip().splitlines()[-1]) == (130, "train_pair: stopped; give the same command again to go on")
    assert {run.info.run_id for run in runs_of_kind(store, "pair")} == before
    assert statuses(store) == ["KILLED"] * 3


def test_a_network_on_one_device_is_trained_by_the_plain_loop(store: MlflowClient) -> None:
    assert train_pair([*FLAGS, "--epochs=1", "--devices=cpu"]) == 0
    tags = runs_of_kind(store, "pair")[0].data.tags
    assert (tags["lmc.engine"], tags["lmc.num_devices"]) == ("exact", "1")


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--engine=fast", "devices=cpu,cpu: engine=fast trains on one device; leave it out"),
        ("--device=cpu", "give either device=cpu or devices=cpu,cpu"),
        ("--batch_size=1", "a batch of 1 has fewer images than there are devices; name fewer"),
    ],
)
def test_what_several_devices_cannot_do_is_refused_in_one_line(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], flag: str, line: str
) -> None:
    assert train_pair(["--model=mlp_l1_w16", "--epochs=1", "--c2st_samples=0", "--devices=cpu,cpu", flag]) == 1
    assert capsys.readouterr().err.strip().endswith(line)
    assert not runs_of_kind(store, "pair")


class NamesItsRate(nn.Module):
    """Dropout by a layer whose rate is an attribute too."""

    def __init__(self) -> None:
        super().__init__()
        self.drop_rate = 0.3
        self.layer = nn.Dropout(0.3)


@pytest.mark.parametrize(
    ("layer", "devices", "reason"),
    [
        (nn.AlphaDropout(), "cpu cpu", "AlphaDropout draws for the images of one device alone"),
        (StochasticDepth(0.1, "row"), "cpu cpu", "StochasticDepth draws for the images of one device alone"),
        (nn.MultiheadAttention(4, 2, dropout=0.1), "cpu cpu", "MultiheadAttention draws for the images of one device"),
        (nn.MultiheadAttention(4, 2), "cpu cpu", None),
        (NamesItsRate(), "cpu cpu", None),
        (nn.SyncBatchNorm(3), "cpu cpu", "SyncBatchNorm takes statistics of the images of one device alone"),
        (nn.ReLU(), "cuda:0 cpu", "GPUs and CPUs do not share a batch"),
        (nn.ReLU(), "cuda:0 cuda", "a GPU holds one process of a training"),
        (nn.ReLU(), "cuda:0 cuda:1", None),
    ],
)
def test_devices_and_networks_that_cannot_share_a_batch_are_told(
    layer: nn.Module, devices: str, reason: str | None
) -> None:
    one = trainee("A", "mlp_l1_w9", {})
    assert isinstance(one.network, nn.Sequential)
    one.network.append(layer)
    found = why_not_data_parallel([one], CONFIG, [torch.device(name) for name in devices.split()])
    assert found is None if reason is None else reason in str(found)


def test_a_store_of_patches_travels_to_another_process_without_its_pixels() -> None:
    source = BandSource(None, np.arange(3), ("B02",))  # type: ignore[arg-type]
    vars(source)["_mapped"] = [np.zeros(1_000_000)]
    assert len(pickle.dumps(source)) < 1000
    assert pickle.loads(pickle.dumps(source)).bands == ("B02",)


@pytest.mark.gpu
def test_a_trainee_that_another_process_gets_lies_on_the_gpu_of_that_process() -> None:
    sent = trainee("A", "mlp_l1_w9_bn", OPTIMIZERS["adam"])
    ExactTraining([sent], CONFIG, True).train_epoch(1)
    gpu = torch.device("cuda:0")
    (got,) = unpack_trainees(pack_trainees([sent]), gpu)
    weight = got.network.get_parameter("linear1.weight")
    assert {t.device for t in (weight, got.network.get_buffer("norm1.running_mean"), got.labels)} == {gpu}
    assert next(got.images.batches(None, 100)).device == gpu
    assert got.optimizer.param_groups[0]["params"][0] is weight
    assert got.optimizer.state[weight]["exp_avg"].device == gpu
    assert got.optimizer.state[weight]["step"].device == CPU  # on a GPU each step would wait for it
    assert torch.equal(weight.cpu(), sent.network.get_parameter("linear1.weight"))
    assert not got.traces


@pytest.mark.gpu
def test_batch_norm_on_gpus_is_pytorch_s_own_and_has_the_network_s_tensors() -> None:
    network = trainee("A", "mlp_l1_w9_bn_dropout", {}).network.to("cuda:0")
    copied = shared_copy(network, Share(1, 2))
    assert isinstance(copied.get_submodule("norm1"), nn.SyncBatchNorm)
    for name, tensor in network.state_dict(keep_vars=True).items():
        assert copied.state_dict(keep_vars=True)[name] is tensor
    assert isinstance(network.get_submodule("norm1"), nn.BatchNorm1d)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="NCCL needs a GPU")
def test_a_group_of_one_gpu_trains_what_the_exact_engine_trains(tmp_path: Path) -> None:
    gpu = torch.device("cuda:0")
    one, two = ([moved(t, gpu) for t in trainees()] for _ in range(2))
    expected = ExactTraining(one, CONFIG, True).train_epoch(1)
    with joined(Group((gpu,), tmp_path, 1, False), 0):
        found = train_replicas([Replica.of(t, 0, 1) for t in two], CONFIG, True, 1)
    for mine, theirs in zip(two, one, strict=True):
        assert largest_difference(mine, theirs) < 1e-5, mine.side
    assert np.array([t.scores() for t in found]) == pytest.approx(np.array(expected), abs=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_what_one_trains() -> None:
    devices = torch.device("cuda:0"), torch.device("cuda:1")
    one, two = ([moved(t, devices[0]) for t in trainees() if "paper" not in t.side] for _ in range(2))
    exact = ExactTraining(one, CONFIG, True)
    expected = [exact.train_epoch(epoch) for epoch in (1, 2)]
    with data_parallel(two, CONFIG, True, devices) as shared:
        found = [shared.train_epoch(epoch) for epoch in (1, 2)]
    for mine, theirs in zip(two, one, strict=True):
        assert mine.traces == theirs.traces
        if "bn" not in mine.side:  # the masks of dropout may differ from one process's on a GPU
            assert largest_difference(mine, theirs) < 1e-6, mine.side
    for mine, theirs in zip(found, expected, strict=True):
        assert np.array(mine) == pytest.approx(np.array(theirs), abs=0.05)


def moved(one: Trainee, device: torch.device) -> Trainee:
    one.network.to(device)
    one.noise, one.labels = one.noise.on(device), one.labels.to(device)
    one.images = ResidentImages(IMAGES[: len(one.labels)].to(device, next(one.network.parameters()).dtype))
    return one
