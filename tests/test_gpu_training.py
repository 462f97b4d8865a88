"""Training on a GPU is training on a CPU up to rounding: both engines, all precisions, with every kind of noise."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmc_mlflow.batches import Images, ResidentImages
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.data.pixels import ArraySource
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.data.streaming import ScaledSource, move_to_device
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.seeds import set_determinism
from lmc_mlflow.training import state as training_state
from lmc_mlflow.training.loop import EpochReport, train
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import make_optimizer
from lmc_mlflow.training.trainee import Trainee

pytestmark = pytest.mark.gpu
CPU = torch.device("cpu")
MLPS = ["mlp_l1_w9", "mlp_l2_w6_7_bn"]
CONVOLUTIONAL = ["resnet10", "vgg_like"]
BATCH = 16


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a real GPU repeat to the last bit too."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    set_determinism(True)
    yield
    set_determinism(False)


def pixels_of(model: str, num_images: int) -> ArraySource:
    shape = {"vgg_like": (3, 32, 32)}.get(model, (1, 8, 8))
    generator = np.random.default_rng(7)
    return ArraySource(generator.integers(0, 256, (num_images, *shape), dtype=np.uint8))


def pair(model: str, device: torch.device, sizes: tuple[int, int] = (36, 36), **options: object) -> list[Trainee]:
    """Make side A and side B; the last batch of an epoch is smaller."""
    noise = NoiseConfig(noise="different", noise_scope=options.pop("scope", "run"))
    memory_gb, translate = options.pop("memory_gb", 4.0), options.pop("translate", 0)
    if model == "vgg_like":  # larger images than those of the others
        sizes = (20, 20)
    trainees = []
    for side, size in zip("AB", sizes, strict=True):
        source = pixels_of(model, size)
        scaled = ScaledSource(source, Scaling(255.0, (0.5,) * source.shape[1], (0.25,) * source.shape[1]))
        images: Images = move_to_device((scaled,), device, memory_gb)
        network = build_network(NetworkSpec(model, *source.shape[1:], 5), seed=1).to(device)
        optimizer = make_optimizer(network.parameters(), config_of(**options))
        stream = noise_stream(noise, 1, side, device, translate)
        labels = (torch.arange(size) % 5).to(device)
        trainees.append(Trainee(side, network, optimizer, stream, images, labels))
    return trainees


def config_of(**options: object) -> OptimizationConfig:
    return OptimizationConfig(**{"epochs": 2, "batch_size": BATCH, "optimizer": "sgd", "lr": 0.05, **options})


def trained(
    model: str, device: str = "cuda", engine: str = "exact", flips: bool = True, first: int = 1, **options: object
) -> list[Trainee]:
    trainees = pair(model, torch.device(device), **options)
    options = {name: value for name, value in options.items() if name in OptimizationConfig.__dataclass_fields__}
    run_epochs(trainees, engine, flips, first, **options)
    return trainees


def run_epochs(trainees: list[Trainee], engine: str, flips: bool = True, first: int = 1, **options: object) -> None:
    one = trainees[0]
    images = next(iter(one.images.batches(None, 8)))
    used = train(trainees, (ResidentImages(images), one.labels[:8]), config_of(**options), flips, first, ignore, engine)
    assert used == engine


def ignore(epoch: int, reports: list[EpochReport]) -> None:
    pass


def states(trainees: list[Trainee]) -> list[dict[str, Tensor]]:
    return [{name: x.cpu() for name, x in trainee.network.state_dict().items()} for trainee in trainees]


def difference(first: list[Trainee], second: list[Trainee]) -> float:
    """Distance of two networks as a share of the norm of the second; the larger one of both sides."""
    vectors = [
        [torch.cat([x.double().flatten() for x in state.values()]) for state in states(t)] for t in (first, second)
    ]
    return max(float((a - b).norm() / b.norm()) for a, b in zip(*vectors, strict=True))


@pytest.mark.parametrize("engine", ["exact", "fast"])
@pytest.mark.parametrize("model", [*MLPS, *CONVOLUTIONAL])
def test_a_gpu_trains_as_a_cpu_up_to_rounding(model: str, engine: str) -> None:
    translate = 2 if model in MLPS else 0
    lr = 1e-3 if model == "vgg_like" else 0.05  # without batch norm it amplifies rounding
    ways = ("cuda", engine), ("cpu", "exact")
    on_gpu, on_cpu = (trained(model, *way, translate=translate, lr=lr) for way in ways)
    assert difference(on_gpu, on_cpu) < (1e-4 if model in MLPS else 1e-3)
    assert [trainee.traces for trainee in on_gpu] == [trainee.traces for trainee in on_cpu]


@pytest.mark.parametrize("engine", ["exact", "fast"])
def test_sides_of_different_size_train_on_a_gpu_too(engine: str) -> None:
    on_gpu, on_cpu = (trained("mlp_l1_w9", device, engine, sizes=(36, 20)) for device in ("cuda", "cpu"))
    assert difference(on_gpu, on_cpu) < 1e-4


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_optimizers_with_a_memory_train_on_a_gpu_up_to_rounding(optimizer: str) -> None:
    options = {"optimizer": optimizer, "lr": 1e-3, "clip_norm": 1.0, "schedule": "cosine"}
    on_gpu, on_cpu = (trained("mlp_l1_w9", device, **options) for device in ("cuda", "cpu"))
    assert difference(on_gpu, on_cpu) < 1e-3
    if optimizer != "rmsprop":
        assert difference(trained("mlp_l1_w9", "cuda", "fast", **options), on_cpu) < 1e-3


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("scope", ["run", "paper"])
@pytest.mark.parametrize(
    ("model", "engine"), [("mlp_l1_w16_bn_dropout", "exact"), ("mlp_l2_w6_7_bn", "fast"), ("resnet10", "exact")]
)
def test_a_training_repeats_and_resumes_to_the_last_bit(model: str, engine: str, scope: str, tmp_path: Path) -> None:
    whole, again = (trained(model, "cuda", engine, scope=scope) for _ in range(2))
    assert difference(whole, again) == 0
    first, second = pair(model, torch.device("cuda"), scope=scope), pair(model, torch.device("cuda"), scope=scope)
    run_epochs(first, engine, epochs=1)
    training_state.save(training_state.capture(first, 1, 0.0), tmp_path / "state")
    training_state.restore(second, training_state.load(tmp_path / "state"))
    run_epochs(second, engine, first=2)
    assert difference(second, whole) == 0


@pytest.mark.usefixtures("deterministic")
def test_dropout_on_a_gpu_is_drawn_from_the_noise_of_its_side() -> None:
    one, two = trained("mlp_l1_w16_dropout")
    assert difference([one], [two]) > 1e-3, "different noise"
    torch.cuda.manual_seed_all(12345)
    torch.rand(100, device="cuda")
    assert difference(trained("mlp_l1_w16_dropout"), [one, two]) == 0, "no draw depends on what went before"


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("model", ["mlp_l2_w6_7_bn", "resnet10"])
def test_images_read_batch_by_batch_train_as_those_on_the_gpu(model: str) -> None:
    resident, streamed = trained(model), trained(model, memory_gb=0.0)
    assert not isinstance(streamed[0].images, ResidentImages)
    assert difference(streamed, resident) == 0


@pytest.mark.parametrize(
    ("model", "engine", "precision"),
    [
        ("mlp_l1_w9", "exact", "tf32"),
        ("mlp_l1_w9", "fast", "tf32"),
        ("resnet10", "exact", "tf32"),
        ("resnet10", "fast", "tf32"),
        ("mlp_l1_w9", "exact", "bfloat16"),
        ("resnet10", "exact", "bfloat16"),
        ("resnet10", "fast", "bfloat16"),
    ],
)
def test_a_lower_precision_rounds_the_steps_and_keeps_the_weights_in_float32(
    model: str, engine: str, precision: str
) -> None:
    full, rounded = (trained(model, "cuda", engine, epochs=1, precision=name) for name in ("float32", precision))
    assert 1e-7 < difference(rounded, full) < 0.1
    assert {p.dtype for trainee in rounded for p in trainee.network.parameters()} == {torch.float32}


@pytest.mark.usefixtures("deterministic")
@pytest.mark.skipif(torch.cuda.device_count() == 1, reason="one GPU")
@pytest.mark.parametrize(("model", "engine"), [("mlp_l1_w9", "exact"), ("mlp_l1_w9", "fast"), ("resnet10", "fast")])
def test_a_second_gpu_trains_as_the_first(model: str, engine: str) -> None:
    assert difference(trained(model, "cuda:1", engine), trained(model, "cuda:0", engine)) == 0


@pytest.mark.parametrize("model", ["mlp_l1_w16", "mlp_l2_w6_7_bn", "mlp_l1_w16_ln_leaky0.1", *CONVOLUTIONAL])
def test_networks_compute_on_a_gpu_what_they_compute_on_a_cpu(model: str) -> None:
    source = pixels_of(model, 4)
    network = build_network(NetworkSpec(model, *source.shape[1:], 5), seed=2).eval()
    images = torch.from_numpy(source.array).float() / 255
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        expected = network(images)
        assert isinstance(network, nn.Module)
        torch.testing.assert_close(network.to("cuda")(images.to("cuda")).cpu(), expected, rtol=1e-4, atol=1e-4)
