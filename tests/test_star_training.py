"""A star is trained at points of its segments by its own gradient, and judged by its accuracy too."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmc_mlflow.alignment import LabelledSample, derive_symmetry, permute, random_permutations
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.alignment import MatchingConfig
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import StarConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.config.star import SegmentsConfig, StarTrainingConfig
from lmc_mlflow.config.train_pair import OptimizationConfig
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.predictions.ensembles import score_ensemble
from lmc_mlflow.predictions.scores import mean_loss
from lmc_mlflow.predictions.sizes import scores_by_size
from lmc_mlflow.star_domains.alignment import Sources, make_aligner, no_aligner
from lmc_mlflow.star_domains.measures import Bench, Candidate, measure, regular_pairs, summarize_segments
from lmc_mlflow.star_domains.segments import SegmentNetwork, draw_points
from lmc_mlflow.star_domains.verdict import verdict
from lmc_mlflow.workflows.star.sources import optimization_of

SPEC = NetworkSpec("mlp_l1_w6_bn", 1, 2, 2, 3)
IMAGES = torch.randn(12, 1, 2, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


def linear(*weights: float) -> nn.Module:
    """Two classes, one input: logits w_0 x and w_1 x."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False), nn.LogSoftmax(dim=1))
    network[1].weight.data = torch.tensor([[float(w)] for w in weights])
    return network


def states(seed: int) -> dict[str, Tensor]:
    """A network whose batch norm is not what it is at the start."""
    network = build_network(SPEC, seed)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value + torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }


def test_the_gradient_at_t_reaches_the_star_times_1_minus_t() -> None:
    # at t = 1/4 between w = (0, 0) and (4, 0) the network is (1, 0): p_0 = e / (e + 1) for the input 1
    source = {"1.weight": torch.tensor([[4.0], [0.0]])}
    network = SegmentNetwork(linear(0, 0)).train()
    network.set_points([(source, 0.25)])
    mean_loss(network(torch.ones(1, 1, 1, 1)), torch.tensor([0])).backward()
    rest = 1 / (np.e + 1)  # d loss / d w_0 = p_0 - 1 at the point itself
    expected = torch.tensor([[-0.75 * rest], [0.75 * rest]])
    torch.testing.assert_close(network.star[1].weight.grad, expected.float())
    network.zero_grad()
    network.set_points([(source, 1.0)])
    mean_loss(network(torch.ones(1, 1, 1, 1)), torch.tensor([0])).backward()
    assert network.star[1].weight.grad.abs().max() == 0


def test_the_own_loss_is_weighted_by_mu_and_both_by_one_over_one_plus_mu() -> None:
    star, source = linear(0, 0), {"1.weight": torch.tensor([[4.0], [0.0]])}
    network = SegmentNetwork(star, own_loss_weight=3.0).train()
    network.set_points([(source, 0.25)])
    loss = mean_loss(network(torch.ones(1, 1, 1, 1)), torch.tensor([0]))
    on_segment, own = np.log(1 + np.exp(-1)), np.log(2)
    assert loss.item() == pytest.approx((on_segment + 3 * own) / 4, rel=1e-6)


def test_training_normalizes_by_the_batch_and_keeps_no_running_statistics() -> None:
    star = build_network(SPEC, 1)
    star.load_state_dict(states(1))
    before = copy.deepcopy(star.state_dict())
    network, source = SegmentNetwork(star).train(), states(2)
    network.set_points([(source, 0.5)])
    outputs = network(IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in star.state_dict().items())
    middle = build_network(SPEC, 1).train()
    middle.load_state_dict({n: (before[n] + source[n]) / 2 if v.is_floating_point() else v for n, v in before.items()})
    torch.testing.assert_close(outputs, middle(IMAGES))
    assert torch.equal(network.eval()(IMAGES), star(IMAGES))


def test_a_point_is_a_source_and_a_position_from_streams_of_their_own() -> None:
    uniform = draw_points(SegmentsConfig(), 4, 4000, 1, "step", 7)
    assert uniform == draw_points(SegmentsConfig(), 4, 4000, 1, "step", 7)
    assert uniform[:20] != draw_points(SegmentsConfig(), 4, 20, 1, "step", 8)
    assert np.bincount([i for i, _ in uniform], minlength=4).min() > 900
    assert np.mean([t for _, t in uniform]) == pytest.approx(0.5, abs=0.02)
    constant = draw_points(SegmentsConfig(t_distribution="constant", t_value=0.3), 4, 4000, 1, "step", 7)
    assert {t for _, t in constant} == {0.3}
    assert [i for i, _ in constant] == [i for i, _ in uniform]
    beta = draw_points(SegmentsConfig(t_distribution="beta", beta_a=3.0, beta_b=1.0), 4, 4000, 1, "step", 7)
    assert np.mean([t for _, t in beta]) == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(
    ("barriers", "accuracy", "expected"),
    [
        ([0.0, 0.09], 0.94, "yes"),
        ([0.0, 0.0], 0.908, "no: its own accuracy"),  # a published star, 4.4 points below what it joins
        ([0.0, 0.2], 0.95, "no: barrier"),
        ([0.2], 0.5, "no: barrier and its own accuracy"),
    ],
)
def test_a_star_has_low_segments_and_is_as_good_as_what_it_joins(
    barriers: list[float], accuracy: float, expected: str
) -> None:
    assert verdict(barriers, accuracy, [0.950, 0.954], 0.1, 0.02) == expected


