"""Who pays for a barrier: by sample, class and side, against sums by hand, and the confidence part."""

import math

import numpy as np
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch.nn import functional

from entry_points.interpolate import main
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.evaluation import predict
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.paths.barriers import barrier_over_chord
from lmc_mlflow.paths.calibrated import calibrated_barrier
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.excess import (
    barrier_by_class,
    barrier_by_sample,
    barrier_by_side,
    sample_excess,
    share_that_pays_half,
)
from lmc_mlflow.paths.grid import Grid
from lmc_mlflow.paths.samples import PathSamples
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.predictions.temperature import HIGHEST, LOWEST, best_temperature
from lmc_mlflow.query.networks import load_network

HERE = ["--device=cpu", "--threads=1"]
ALPHAS = np.array([0.0, 0.25, 0.5, 1.0])
LOSSES = np.array(
    [
        [0.0, 1.0, 2.0, 0.0],  # at A
        [1.0, 1.0, 2.0, 0.0],
        [4.0, 1.5, 1.0, 0.0],  # the top: chords 1, 1, 1.5, 0
        [2.0, 1.0, 1.0, 0.0],  # at B
    ],
    dtype=np.float32,
)
LABELS = np.array([0, 0, 1, 2], dtype=np.uint8)
SAMPLES = PathSamples(LOSSES, np.array([[0, 0, 1, 2], [1, 0, 1, 2], [1, 0, 1, 2], [0, 0, 1, 2]]), LABELS)


def random_samples(num_points: int = 7, num_samples: int = 200, num_classes: int = 5) -> PathSamples:
    rng = np.random.default_rng(3)
    losses = rng.exponential(size=(num_points, num_samples)).astype(np.float32)
    classes = rng.integers(0, num_classes, (num_points + 1, num_samples)).astype(np.uint8)
    return PathSamples(losses, classes[1:], classes[0])


def test_the_excess_of_a_sample_is_its_height_over_its_own_chord() -> None:
    excess = sample_excess(ALPHAS, LOSSES)
    np.testing.assert_allclose(excess[2], [4 - 1, 0.5, 1 - 1.5, 0])
    assert not excess[[0, -1]].any()


def test_the_mean_excess_is_the_height_over_the_chord_at_every_alpha() -> None:
    samples, alphas = random_samples(), np.linspace(0, 1, 7)
    mean = samples.losses.astype(np.float64).mean(axis=1)
    height = [mean[t] - ((1 - a) * mean[0] + a * mean[-1]) for t, a in enumerate(alphas)]
    np.testing.assert_allclose(sample_excess(alphas, samples.losses).mean(axis=1), height, atol=1e-12)
    assert sample_excess(alphas, samples.losses).mean(axis=1).max() == pytest.approx(
        barrier_over_chord(alphas, mean), abs=1e-12
    )


def test_classes_pay_what_their_samples_pay_and_sides_what_their_classes_pay() -> None:
    rows = barrier_by_class(ALPHAS, SAMPLES, 4, ([10, 2, 5, 0], [1, 3, 5, 0]))
    assert [row.seen_more for row in rows] == ["A", "B", "equal", "equal"]
    assert [row.num_samples for row in rows] == [2, 1, 1, 0]
    assert {row.alpha for row in rows} == {0.5}
    assert [row.contribution for row in rows] == pytest.approx([3.5 / 4, -0.5 / 4, 0, 0])
    assert [row.excess for row in rows[:3]] == pytest.approx([1.75, -0.5, 0])
    assert math.isnan(rows[3].excess)
    assert (rows[1].own_barrier, rows[1].own_alpha) == (0.25, 0.25)  # 2 over a chord of 1.75
    sides = barrier_by_side(rows)
    assert sides == pytest.approx({"A": 3.5 / 4, "B": -0.5 / 4, "equal": 0})
    assert sum(sides.values()) == pytest.approx(barrier_over_chord(ALPHAS, LOSSES.mean(axis=1)))


def test_contributions_of_classes_equal_a_plain_loop() -> None:
    samples, alphas = random_samples(), np.linspace(0, 1, 7)
    rows = barrier_by_class(alphas, samples, 5)
    assert samples.labels is not None
    top = round(6 * rows[0].alpha)
    for label, row in enumerate(rows):
        total = 0.0
        for i in range(200):
            if samples.labels[i] == label:
                first, last = float(samples.losses[0, i]), float(samples.losses[-1, i])
                total += float(samples.losses[top, i]) - ((1 - alphas[top]) * first + alphas[top] * last)
        assert row.contribution == pytest.approx(total / 200, abs=1e-12)
        assert row.seen_more == "unknown"


