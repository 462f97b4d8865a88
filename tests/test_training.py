"""The training loop equals a plain PyTorch loop bit by bit, and continues as if it had never stopped."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import RandomHorizontalFlip

from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.train_pair import NoiseConfig, OptimizationConfig
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.predictions.scores import make_tally
from lmc_mlflow.training import state as training_state
from lmc_mlflow.training.engines.exact import train_epoch
from lmc_mlflow.training.engines.table import ENGINE_CHOICES, TRAINING_ENGINES, choose_engine
from lmc_mlflow.training.loop import EpochReport, train
from lmc_mlflow.training.noise import noise_stream
from lmc_mlflow.training.optimizers import learning_rate, make_optimizer, noise_scale
from lmc_mlflow.training.trainee import Trainee

CPU = torch.device("cpu")
torch.manual_seed(11)
IMAGES, LABELS = torch.randn(70, 3, 16, 16), torch.arange(70) % 10


def trainee(model: str, side: str, noise: NoiseConfig, config: OptimizationConfig) -> Trainee:
    network = build_network(NetworkSpec(model, 3, 16, 16, 10), seed=1)
    optimizer = make_optimizer(network.parameters(), config)
    return Trainee(side, network, optimizer, noise_stream(noise, 1, side, CPU), ResidentImages(IMAGES), LABELS)


class Flipping(Dataset):
    """The images with torchvision's flip, one at a time."""

    flip = RandomHorizontalFlip()

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.flip(IMAGES[i]), LABELS[i]


