"""Causes that are planted, each alone and two together, are named; a sound pair and too few images are told apart."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lmc_mlflow.alignment import derive_symmetry, permute, random_permutations
from lmc_mlflow.alignment.rescaling import balance, find_scaled_groups, rescale_towards, scale_units
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.diagnosis.attribution import attribute
from lmc_mlflow.diagnosis.diagnose import diagnose
from lmc_mlflow.diagnosis.findings import Diagnosis
from lmc_mlflow.diagnosis.remedies import Treatable
from lmc_mlflow.diagnosis.subject import Split, Subject
from lmc_mlflow.diagnosis.symptoms import Rules
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.intervals import Bootstrap

pytestmark = pytest.mark.trains
MODEL = "mlp_l2_w32_32"
_PIXELS, _LABELS = load_digits(return_X_y=True)
UNIT = torch.tensor(_PIXELS / 16, dtype=torch.float32).view(-1, 1, 8, 8)
CENTERED = (UNIT - UNIT.mean()) / UNIT.std()
LABELS = torch.tensor(_LABELS)
ORDER = torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(0))
TRAIN, TEST = ORDER[:1000], ORDER[1000:]
State = Mapping[str, Tensor]


def trained(
    model: str = MODEL,
    seed: int = 0,
    noise: int = 0,
    epochs: int = 20,
    lr: float = 0.01,
    images: Tensor = CENTERED,
    labels: Tensor = LABELS,
) -> nn.Module:
    network = build_network(NetworkSpec(model, 1, 8, 8, 10), seed=seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(noise)
    network.train()
    for _ in range(epochs):
        for chosen in torch.split(TRAIN[torch.randperm(len(TRAIN), generator=generator)], 32):
            optimizer.zero_grad()
            nn.functional.nll_loss(network(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    return network.eval()


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def split(chosen: Tensor, labels: Tensor = LABELS) -> Split:
    return ResidentImages(CENTERED[chosen]), labels[chosen]


def other_scalings() -> Mapping[str, Any]:
    return {"unit": ResidentImages(UNIT[TEST]), "half": ResidentImages(2 * UNIT[TEST] - 1)}


def examine(
    network: nn.Module,
    a: State,
    b: State,
    labels: Tensor = LABELS,
    num_alphas: int = 11,
    knows_training: bool = True,
    epochs: tuple[int, int] = (20, 20),
) -> Diagnosis:
    own = (split(TRAIN[:500], labels), split(TRAIN[500:], labels)) if knows_training else ()
    calibration = ResidentImages(CENTERED[TRAIN]) if knows_training else None
    symmetry = derive_symmetry(network, CENTERED[:2])
    subject = Subject(network, a, b, split(TEST), own, calibration, symmetry, other_scalings, epochs)
    return diagnose(Treatable(subject), num_alphas, Rules(), Bootstrap(300, 0.95, 0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return trained()


@pytest.fixture(scope="module")
def sound() -> tuple[nn.Module, nn.Module]:
    return trained(lr=0.003), trained(lr=0.003, noise=1)


def permuted(network: nn.Module, state: State, seed: int = 3) -> dict[str, Tensor]:
    symmetry = derive_symmetry(network, CENTERED[:2])
    return permute(symmetry, state, random_permutations(symmetry, torch.Generator().manual_seed(seed)))


def rescaled(network: nn.Module, state: State) -> dict[str, Tensor]:
    symmetry = derive_symmetry(network, CENTERED[:2])
    changed, generator = dict(state), torch.Generator().manual_seed(4)
    groups = find_scaled_groups(network, symmetry, state, CENTERED[:8])
    assert [group.name for group in groups] == list(symmetry.sizes)
    for group in groups:
        factors = torch.randn(symmetry.sizes[group.name], generator=generator, dtype=torch.float64).mul(1.5).exp()
        changed = scale_units(symmetry, group, changed, factors)
    return changed


def surer(state: State, factor: float = 5) -> dict[str, Tensor]:
    """Multiply the logits: the last layer's weights and biases."""
    last = list(state)[-1].rpartition(".")[0]
    return {name: value * factor if name.startswith(last) else value for name, value in state.items()}


def stale(state: State) -> dict[str, Tensor]:
    fresh = {"running_mean": torch.zeros_like, "running_var": torch.ones_like}
    return {name: fresh.get(name.rpartition(".")[2], torch.clone)(value) for name, value in state.items()}


def test_a_permuted_copy_is_named(network: nn.Module) -> None:
    found = examine(network, state_of(network), permuted(network, network.state_dict()))
    assert (found.answer, found.causes) == ("explained", ("permutation",))
    assert found.findings[0].explained.value == pytest.approx(found.whole.value, abs=1e-4)


def test_a_rescaled_copy_is_named(network: nn.Module) -> None:
    found = examine(network, state_of(network), rescaled(network, network.state_dict()))
    assert (found.answer, found.causes) == ("explained", ("scale_of_units",))
    assert found.remaining.value == pytest.approx(0, abs=1e-4)


