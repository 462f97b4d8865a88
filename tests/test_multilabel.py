"""Networks for images with several labels are trained, measured and drawn by their average precision."""

import inspect
import json
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, isnan, log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bigearthnet_archives import patch_labels, patch_pixels, write_v2
from conftest import runs_of_kind
from matplotlib.figure import Figure
from mlflow import MlflowClient
from sklearn.metrics import average_precision_score
from torch import nn

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.prepare_data import main as prepare_data
from entry_points.star import main as star
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots, query
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.data.holdout import random80
from lmc_mlflow.data.loading import ShiftedData, load_shifted
from lmc_mlflow.data.readers.bigearthnet.classes import CLASSES
from lmc_mlflow.evaluation import evaluate, predict
from lmc_mlflow.findings.overview import path_conditions
from lmc_mlflow.models.parameters import num_parameters
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.predictions.scores import (
    Scores,
    make_tally,
    mean_loss,
    sample_losses,
    score_name,
    weighted_average_precision,
)
from lmc_mlflow.query.networks import LoggedNetwork, load_network, load_split
from lmc_mlflow.seeds import stream

NUM_PATCHES = 40
NUM_TEST = 8
HERE = ["--device=cpu", "--threads=1"]
CPU = torch.device("cpu")


# scores


def softplus(x: float) -> float:
    return log(1 + exp(x))


def test_the_loss_is_the_binary_cross_entropy_averaged_over_the_classes() -> None:
    logits = torch.tensor([[0.0, 2.0], [-1.0, 3.0]])
    labels = torch.tensor([[1, 0], [0, 1]], dtype=torch.uint8)
    # -log sigmoid(x) = softplus(-x) where the class occurs, -log(1 - sigmoid(x)) = softplus(x) where not
    first, second = (softplus(0) + softplus(2)) / 2, (softplus(-1) + softplus(-3)) / 2
    assert (first, second) == pytest.approx((1.410037, 0.180924), abs=1e-6)
    assert sample_losses(logits, labels).tolist() == pytest.approx([first, second])
    assert mean_loss(logits, labels).item() == pytest.approx((first + second) / 2)
    library = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
    assert mean_loss(logits, labels).item() == library.item()


def test_the_score_s_name_follows_from_the_labels() -> None:
    assert score_name(torch.tensor([2, 0])) == "accuracy"
    assert score_name(torch.tensor([[0, 1], [1, 1]])) == "average_precision"


def test_average_precision_weighs_every_class_by_its_positives() -> None:
    logits = torch.tensor([[0.9, 0.1], [0.8, 0.6], [0.7, 0.5], [0.2, 0.4]])
    labels = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=torch.uint8)
    # class 0: positives rank 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3; class 1: the positive ranks 1
    first = (1 + 2 / 3 + 3 / 4) / 3
    assert weighted_average_precision(logits, labels) == pytest.approx((3 * first + 1) / 4)
    assert weighted_average_precision(logits, labels) == pytest.approx(0.854167, abs=1e-6)


def test_a_single_positive_ranked_last_of_three_is_a_third() -> None:
    logits, labels = torch.tensor([[3.0], [2.0], [1.0]]), torch.tensor([[0], [0], [1]])
    assert weighted_average_precision(logits, labels) == pytest.approx(1 / 3)


def test_equal_outputs_have_the_precision_of_the_share_of_positives() -> None:
    labels = torch.tensor([[1, 1], [0, 1], [0, 1], [0, 0]])
    assert weighted_average_precision(torch.zeros(4, 2), labels) == pytest.approx((1 * 1 / 4 + 3 * 3 / 4) / 4)


def test_average_precision_is_scikit_learn_s() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 19, generator=generator)
    labels = (torch.rand(50, 19, generator=generator) < 0.2).to(torch.uint8)
    labels[0] = 1
    expected = average_precision_score(labels.numpy(), logits.numpy(), average="weighted")
    assert weighted_average_precision(logits, labels) == expected
    assert weighted_average_precision(logits.sigmoid().double(), labels) == pytest.approx(expected)