def test_a_path_below_its_chord_shows_who_gains_at_its_highest_inner_point() -> None:
    samples = PathSamples(
        np.array([[2.0], [0.5], [1.0], [2.0]], dtype=np.float32), labels=np.array([0], dtype=np.uint8)
    )
    (row,) = barrier_by_class(ALPHAS, samples, 1)
    assert (row.alpha, row.contribution, row.own_barrier) == (0.5, -1.0, 0.0)
    assert math.isnan(share_that_pays_half(ALPHAS, samples))


def test_samples_that_pay_most_come_first() -> None:
    first, second = barrier_by_sample(ALPHAS, SAMPLES, 2)
    assert (first.index, first.label, first.excess, first.loss_a, first.loss_top, first.loss_b) == (0, 0, 3, 0, 4, 2)
    assert (first.predicted_a, first.predicted_top, first.predicted_b) == (0, 1, 0)
    assert second.index == 1


def test_half_of_a_barrier_is_paid_by_one_sample_or_by_half_of_them() -> None:
    assert share_that_pays_half(ALPHAS, SAMPLES) == 0.25  # of 3 nats in all, the first pays 3
    alike = PathSamples(np.array([[0.0] * 10, [1.0] * 10, [0.0] * 10], dtype=np.float32))
    assert share_that_pays_half(np.array([0, 0.5, 1]), alike) == 0.5


def test_a_loss_that_is_not_finite_leaves_no_rows() -> None:
    broken = LOSSES.copy()
    broken[1, 2] = np.inf
    samples = PathSamples(broken, SAMPLES.predicted, LABELS)
    assert barrier_by_class(ALPHAS, samples, 3) == barrier_by_sample(ALPHAS, samples, 3) == []
    assert math.isnan(share_that_pays_half(ALPHAS, samples))