def test_a_copy_that_is_permuted_and_rescaled_has_both_causes(network: nn.Module) -> None:
    found = examine(network, state_of(network), permuted(network, rescaled(network, network.state_dict())))
    assert found.answer == "explained"
    assert set(found.causes) == {"permutation", "scale_of_units"}
    explained = sum(finding.explained.value for finding in found.findings)
    assert explained + found.remaining.value == pytest.approx(found.whole.value, abs=1e-6)


def test_stale_statistics_are_named_alone_and_beside_a_permutation() -> None:
    network = trained("mlp_l2_w32_32_bn")
    found = examine(network, state_of(network), stale(network.state_dict()))
    assert (found.answer, found.causes) == ("explained", ("batch_norm_statistics",))
    both = examine(network, state_of(network), permuted(network, stale(network.state_dict())))
    assert both.answer == "explained"
    assert set(both.causes) == {"batch_norm_statistics", "permutation"}


def test_logits_times_five_are_overconfidence_alone_and_beside_a_permutation(
    sound: tuple[nn.Module, nn.Module],
) -> None:
    a, b = (surer(network.state_dict()) for network in sound)
    found = examine(sound[0], a, b)
    assert (found.answer, found.causes) == ("explained", ("overconfidence",))
    both = examine(sound[0], a, permuted(sound[1], b))
    assert set(both.causes) == {"overconfidence", "permutation"}


def test_one_noised_layer_is_named(network: nn.Module) -> None:
    b, generator = state_of(network), torch.Generator().manual_seed(5)
    b["linear2.weight"] += torch.randn(b["linear2.weight"].shape, generator=generator) * 2 * b["linear2.weight"].std()
    found = examine(network, state_of(network), b)
    assert (found.answer, found.causes) == ("explained", ("single_layer",))
    assert "linear2" in found.findings[0].reason


def test_overfitting_hides_that_networks_part_on_their_training_images() -> None:
    labels = LABELS.clone()
    labels[TRAIN] = torch.randint(0, 10, (len(TRAIN),), generator=torch.Generator().manual_seed(6))
    a, b = (trained(noise=noise, epochs=100, lr=0.005, labels=labels) for noise in (0, 1))
    found = examine(a, a.state_dict(), b.state_dict(), labels=labels)
    assert (found.connected, found.causes, found.split) == ("apparent", ("overfitting",), "training")


def test_another_scaling_is_named(network: nn.Module) -> None:
    other = trained(images=UNIT)
    found = examine(network, state_of(network), other.state_dict())
    assert (found.answer, found.causes) == ("undecided", ("other_data",))
    assert "normalization=unit" in found.findings[0].reason
    assert found.would_decide


def test_an_end_that_is_not_trained_out_is_named(network: nn.Module) -> None:
    found = examine(network, state_of(network), trained(epochs=1, lr=0.003).state_dict(), epochs=(20, 1))
    assert (found.answer, found.causes) == ("explained", ("undertrained_end",))
    assert found.findings[0].reason.startswith("B is worse")
    assert "B for 1" in found.findings[0].reason


def test_two_seeds_of_a_narrow_network_are_different_solutions() -> None:
    a, b = trained("mlp_l2_w8_8"), trained("mlp_l2_w8_8", seed=5, noise=5)
    found = examine(a, a.state_dict(), b.state_dict())
    assert found.answer == "another basin"
    assert found.causes[-1] == "another_basin"
    assert found.remaining.low > 0.1


def test_a_sound_pair_is_connected_with_one_path(network: nn.Module) -> None:
    b = {name: value + 1e-3 for name, value in network.state_dict().items()}
    found = examine(network, state_of(network), b)
    assert (found.answer, found.connected, found.causes) == ("connected", "yes", ())
    assert found.would_decide == ""


class Doubts(nn.Module):
    """Reads the class off its images, except midway: there it takes the next class for those whose last pixel is 1."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1)
        classes, doubted = pixels[:, :10], pixels[:, 10:]
        bump = 4 * self.weight * (1 - self.weight)
        return nn.functional.log_softmax(6 * classes + 6.02 * bump * doubted * classes.roll(1, dims=1), dim=1)


def examine_doubts(num_images: int = 50, num_doubted: int = 2) -> Diagnosis:
    """Midway the accuracy falls by `num_doubted` of `num_images`, the loss by a fraction of the threshold."""
    a, b = Doubts(0.0), Doubts(1.0)
    classes = torch.arange(num_images) % 10
    doubted = (torch.arange(num_images) < num_doubted).float()
    images = ResidentImages(torch.cat([torch.eye(10)[classes], doubted[:, None]], dim=1).view(-1, 1, 1, 11))
    subject = Subject(a, a.state_dict(), b.state_dict(), (images, classes))
    return diagnose(Treatable(subject), 11, Rules(), Bootstrap(300, 0.95, 0))


def test_fifty_images_decide_nothing() -> None:
    found = examine_doubts()
    assert (found.answer, found.causes) == ("undecided", ())
    assert "test images instead of 50" in found.would_decide


def test_a_thousand_images_decide_what_fifty_leave_open() -> None:
    found = examine_doubts(1000, 40)
    assert (found.answer, found.would_decide) == ("connected", "")


class Bump(nn.Module):
    """Reads the class off its images, less surely the closer its one weight is to 0.35."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]))

    def forward(self, images: Tensor) -> Tensor:
        bump = torch.exp(-(((self.weight - 0.35) / 0.06) ** 2))
        return nn.functional.log_softmax(6 * (1 - bump) * images.flatten(1), dim=1)