def test_a_class_that_no_image_has_weighs_nothing_and_warns_of_nothing() -> None:
    logits = torch.tensor([[0.9, 5.0, 0.1], [0.8, -5.0, 0.6], [0.7, 0.0, 0.5]])
    labels = torch.tensor([[1, 0, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = weighted_average_precision(logits, labels)
    assert found == weighted_average_precision(logits[:, [0, 2]], labels[:, [0, 2]])
    assert found == pytest.approx((2 * (1 + 2 / 3) / 2 + 1) / 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_are_no_numbers_have_no_average_precision(bad: float) -> None:
    labels = torch.tensor([[1, 0], [0, 1]])
    assert isnan(weighted_average_precision(torch.tensor([[bad, 0.0], [1.0, 2.0]]), labels))


def test_a_tally_of_batches_is_the_score_of_all_samples_at_once() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(10, 3, generator=generator)
    labels = (torch.rand(10, 3, generator=generator) < 0.5).to(torch.uint8)
    tally = make_tally(labels)
    for part in torch.arange(10).split(4):
        tally.add(sample_losses(logits[part], labels[part]).double().sum(), logits[part], labels[part])
    found = tally.scores()
    assert found.score == weighted_average_precision(logits, labels)
    assert found.loss == pytest.approx(sample_losses(logits, labels).double().mean().item())


def test_evaluating_a_network_gives_the_scores_of_its_outputs() -> None:
    images = torch.tensor([[0.9, 0.1], [0.8, 0.6], [0.7, 0.5], [0.2, 0.4]])
    labels = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=torch.uint8)
    found = evaluate(nn.Flatten(), ResidentImages(images[:, :, None, None]), labels)
    assert isinstance(found, Scores)
    assert found.score == pytest.approx(0.854167, abs=1e-6)
    assert found.loss == pytest.approx(mean_loss(images, labels).item())


def test_the_vgg_like_network_for_one_band_has_1_082_771_parameters() -> None:
    network = build_network(NetworkSpec("vgg_like", 1, 120, 120, 19, output="logits"), seed=0)
    assert num_parameters(network) == 1_082_771
    outputs = network.eval()(torch.randn(2, 1, 120, 120, generator=torch.Generator().manual_seed(0)))
    assert outputs.shape == (2, 19)
    assert (outputs > 0).any()  # no log-probability is above 0
    assert not torch.allclose(outputs.exp().sum(dim=1), torch.ones(2))


# a pair of two bands, from an archive to a figure


@dataclass(frozen=True)
class Trained:
    """A store that holds a pair of two bands and its path beside a pair of digits and its path."""

    client: MlflowClient
    folder: Path
    pair: str
    a: str
    b: str
    path: str

    def metrics(self, run_id: str) -> dict[str, float]:
        return dict(self.client.get_run(run_id).data.metrics)

    def tags(self, run_id: str) -> dict[str, str]:
        return dict(self.client.get_run(run_id).data.tags)

    def artifact(self, run_id: str, path: str) -> Path:
        return Path(self.client.get_run(run_id).info.artifact_uri) / path

    def network(self, run_id: str) -> LoggedNetwork:
        return load_network(self.client, run_id)


@pytest.fixture(scope="module")
def trained(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("multilabel")
    database = folder / "mlflow.db"
    shutil.copy(empty_store, database)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))
    connection.close()
    archive = folder / "archive"
    write_v2(archive, NUM_PATCHES, ("B02", "B08"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        patch.chdir(folder)
        assert prepare_data([f"--data_root={archive}", "--bands=B02,B08", "--processes=1"]) == 0
        small = [*HERE, "--model=mlp_l1_w8", "--epochs=2"]
        bands = ["--dataset=bigearthnet", "--shift=bands_B02_B08", f"--data_root={archive}", "--batch_size=3"]
        assert train_pair([*small, *bands]) == 0
        client = MlflowClient(tracking_uri=f"sqlite:///{database}")
        pair = runs_of_kind(client, "pair")[0].info.run_id
        assert interpolate([f"--pair={pair}", "--num_alphas=5", *HERE]) == 0
        assert train_pair([*small, "--c2st_samples=0"]) == 0
        digits = runs_of_kind(client, "pair")[1].info.run_id
        assert interpolate([f"--pair={digits}", "--num_alphas=3", *HERE]) == 0
        ends = {run.data.tags["lmc.side"]: run.info.run_id for run in runs_of_kind(client, "endpoint")[:2]}
        path = runs_of_kind(client, "path")[0].info.run_id
        yield Trained(client, folder, pair, ends["A"], ends["B"], path)


@pytest.fixture(scope="module")
def data(trained: Trained) -> ShiftedData:
    """What the pair was trained and tested on, rebuilt from its runs."""
    logged = trained.network(trained.a)
    return load_shifted(logged.config.data, CPU, load_split(trained.client, logged.split_run))


def test_every_run_of_several_labels_logs_its_average_precision_and_no_accuracy(trained: Trained) -> None:
    for run_id in (trained.pair, trained.a, trained.b):
        metrics = trained.metrics(run_id)
        assert {"train/loss", "train/average_precision", "test/loss", "test/average_precision"} <= set(metrics)
        for key in ("train/average_precision", "test/average_precision"):
            assert 0 < metrics[key] <= 1
            assert len(trained.client.get_metric_history(run_id, key)) == 2
    path = trained.metrics(trained.path)
    for split in ("test", "train_a", "train_b"):
        found = {f"path_{key}" for key in ("loss", "average_precision")}
        found |= {"barrier", "average_precision_delta", "min_average_precision_delta"}
        assert {f"{split}/{key}" for key in found} <= set(path)
    for run_id in (trained.pair, trained.a, trained.b, trained.path):
        of_images = {key for key in trained.metrics(run_id) if not key.startswith("shift/")}
        assert [key for key in of_images if "accuracy" in key] == []


def test_a_pair_is_described_by_its_average_precision(trained: Trained) -> None:
    for run_id in (trained.pair, trained.a, trained.path):
        note = trained.tags(run_id)["mlflow.note.content"]
        assert "average precision" in note
        assert "ccuracy" not in note


def test_four_fifths_of_the_patches_are_trained_on_and_the_rest_is_tested_twice(data: ShiftedData) -> None:
    assert (len(data.a), len(data.b), len(data.test)) == (32, 32, 2 * NUM_TEST)
    assert data.test.images.shape == (2 * NUM_TEST, 1, 120, 120)
    assert data.classes == CLASSES


def test_the_test_set_is_side_a_s_rendering_and_then_side_b_s(data: ShiftedData) -> None:
    train, test = random80(NUM_PATCHES, split_seed=0)
    (images,) = data.test.images.batches(None, 2 * NUM_TEST)
    for half, band in enumerate(("B02", "B08")):
        known, shown = (np.stack([patch_pixels(row, band) for row in rows]) for rows in (train, test))
        expected = (shown - known.mean()) / known.std()
        seen = images[half * NUM_TEST : (half + 1) * NUM_TEST, 0].double().numpy()
        assert np.abs(seen - expected).max() < 1e-5
    labels = [[name in patch_labels(row) for name in CLASSES] for row in test]
    assert data.test.labels.tolist() == 2 * np.array(labels, dtype=int).tolist()


def test_both_sides_see_the_same_patches_in_the_same_order(trained: Trained, data: ShiftedData) -> None:
    assert data.sides.a.tolist() == data.sides.b.tolist()
    assert sorted(data.sides.a) == list(range(32))
    assert torch.equal(data.a.labels, data.b.labels)
    train, _ = random80(NUM_PATCHES, split_seed=0)
    for side, band in ((data.a, "B02"), (data.b, "B08")):
        (images,) = side.images.batches(None, 32)
        known = np.stack([patch_pixels(row, band) for row in train])
        expected = (known[data.sides.a] - known.mean()) / known.std()
        assert np.abs(images[:, 0].double().numpy() - expected).max() < 1e-5


def test_both_sides_drew_the_same_noise(trained: Trained, data: ShiftedData) -> None:
    assert trained.tags(trained.pair)["lmc.same_noise"] == "true"
    assert trained.tags(trained.a)["lmc.noise_digest"] == trained.tags(trained.b)["lmc.noise_digest"]
    check = json.loads(trained.artifact(trained.pair, "noise_check.json").read_text())
    assert check["same_labels"] is True
    tenth_batch = torch.randperm(32, generator=stream(1, "order", 1))[27:30]  # of three
    train, _ = random80(NUM_PATCHES, split_seed=0)
    rows = train[data.sides.a][tenth_batch.numpy()]
    classes = [sorted(CLASSES.index(name) for name in patch_labels(row)) for row in rows]
    traced = check["first_10_labels_of_batch_10"]
    assert set(traced) == {"epoch_1", "epoch_2"}  # of two; the third trace is of epochs 20 and 21
    assert traced["epoch_1"] == {"A": classes, "B": classes}


def test_the_ends_of_the_path_are_the_endpoints_own_scores_to_the_last_bit(trained: Trained) -> None:
    content = json.loads(trained.artifact(trained.path, "path.json").read_text())
    table = pd.DataFrame(content["data"], columns=content["columns"])
    assert "accuracy" not in table
    on_test = table[table["split"] == "test"].set_index("alpha")
    assert on_test.index.tolist() == [0, 0.25, 0.5, 0.75, 1]
    for alpha, run_id in ((0.0, trained.a), (1.0, trained.b)):
        own = trained.metrics(run_id)
        assert on_test.loc[alpha, "loss"] == own["test/loss"]
        assert on_test.loc[alpha, "average_precision"] == own["test/average_precision"]


def test_a_logged_network_scores_what_was_logged(trained: Trained, data: ShiftedData) -> None:
    network = trained.network(trained.b)
    assert network.spec.output == "logits"
    assert network.spec.num_classes == 19
    assert network.digests["test"] == data.test.digest
    own = trained.metrics(trained.b)
    assert evaluate(network.network(), data.test.images, data.test.labels) == (
        own["test/loss"],
        own["test/average_precision"],
    )
    outputs, truth = predict(network.network(), data.test.images).numpy(), data.test.labels.numpy()
    present = np.flatnonzero(truth.any(axis=0))
    each = [average_precision_score(truth[:, c], outputs[:, c]) for c in present]
    assert own["test/average_precision"] == pytest.approx(np.average(each, weights=truth[:, present].sum(axis=0)))


def test_classes_that_the_test_set_lacks_are_left_out(trained: Trained, data: ShiftedData) -> None:
    assert not data.test.labels.any(dim=0).all()
    assert not isnan(trained.metrics(trained.a)["test/average_precision"])


@pytest.mark.parametrize("members", ["pair", "runs"])
def test_an_ensemble_of_several_labels_is_refused_before_a_run_is_opened(
    trained: Trained, members: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    flag = f"--pair={trained.pair}" if members == "pair" else f"--runs={trained.a},{trained.b}"
    assert ensemble([flag, *HERE]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"run {trained.a} was trained on bigearthnet, whose images have several labels each" in line
    assert "votes, wrong agreement and wrong disagreement are defined for one label an image" in line
    assert line.rstrip().endswith("ensembles are refused here, interpolate works")
    assert runs_of_kind(trained.client, "ensemble") == []
    assert {run.info.status for run in trained.client.search_runs(["0"])} == {"FINISHED"}


def test_an_ensemble_of_digits_and_bands_is_refused_too(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    digits = runs_of_kind(trained.client, "endpoint")[2].info.run_id
    assert ensemble([f"--runs={digits},{trained.a}", *HERE]) == 1
    assert "several labels each" in capsys.readouterr().err


# tables and figures


def test_tables_of_both_kinds_hold_each_score_where_it_is_defined(trained: Trained) -> None:
    for table in (query.pairs(), query.endpoints()):
        several = table["dataset"] == "bigearthnet"
        assert set(table["dataset"]) == {"bigearthnet", "digits"}
        assert table.loc[several, "test/average_precision"].notna().all()
        assert table.loc[several, "test/accuracy"].isna().all()
        assert table.loc[~several, "test/accuracy"].notna().all()
        assert table.loc[~several, "test/average_precision"].isna().all()
    paths = query.paths().set_index("dataset")
    assert paths["test/average_precision_delta"].notna().to_dict() == {"bigearthnet": True, "digits": False}
    assert paths["test/accuracy_delta"].notna().to_dict() == {"bigearthnet": False, "digits": True}
    assert paths.loc["bigearthnet", "connected"] in ("yes", "no", "apparent")


def test_curves_of_both_kinds_hold_each_score_where_it_is_defined(trained: Trained) -> None:
    learning, paths = query.learning_curves(query.endpoints()), query.path_curves(query.paths())
    assert len(learning) == 4 * 2 * 2
    assert len(paths) == 3 * 5 + 3 * 3
    for curves in (learning, paths):
        several = curves["dataset"] == "bigearthnet"
        assert curves["average_precision"].notna().tolist() == several.tolist()
        assert curves["accuracy"].notna().tolist() == (~several).tolist()
    last = learning[(learning["epoch"] == 2) & (learning["split"] == "test")].set_index("run_id")
    assert last.loc[trained.a, "average_precision"] == trained.metrics(trained.a)["test/average_precision"]


def of_bands(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["dataset"] == "bigearthnet"]


def of_two_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """The same runs with a second batch size: one alone makes no axis."""
    return pd.concat([of_bands(table), of_bands(table).assign(batch_size=4096)])


def learned() -> pd.DataFrame:
    return query.learning_curves(of_bands(query.endpoints()))


def walked() -> pd.DataFrame:
    return query.path_curves(of_bands(query.paths()))


SCORED: dict[Callable[..., Figure], Callable[[], Figure]] = {
    plots.barrier_by_model: lambda: plots.barrier_by_model(of_bands(query.paths())),
    plots.barrier_by_band_distance: lambda: plots.barrier_by_band_distance(of_bands(query.paths())),
    plots.barrier_by_batch_and_lr: lambda: plots.barrier_by_batch_and_lr(of_two_sizes(query.paths())),
    plots.overview: lambda: plots.overview(path_conditions(of_bands(query.paths()))),
    plots.learning_figure: lambda: plots.learning_figure(learned(), "title"),
    plots.learning_over_seeds: lambda: plots.learning_over_seeds(learned()),
    plots.paths_over_seeds: lambda: plots.paths_over_seeds(walked()),
    plots.learning_by_scaling: lambda: plots.learning_by_scaling(learned().assign(model="mlp_l1_w8")),
    plots.paths_by_variant: lambda: plots.paths_by_variant(walked().assign(model="mlp_l1_w8")),
    plots.path_figure: lambda: plots.path_figure(walked(), "title"),
    plots.aligned_path_figure: lambda: plots.aligned_path_figure(walked(), walked(), "title"),
    plots.curve_figure: lambda: plots.curve_figure(walked(), walked(), "title"),
    plots.plane_figure: lambda: plots.plane_figure(
        of_a_plane(), {"as logged": {"A": (0, 0), "B": (1, 0), "C": (0, 1)}}, "title"
    ),
    plots.polar_figure: lambda: plots.polar_figure(walked(), "title"),
    plots.polar_over_seeds: lambda: plots.polar_over_seeds(walked()),
    plots.segments_figure: lambda: plots.segments_figure(walked().assign(kind="regular"), "title"),
    plots.star_by_sources: lambda: plots.star_by_sources(of_a_star()),
}
UNSCORED: dict[Callable[..., Figure], Callable[[], Figure]] = {
    plots.angle_against_manhattan: lambda: plots.angle_against_manhattan(of_bands(query.paths())),
    plots.angle_of_connected: lambda: plots.angle_of_connected(of_bands(query.paths()).assign(connected="yes")),
    plots.angle_by_family: lambda: plots.angle_by_family(of_bands(query.paths()).assign(connected="yes")),
    plots.final_training_loss: lambda: plots.final_training_loss(of_two_sizes(query.endpoints())),
}
OF_LOSSES = {
    plots.aligned_by_width,
    plots.aligned_over_seeds,
    plots.barrier_by_budget,
    plots.barrier_by_noise_scale,
    plots.barrier_by_noise_source,
    plots.barrier_by_parting,
    plots.barrier_by_shift_size,
    plots.phase_diagram,
    plots.barrier_by_epoch,
    plots.paths_by_epoch_figure,
    plots.paths_by_layer_figure,
    plots.error_barrier_by_model,
    plots.error_barrier_by_slope,
    plots.first_batch_figure,
    plots.barriers_of_zoo,
    plots.angle_against_sharpness,
    plots.curvature_figure,
    plots.diagnosis_figure,
    plots.layers_figure,
    plots.matrix_figure,
    plots.segments_of_zoo,
}
"""Figures of barriers, losses and images, which name no score."""
OF_ONE_LABEL = {
    plots.boundaries,
    plots.calibrated_figure,
    plots.other_scores_figure,
    plots.paths_of_zoo,
    plots.who_pays_figure,
}
"""Figures of moons, of a score that the caller names, and of classes."""
OF_ENSEMBLES = {
    plots.diversity_against_sharpness,
    plots.accuracy_by_size,
    plots.scores_by_size,
    plots.ensemble_comparison,
    plots.ensemble_scheme,
    plots.polar_of_ensembles,
}


SCHEMES = {plots.star_domain_scheme}
"""Drawings that need no runs."""


def of_a_star() -> pd.DataFrame:
    """A star as `query.stars` has it where images have several labels."""
    barrier = {"star_source/test/barrier_over_chord": 0.1}
    return pd.DataFrame([{"num_sources": 2, "sources": "a,b", "seed": 1, "average_precision/star": 0.5, **barrier}])


def of_a_plane() -> pd.DataFrame:
    """A plane of two by two points as `plane.csv` has it where images have several labels."""
    points = [(x, y) for x in (0.0, 1.0) for y in (0.0, 1.0)]
    rows = [{"x": x, "y": y, "loss": 1 + x + y, "average_precision": 0.5 + 0.1 * x + 0.2 * y} for x, y in points]
    return pd.DataFrame(rows).assign(panel="as logged")


def on_axes(figure: Figure) -> str:
    """What stands on axes, or over a panel where its radius is named."""
    texts = [text for panel in figure.axes for text in (panel.get_xlabel(), panel.get_ylabel(), panel.get_title())]
    return "\n".join(texts)


def is_blank(figure: Figure) -> bool:
    return any(text.get_gid() == "missing" for panel in figure.axes for text in panel.texts)


def test_every_figure_is_drawn_here_or_shows_ensembles() -> None:
    figures = {value for value in vars(plots).values() if inspect.isfunction(value)}
    assert figures == {
        *SCORED,
        *UNSCORED,
        *OF_LOSSES,
        *OF_ONE_LABEL,
        *OF_ENSEMBLES,
        *SCHEMES,
        plots.beside_paper,
        plots.missing_command,
        plots.png_bytes,
        plots.svg_bytes,
    }


@pytest.mark.parametrize("draw", SCORED.values(), ids=[plot.__name__ for plot in SCORED])
def test_a_figure_of_several_labels_names_its_average_precision(trained: Trained, draw: Callable[[], Figure]) -> None:
    figure = draw()
    assert not is_blank(figure)
    assert "average precision" in on_axes(figure)
    assert "accuracy" not in on_axes(figure)
    figure.savefig(trained.folder / "figure.png", dpi=40)


@pytest.mark.parametrize("draw", UNSCORED.values(), ids=[plot.__name__ for plot in UNSCORED])
def test_a_figure_without_a_score_is_drawn_of_several_labels_too(trained: Trained, draw: Callable[[], Figure]) -> None:
    figure = draw()
    assert not is_blank(figure)
    figure.savefig(trained.folder / "figure.png", dpi=40)


def test_a_figure_of_a_store_of_both_kinds_shows_accuracies(trained: Trained) -> None:
    curves = query.learning_curves(query.endpoints())
    for figure in (plots.barrier_by_model(query.paths()), plots.learning_over_seeds(curves)):
        assert not is_blank(figure)
        assert "accuracy" in on_axes(figure)
        figure.savefig(trained.folder / "figure.png", dpi=40)


def test_a_star_joins_networks_of_several_labels(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--sources={trained.a},{trained.b}", "--epochs=1", "--num_alphas=3", *HERE]
    assert star([*flags, "--own_loss_weight=1"]) == 1
    assert "has several labels an image" in capsys.readouterr().err
    assert star(flags) == 0
    (run,) = runs_of_kind(trained.client, "star")
    assert {"average_precision/star", "average_precision/sources"} <= set(run.data.metrics)
    assert "accuracy/ensemble" not in run.data.metrics
    assert "average_precision/star" in capsys.readouterr().out