def test_sources_that_are_one_network_in_another_order_have_it_as_their_mean() -> None:
    network, first = build_network(SPEC, 1), states(1)
    symmetry = derive_symmetry(network, IMAGES[:2])
    order = random_permutations(symmetry, torch.Generator().manual_seed(3))
    sources = Sources(
        make_aligner(network, IMAGES[:2], "weights", MatchingConfig()), [first, permute(symmetry, first, order)]
    )
    mean = sources.mean()
    assert all(torch.allclose(mean[name].double(), first[name].double()) for name in first)
    assert any(not torch.equal(sources.states[1][name], first[name]) for name in first)
    sources.match(first, 1)
    assert all(torch.equal(sources.states[1][name], first[name]) for name in first)
    again = [dict(permutations) for permutations in sources.permutations]
    sources.match(first, 2)
    assert all(torch.equal(a[g], b[g]) for a, b in zip(again, sources.permutations, strict=True) for g in a)


def test_a_permuted_copy_is_a_barrier_and_a_distance_away_until_it_is_aligned() -> None:
    network, first = build_network(SPEC, 1), states(1)
    symmetry = derive_symmetry(network, IMAGES[:2])
    other = permute(symmetry, first, random_permutations(symmetry, torch.Generator().manual_seed(3)))
    images = ResidentImages(IMAGES)
    bench = Bench(network, images, LABELS, images, 5)
    aligner = make_aligner(network, IMAGES[:2], "weights", MatchingConfig(match_on="kernels"))
    pair = ("star_source", Candidate("a", first, aligner.start()), Candidate("b", other, aligner.start()))
    (aligned,) = measure(bench, aligner, [pair])
    assert aligned.distance == 0
    assert aligned.distance_unaligned > 0.5
    assert aligned.barrier == pytest.approx(0, abs=1e-6)
    (plain,) = measure(bench, no_aligner(), [pair])
    assert plain.distance == plain.distance_unaligned == aligned.distance_unaligned
    told = summarize_segments([aligned, plain])
    assert told["star_source/distance"] == pytest.approx(plain.distance / 2)
    assert told["star_source/distance_std"] == pytest.approx(plain.distance / np.sqrt(2))
    assert told["star_source/num_segments"] == 2
    assert "regular/distance" not in told


def test_activations_are_matched_with_statistics_that_belong_to_the_star() -> None:
    network, source = build_network(SPEC, 1), states(1)
    symmetry, sample = derive_symmetry(network, IMAGES[:2]), LabelledSample(ResidentImages(IMAGES), LABELS)
    star = permute(symmetry, source, random_permutations(symmetry, torch.Generator().manual_seed(3)))
    star |= {name: value + 9 for name, value in star.items() if name.endswith("running_mean")}  # as a star keeps them
    aligner = make_aligner(network, IMAGES[:2], "activations", MatchingConfig(), sample)
    sources = Sources(aligner, [source])
    sources.match(star, 1)
    for name, value in sources.states[0].items():
        if not name.endswith("running_mean"):
            assert torch.equal(value, star[name]), name
    means = aligner.with_statistics(star)["norm1.running_mean"]
    inputs = IMAGES.flatten(1) @ star["linear1.weight"].T + star["linear1.bias"]
    torch.testing.assert_close(means, inputs.mean(0))
    assert make_aligner(network, IMAGES[:2], "sinkhorn", MatchingConfig(), sample).with_statistics(star) is star


def test_the_options_of_other_methods_leave_the_fingerprints_of_stars_as_they_were() -> None:
    def digest(*flags: str) -> str:
        return fingerprint(parse_flags("star", StarConfig, ["--sources=a,b", *flags]))

    assert digest() == "ce8cc13ec3366564"
    assert digest("--match_on=kernels", "--max_sweeps=5", "--epochs=3", "--star_seed=4") == "ad78efe7faa598a1"
    assert digest("--match_every=0", "--max_sweeps=5") == "c523647f9a73fe0e"
    assert digest("--match_method=weights", "--bn=recalibrate") == digest()
    assert len({digest(), digest("--match_method=sinkhorn"), digest("--bn=repair")}) == 3


def test_regular_pairs_are_all_there_are_or_a_seeded_choice() -> None:
    assert regular_pairs(4, 25, 0) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    few = regular_pairs(20, 5, 0)
    assert few == regular_pairs(20, 5, 0) != regular_pairs(20, 5, 1)
    assert len(set(few)) == 5
    assert regular_pairs(3, 0, 0) == []


def test_a_star_is_trained_as_its_source_but_for_what_is_given() -> None:
    source = OptimizationConfig(optimizer="sgd", lr=0.1, momentum=0.9, nesterov=True, epochs=7, engine="fast")
    plain = optimization_of(StarTrainingConfig(), source)
    assert (plain.lr, plain.momentum, plain.epochs, plain.engine) == (0.1, 0.9, 7, "exact")
    adam = optimization_of(StarTrainingConfig(optimizer="adam", lr=0.01), source)
    assert (adam.optimizer, adam.lr, adam.momentum, adam.nesterov) == ("adam", 0.01, 0.0, False)
    with pytest.raises(ValueError, match=r"optimizer 'sdg' is unknown \(did you mean 'sgd'"):
        optimization_of(StarTrainingConfig(optimizer="sdg"), source)


def test_scores_by_size_begin_with_the_members_and_end_with_the_ensemble() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 50, 3))
    logs = (logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))).astype(np.float32)
    labels = rng.integers(0, 3, 50)
    whole = score_ensemble(logs, labels, 0, 0.95, rng)
    sizes = scores_by_size(logs, labels, 60, rng)
    alone = [score_ensemble(np.stack([member, member]), labels, 0, 0.95, rng) for member in logs]
    for name, values in sizes.items():
        assert values.shape == (60, 4)
        assert values[:, 3] == pytest.approx(whole[name].value)
        assert sorted(set(values[:, 0].round(9))) == pytest.approx(sorted({round(a[name].value, 9) for a in alone}))