def algorithm_1(network: nn.Module, epochs: int) -> nn.Module:
    """Hepburn et al., Algorithm 1, written plainly ("for epoch = 0 to n"): one network, the same SGD noise."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader, test = DataLoader(Flipping(), 16, shuffle=True), DataLoader(Flipping(), 16)
    for epoch in range(epochs):
        torch.manual_seed(epoch)
        network.train()
        for images, labels in loader:
            optimizer.zero_grad()
            functional.nll_loss(network(images), labels).backward()
            optimizer.step()
        network.eval()
        for _ in test:
            pass
    return network


@pytest.mark.parametrize("model", ["mlp_l1_w9", "mlp_l2_w9_8_bn_dropout", "resnet10"])
def test_paper_noise_trains_bit_for_bit_like_algorithm_1_with_a_loader(model: str) -> None:
    config = OptimizationConfig(epochs=3, batch_size=16)
    ours = trainee(model, "A", NoiseConfig(noise_scope="paper"), config)
    with torch.random.fork_rng():
        theirs = algorithm_1(copy.deepcopy(ours.network), config.epochs)
    for epoch in (1, 2, 3):
        train_epoch(ours, config, flips=True, epoch=epoch)
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.network.state_dict()[name], value), name


OPTIMIZERS = {
    "adam": {},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
    "rmsprop": {"optimizer": "rmsprop", "clip_norm": 0.1},
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "warmup_epochs": 1.5},
}


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("scope", ["run", "paper"])
def test_a_restored_training_ends_bit_equal_to_one_never_stopped(options: dict, scope: str, tmp_path: Path) -> None:
    config = OptimizationConfig(**{"epochs": 4, "batch_size": 32, **options})
    noise = NoiseConfig(noise="different", noise_scope=scope)

    def pair() -> list[Trainee]:
        return [trainee("mlp_l1_w9_bn_dropout", side, noise, config) for side in "AB"]

    def run(trainees: list[Trainee], first: int, until: int) -> list[EpochReport]:
        reports: list[EpochReport] = []
        part = OptimizationConfig(**{**vars(config), "epochs": config.epochs})
        for epoch in range(first, until + 1):
            for t in trainees:
                scores = train_epoch(t, part, True, epoch)
                reports.append(EpochReport(t.side, epoch, scores, evaluate(t.network, ResidentImages(IMAGES), LABELS)))
        return reports

    whole, stopped, resumed = pair(), pair(), pair()
    expected = run(whole, 1, 4)
    run(stopped, 1, 2)
    training_state.save(training_state.capture(stopped, 2, 1.5), tmp_path / "state")
    kept = training_state.load(tmp_path / "state")
    assert (kept.epoch, kept.wall_seconds) == (2, 1.5)
    training_state.restore(resumed, kept)
    assert run(resumed, 3, 4) == expected[4:]
    for mine, theirs in zip(resumed, whole, strict=True):
        assert mine.traces == theirs.traces
        for name, value in theirs.network.state_dict().items():
            assert torch.equal(mine.network.state_dict()[name], value), name


def test_one_step_of_gradient_descent_on_paper() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False), nn.LogSoftmax(1))
    network[1].weight.data.zero_()
    config = OptimizationConfig(epochs=1, batch_size=4, optimizer="sgd", lr=1.0)
    images, labels = torch.ones(2, 1, 1, 1), torch.tensor([0, 0])
    noise = noise_stream(NoiseConfig(), 1, "A", CPU)
    one = Trainee("A", network, make_optimizer(network.parameters(), config), noise, ResidentImages(images), labels)
    scores = train_epoch(one, config, flips=False, epoch=1)
    assert scores.loss == pytest.approx(0.6931472)
    assert scores.score == 1.0
    assert network[1].weight.tolist() == [[0.5], [-0.5]]  # the gradient is (p - 1, 1 - p) with p = 1/2


def test_reports_come_once_an_epoch_for_both_sides_and_a_broken_loss_stops() -> None:
    config = OptimizationConfig(epochs=2, batch_size=32)
    seen: list[tuple[int, list[str]]] = []
    pair = [trainee("mlp_l1_w9", side, NoiseConfig(), config) for side in "AB"]
    test = (ResidentImages(IMAGES), LABELS)
    train(pair, test, config, False, 1, lambda epoch, reports: seen.append((epoch, [r.side for r in reports])))
    assert seen == [(1, ["A", "B"]), (2, ["A", "B"])]
    wild = OptimizationConfig(epochs=3, optimizer="sgd", lr=1e30)
    with pytest.raises(FloatingPointError, match="side A: the loss is nan in epoch"):
        train(
            [trainee("mlp_l1_w9", "A", NoiseConfig(), wild)],
            test,
            wild,
            False,
            1,
            lambda epoch, reports: None,
        )


def test_learning_rates_on_paper() -> None:
    constant = OptimizationConfig(epochs=10, lr=0.5)
    assert [learning_rate(constant, step, 4) for step in (0, 39)] == [0.5, 0.5]
    cosine = OptimizationConfig(epochs=10, lr=0.5, schedule="cosine")
    assert learning_rate(cosine, 0, 4) == 0.5
    assert learning_rate(cosine, 20, 4) == pytest.approx(0.25)
    warm = OptimizationConfig(epochs=10, lr=0.5, warmup_epochs=1)
    assert [learning_rate(warm, step, 4) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_noise_scale_on_paper() -> None:
    assert noise_scale(0.1, num_samples=300, batch_size=100) == pytest.approx(0.2)


def test_the_engines_that_the_flag_offers_are_those_that_can_be_chosen() -> None:
    assert parameters(TrainPairConfig)["engine"].rule.choices == tuple(ENGINE_CHOICES)


@pytest.mark.parametrize(
    ("model", "choice", "engine"),
    [
        ("mlp_l1_w5", "exact", "exact"),
        ("mlp_l1_w5", "fast", "stacked"),
        ("mlp_l1_w5_dropout", "fast", "exact"),
        ("resnet10", "exact", "exact"),
        ("resnet10", "fast", "convolutions"),
    ],
)
def test_a_fast_engine_is_the_one_for_the_network(model: str, choice: str, engine: str) -> None:
    config = OptimizationConfig()
    chosen = choose_engine(choice, [trainee(model, "A", NoiseConfig(), config)], config)
    assert chosen is TRAINING_ENGINES[engine]


def test_a_tally_adds_the_losses_in_order_and_counts_in_pieces_that_fit_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs, labels = (
        torch.randn(50, 4, generator=torch.Generator().manual_seed(1)).log_softmax(1),
        torch.arange(50) % 4,
    )
    total, found = torch.zeros((), dtype=torch.float64), []
    for most in (2**23, 30):
        monkeypatch.setattr("lmc_mlflow.predictions.scores.MOST_OUTPUTS_KEPT", most)
        tally = make_tally(labels)
        for of_batch, truth in zip(outputs.split(8), labels.split(8), strict=True):
            tally.add(functional.nll_loss(of_batch, truth), of_batch, truth, len(truth))
        found.append(tally.scores())
    for of_batch, truth in zip(outputs.split(8), labels.split(8), strict=True):
        total += functional.nll_loss(of_batch, truth).double() * len(truth)
    assert found[0] == found[1] == (total.item() / 50, (outputs.argmax(1) == labels).double().mean().item())