def test_a_barrier_between_the_points_is_too_coarse_a_grid() -> None:
    a, b = Bump(0.0), Bump(1.0)
    classes = torch.arange(10).repeat(100)
    images = ResidentImages(torch.eye(10)[classes].view(-1, 1, 1, 10))
    subject = Subject(a, a.state_dict(), b.state_dict(), (images, classes))
    found = diagnose(Treatable(subject), 11, Rules(barrier=0.4, accuracy_delta=-1.0), Bootstrap(300, 0.95, 0))
    assert found.causes == ("coarse_grid", "another_basin")
    assert found.findings[0].reason == "11 points showed none of it, 21 do"
    assert found.whole.value > 1


def test_an_end_whose_training_is_unknown_is_worse_and_nothing_more_is_claimed(network: nn.Module) -> None:
    found = examine(network, state_of(network), trained(epochs=1, lr=0.003).state_dict(), knows_training=False)
    assert "worse_end" in found.causes
    assert not {"undertrained_end", "overfitting", "another_basin"} & set(found.causes)


def test_an_undertrained_end_with_stale_statistics_has_both_causes_and_they_add_up() -> None:
    network, early = trained("mlp_l2_w32_32_bn"), trained("mlp_l2_w32_32_bn", epochs=3, lr=0.001)
    found = examine(network, state_of(network), stale(early.state_dict()))
    assert {"batch_norm_statistics", "undertrained_end"} <= set(found.causes)
    explained = sum(finding.explained.value for finding in found.findings if finding.cause != "another_basin")
    assert explained + found.remaining.value == pytest.approx(found.whole.value, abs=1e-6)


def test_how_many_images_would_decide_is_told_of_the_number_that_is_open() -> None:
    found = examine_doubts()
    delta = re.search(r"accuracy delta (\S+)% \((\S+)% to (\S+)%\), threshold -6%", found.sentence)
    assert delta is not None
    value, low, high = map(float, delta.groups())
    needed = 50 * max(1, (high - low) / 2 / abs(value + 6)) ** 2 * 1.1
    told = re.search(r"about (\d+) test images", found.would_decide)
    assert told is not None
    assert int(told[1]) == pytest.approx(needed, abs=1)


def test_balancing_forgets_scales_and_rescaling_finds_them_again(network: nn.Module) -> None:
    symmetry = derive_symmetry(network, CENTERED[:2])
    groups = find_scaled_groups(network, symmetry, network.state_dict(), CENTERED[:8])
    a, b = state_of(network), rescaled(network, network.state_dict())
    for one, other in (
        (balance(symmetry, groups, a), balance(symmetry, groups, b)),
        (a, rescale_towards(symmetry, groups, a, b)),
    ):
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=1e-5)


def test_units_behind_other_activations_are_not_rescaled() -> None:
    class Gelu(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.log_softmax(self.last(nn.functional.gelu(self.first(images.flatten(1)))), dim=1)

    network = Gelu().eval()
    symmetry = derive_symmetry(network, CENTERED[:2])
    assert symmetry.sizes
    assert find_scaled_groups(network, symmetry, network.state_dict(), CENTERED[:8]) == []


@pytest.mark.parametrize(
    ("heights", "expected", "left"),
    [
        ({"": 1.0, "x": 0.0, "y": 1.0, "xy": 0.0}, {"x": 1.0}, 0.0),  # one is enough
        ({"": 1.0, "x": 1.0, "y": 1.0, "xy": 0.0}, {"x": 0.0, "y": 1.0}, 0.0),  # each alone shows nothing
        (
            {"": 1.0, "x": 0.4, "y": 0.7, "xy": 0.3},
            {"y": 0.3, "x": 0.4},
            0.3,
        ),  # of the two orders the evener
        ({"": 1.0, "x": 1.0, "y": 1.0, "xy": 1.0}, {}, 1.0),  # none helps
        ({"": 1.0, "x": 0.05, "y": 0.04, "xy": 0.0}, {"x": 0.95}, 0.05),  # either is enough: the first
    ],
)
def test_what_remedies_explain_adds_up(heights: dict[str, float], expected: dict[str, float], left: float) -> None:
    def height(chosen: frozenset[str]) -> np.ndarray:
        return np.full(50, heights["".join(sorted(chosen))]) + 1e-9 * np.arange(50) * -len(chosen)

    found = attribute(height, lambda chosen: heights["".join(sorted(chosen))] <= 0.1, ("x", "y"), 0.1, 0.95)
    assert {name: float(values[0]) for name, values in found.explained.items()} == pytest.approx(expected)
    assert found.remaining[0] == pytest.approx(left)