def planted(temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities that are `temperature` times too sure, of labels drawn from the true ones."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(4000, 6, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return (temperature * logits).log_softmax(dim=1), labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_a_planted_temperature_is_found(temperature: float) -> None:
    outputs, labels = planted(temperature)
    assert best_temperature(outputs, labels).temperature == pytest.approx(temperature, rel=0.05)


def test_the_best_temperature_equals_a_search_over_many() -> None:
    outputs, labels = planted(3.0)
    found = best_temperature(outputs, labels)
    tried = np.exp(np.linspace(np.log(2), np.log(5), 2001))
    losses = [float(functional.cross_entropy(outputs.double() / t, labels)) for t in tried]
    assert found.temperature == pytest.approx(tried[int(np.argmin(losses))], rel=1e-3)
    assert found.loss == pytest.approx(min(losses), abs=1e-6)
    assert found.loss < float(functional.nll_loss(outputs, labels))


def test_without_a_wrong_output_the_lowest_loss_is_0_and_with_wrong_ones_alone_that_of_chance() -> None:
    sure = torch.tensor([[0.0, -9.0], [-9.0, 0.0]]).log_softmax(dim=1)
    right = best_temperature(sure, torch.tensor([0, 1]))
    assert right.loss == pytest.approx(0, abs=1e-9)
    assert LOWEST <= right.temperature < 1
    assert best_temperature(sure, torch.tensor([1, 0])).loss == pytest.approx(math.log(2), abs=0.05)
    assert best_temperature(sure, torch.tensor([1, 0])).temperature == pytest.approx(HIGHEST, rel=1e-2)


def test_outputs_that_are_no_numbers_have_no_temperature() -> None:
    labels = torch.tensor([0, 1])
    assert math.isnan(best_temperature(torch.tensor([[math.nan, 0.0], [0.0, 0.0]]), labels).loss)
    impossible = best_temperature(torch.tensor([[-math.inf, 0.0], [0.0, 0.0]]), labels)
    assert math.isinf(impossible.loss)
    assert math.isnan(impossible.temperature)


def test_overconfidence_between_two_sound_ends_is_no_barrier_after_calibration() -> None:
    sound, labels = planted(1.0)
    sure = planted(5.0)[0]
    path = calibrated_barrier(np.array([0, 0.5, 1]), [sound, sure, sound], labels)
    plain = [float(functional.nll_loss(outputs, labels)) for outputs in (sound, sure, sound)]
    assert plain[1] - plain[0] > 0.5
    assert path.barrier == pytest.approx(0, abs=1e-6)
    assert path.barrier_over_chord == pytest.approx(0, abs=1e-6)
    assert path.temperatures[1] == pytest.approx(5 * path.temperatures[0], rel=1e-3)
    assert all(path.losses <= plain)


# a logged path


@pytest.fixture
def pair(store: MlflowClient) -> str:
    assert train_pair([*QUICK, "--model=mlp_l1_w16_bn", "--shift=label_2080"]) == 0
    return str(runs_of_kind(store, "pair")[0].info.run_id)


def test_a_path_logs_who_pays_and_its_sides_add_up_to_its_height(store: MlflowClient, pair: str) -> None:
    assert main([f"--pair={pair}", "--num_alphas=5", "--num_resamples=0", *HERE]) == 0
    paths = query.paths()
    table = query.barrier_by_class(paths)
    points = query.path_curves(paths)
    assert set(table["split"]) == {"test", "train_a", "train_b"}
    for split, rows in table.groupby("split"):
        own = points[points["split"] == split].sort_values("alpha")
        alphas, losses = own["alpha"].to_numpy(), own["loss"].to_numpy()
        heights = losses - ((1 - alphas) * losses[0] + alphas * losses[-1])
        assert rows["contribution"].sum() == pytest.approx(heights[1:-1].max(), abs=1e-6)
        assert (alphas == rows["alpha"].iloc[0]).argmax() == 1 + heights[1:-1].argmax()
        sides = rows.groupby("seen_more")["contribution"].sum()
        for side, name in (("A", "a"), ("B", "b")):
            assert paths[f"{split}/paid_by_{name}_classes"][0] == pytest.approx(sides[side], abs=1e-12)
    lower = table[(table["split"] == "test") & (table["label"] < 5)]
    assert set(lower["seen_more"]) == {"B"}  # label_2080: A holds 20 % of the lower classes
    assert table[table["split"] == "test"]["num_samples"].sum() == 355


def test_the_calibrated_barrier_is_logged_and_other_numbers_stay(store: MlflowClient, pair: str) -> None:
    flags = [f"--pair={pair}", "--num_alphas=3", "--splits=test,train_a", *HERE]
    assert main(flags) == 0
    assert main([*flags, "--calibrate=true"]) == 0
    plain, found = sorted(runs_of_kind(store, "path"), key=lambda run: run.data.params["path.calibrate"])
    assert {key: found.data.metrics[key] for key in plain.data.metrics} == plain.data.metrics
    assert found.data.tags["lmc.fingerprint"] != plain.data.tags["lmc.fingerprint"]
    points = query.path_curves(query.paths().query("run_id == @found.info.run_id"))
    assert (points["calibrated_loss"] <= points["loss"] + 1e-9).all()
    a = load_network(store, found.data.tags["lmc.run_a"]).network()
    test = load_shifted(DataConfig(), torch.device("cpu")).test
    expected = best_temperature(predict(a, test.images), test.labels)
    assert found.data.metrics["test/temperature_a"] == pytest.approx(expected.temperature, rel=1e-4)
    own = points[points["split"] == "test"].sort_values("alpha")["calibrated_loss"].to_numpy()
    assert own[0] == pytest.approx(expected.loss, abs=1e-7)
    assert found.data.metrics["test/calibrated_barrier"] == pytest.approx(own.max() - (own[0] + own[-1]) / 2)


def test_both_engines_find_the_same_temperatures() -> None:
    images, labels = ResidentImages(torch.randn(300, 1, 4, 4)), torch.randint(0, 3, (300,))
    spec = NetworkSpec("mlp_l1_w8", 1, 4, 4, 3)
    network, other = build_network(spec, 0), build_network(spec, 1)
    grid = Grid(np.array([0, 0.5, 1]), calibrate=True)
    found = [
        measure_path(
            network,
            Segment(network.state_dict(), other.state_dict()),
            grid,
            {"test": (images, labels)},
            "interpolate",
            engine=engine,
        )
        for engine in ("fast", "exact")
    ]
    fast, exact = (path.calibrated["test"] for path in found if path.calibrated is not None)
    np.testing.assert_allclose(fast.losses, exact.losses, atol=1e-5)
    np.testing.assert_allclose(fast.temperatures, exact.temperatures, rtol=1e-2)
    assert (fast.losses <= found[0].losses["test"] + 1e-9).all()
