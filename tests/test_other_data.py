"""`test_on`: further test sets as splits of their own, from renderings, data sets and folders."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main
from entry_points.matrix import main as matrix
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.other_data import OtherDataConfig, split_name
from lmc_mlflow.data.loading import LabelledImages, load_shifted
from lmc_mlflow.data.other_tests import Raw, labels_in_order, load_other_tests
from lmc_mlflow.data.pixels import ArraySource
from lmc_mlflow.data.readers.digits import read_digits
from lmc_mlflow.evaluation import evaluate, predict
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.predictions.unlabelled import accuracy_by_agreement, accuracy_on_the_line, pairwise_agreement
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.query.runs import metric_curve
from lmc_mlflow.workflows.matrix import matrix as matrix_command

CPU = torch.device("cpu")
HERE = ["--device=cpu", "--threads=1"]
BN = [*QUICK, "--model=mlp_l1_w16_bn"]


@pytest.fixture
def pair(store: MlflowClient) -> str:
    assert train_pair([*BN, "--shift=label_2080"]) == 0
    return str(runs_of_kind(store, "pair")[0].info.run_id)


def paths_of(store: MlflowClient) -> list[Run]:
    """Paths without further test sets before those with some."""
    return sorted(runs_of_kind(store, "path"), key=lambda run: run.data.params["other_data.test_on"])


def pixels(images: LabelledImages) -> torch.Tensor:
    return torch.cat(list(images.images.batches(None, 500)))


def load(config: DataConfig, *given: str) -> dict[str, LabelledImages]:
    own = load_shifted(config, CPU).test
    found = load_other_tests(config, OtherDataConfig(given).names, own, CPU)
    return {name: test.images for name, test in found.items()}


def folder_of_digits(root: Path, size: int = 28, names: str = "0123456789", shuffled: bool = False) -> Path:
    """Write test digits as PNG files, a folder a class."""
    parts = read_digits()
    for i, (image, label) in enumerate(zip(parts.test_images, parts.test_labels, strict=True)):
        if str(label) in names:
            name = f"class {names[::-1].index(str(label))}" if shuffled else str(label)
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).resize((size, size)).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("test", "test"),
        ("corrupt_blur_5", "corrupt_blur_5"),
        ("rotate_-12.5", "rotate_-12.5"),
        ("/data/my photos", "my_photos"),
        ("/data/photos/test", "photos_test"),
        ("/data/photos.npz", "photos"),
        ("my_data:load", "my_data_load"),
    ],
)
def test_a_split_is_named_after_what_it_is(given: str, name: str) -> None:
    assert split_name(given) == name


def test_two_test_sets_of_one_name_and_names_of_other_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="both would be the split 'photos'"):
        OtherDataConfig(("/a/photos", "/b/photos"))
    with pytest.raises(ValueError, match="name each once"):
        OtherDataConfig(("rotate_30", "rotate_30"))
    with pytest.raises(ValueError, match="rename the folder"):
        OtherDataConfig(("size",))


def test_the_logged_test_set_and_an_equal_data_set_are_the_same_pixels_and_labels() -> None:
    config = DataConfig()
    own = load_shifted(config, CPU).test
    found = load(config, "test", "digits")
    assert found["test"].digest == found["digits"].digest == own.digest
    assert torch.equal(pixels(found["digits"]), pixels(own))
    assert torch.equal(found["digits"].labels, own.labels)


def test_a_rendering_is_what_side_b_of_that_shift_is_tested_on() -> None:
    found = load(DataConfig(), "corrupt_noise_3", "rotate_30")
    for shift, images in found.items():
        both = load_shifted(DataConfig(shift=shift), CPU).test
        half = len(both) // 2
        assert torch.equal(pixels(images), pixels(both)[half:])
        assert torch.equal(images.labels, both.labels[half:])
        assert images.digest != load_shifted(DataConfig(), CPU).test.digest


def test_networks_of_rendered_sides_are_tested_on_renderings_of_the_images_as_they_are_read() -> None:
    (found,) = load(DataConfig(shift="rotate_90"), "rotate_30").values()
    assert torch.equal(pixels(found), pixels(load(DataConfig(), "rotate_30")["rotate_30"]))


def test_a_folder_of_the_same_pictures_has_the_same_images_class_by_class(tmp_path: Path) -> None:
    own = load_shifted(DataConfig(), CPU).test
    for root in (tmp_path / "photos", tmp_path / "both"):
        folder_of_digits(root if root.name == "photos" else root / "test")
    (tmp_path / "both" / "train").mkdir()
    for found in load(DataConfig(), str(tmp_path / "photos"), str(tmp_path / "both")).values():
        order = torch.argsort(own.labels, stable=True)
        assert torch.equal(found.labels, own.labels[order])
        assert sorted(pixels(found).sum(dim=(1, 2, 3)).tolist()) == sorted(pixels(own).sum(dim=(1, 2, 3)).tolist())


def test_classes_of_the_same_names_in_another_order_keep_their_meaning() -> None:
    source = ArraySource(np.zeros((3, 1, 2, 2), dtype=np.uint8))
    raw = Raw(source, np.array([0, 1, 2]), ("ant", "bee", "cat"), DataConfig())
    assert labels_in_order(raw, ("cat", "ant", "bee")).tolist() == [1, 2, 0]
    assert labels_in_order(raw, ("ant", "bee", "cow")).tolist() == [0, 1, 2]  # others: in their order
    several = replace(raw, labels=np.array([[1, 0, 0], [0, 1, 1]], dtype=np.uint8))
    assert labels_in_order(several, ("cat", "ant", "bee")).tolist() == [[0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("corrupt_blurr_5", "corruption 'blurr' is unknown"),
        ("corrupt_blur_7", "severity 7 is unknown"),
        ("rotate_ninety", "test_on 'rotate_ninety' is unknown"),
        ("digitz", "did you mean 'digits'"),
        ("/no/such/folder", "there is no such folder or file"),
        ("moons", "its images are 2 x 1 x 1 in 2 classes, and those of digits are 1 x 28 x 28 in 10 classes"),
        ("bigearthnet", "chosen by a shift"),
    ],
)
def test_what_cannot_be_tested_on_is_refused_in_one_line(given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(DataConfig(), given)
    assert "\n" not in str(caught.value)


def test_folders_of_another_size_or_fewer_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 x 20 x 20 in 10 classes, and those of digits are 1 x 28 x 28"):
        load(DataConfig(), str(folder_of_digits(tmp_path / "small", 20)))
    with pytest.raises(ValueError, match="in 3 classes"):
        load(DataConfig(), str(folder_of_digits(tmp_path / "few", names="012")))


def test_a_path_on_the_logged_test_set_by_another_name_has_its_numbers_to_the_last_bit(
    store: MlflowClient, pair: str, tmp_path: Path
) -> None:
    flags = [f"--pair={pair}", "--num_alphas=5", "--keep_samples=true", *HERE]
    assert main(flags) == 0
    assert main([*flags, "--test_on=digits,rotate_30,corrupt_noise_5"]) == 0
    plain, new = paths_of(store)
    assert {"test", "digits", "rotate_30", "corrupt_noise_5"} <= {key.split("/")[0] for key in new.data.metrics}
    for key, value in plain.data.metrics.items():
        assert new.data.metrics[key] == value, key
        if key.startswith("test/") and not key.endswith(("_low", "_high")):
            assert new.data.metrics[key.replace("test/", "digits/")] == value, key
    for measure in ("loss", "accuracy", "ece"):
        curves = [metric_curve(store, new.info.run_id, f"{split}/path_{measure}") for split in ("test", "digits")]
        assert curves[0] == curves[1]
    assert new.data.tags["lmc.connected"] == plain.data.tags["lmc.connected"]
    assert new.data.tags["lmc.fingerprint"] != plain.data.tags["lmc.fingerprint"]
    names = {
        split: {key.split("/")[1] for key in new.data.metrics if key.startswith(f"{split}/")} - {"half_paid_by"}
        for split in ("test", "rotate_30")  # half of no barrier is paid by nobody
    }
    assert names["rotate_30"] == names["test"]
    samples = np.load(store.download_artifacts(new.info.run_id, "samples.npz", str(tmp_path)))
    for split in ("test", "rotate_30"):
        (a, b), labels = samples[f"{split}_predicted"][[0, -1]], samples[f"{split}_labels"]
        accuracy = ((a == labels).mean() + (b == labels).mean()) / 2
        wrong = (a != labels) & (b != labels)
        expected = {"agreement": (a == b).mean(), "wrong_agreement": (wrong & (a == b)).mean()}
        expected |= {"wrong_disagreement": (wrong & (a != b)).mean()}
        expected |= {"agreement_minus_accuracy": (a == b).mean() - accuracy}
        for name, value in expected.items():
            assert new.data.metrics[f"{split}/ends_{name}"] == pytest.approx(value), name
    points = query.path_curves(query.paths().query("run_id == @new.info.run_id"))
    assert set(points["split"]) == {"test", "train_a", "train_b", "digits", "rotate_30", "corrupt_noise_5"}


def test_the_ends_of_a_rendered_split_are_what_the_networks_score_there(store: MlflowClient, pair: str) -> None:
    assert main([f"--pair={pair}", "--num_alphas=3", "--splits=test", "--test_on=corrupt_contrast_5", *HERE]) == 0
    (run,) = runs_of_kind(store, "path")
    curve = metric_curve(store, run.info.run_id, "corrupt_contrast_5/path_loss")
    (images,) = load(DataConfig(), "corrupt_contrast_5").values()
    for tag, step in (("lmc.run_a", 0), ("lmc.run_b", 1000)):
        network = load_network(store, run.data.tags[tag])
        assert curve[step] == evaluate(network.network(), images.images, images.labels).loss


def test_a_name_that_is_no_test_set_leaves_no_run(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in ("digitz", "/no/such/folder", "moons"):
        assert main([f"--pair={pair}", f"--test_on={given}", *HERE]) != 0
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert runs_of_kind(store, "path") == []


def test_a_broken_further_split_does_not_break_the_connection(store: MlflowClient, pair: str) -> None:
    flags = [f"--pair={pair}", "--num_alphas=3", "--test_on=rotate_180", *HERE]
    assert main([*flags, "--accuracy_delta_threshold=-0.0", "--barrier_threshold=0"]) == 0
    assert main([*flags[:2], *HERE, "--accuracy_delta_threshold=-0.0", "--barrier_threshold=0"]) == 0
    plain, new = paths_of(store)
    for name in ("connected", "connected_by_error", "connected_interval"):
        assert new.data.tags[f"lmc.{name}"] == plain.data.tags[f"lmc.{name}"]


# ensembles


def test_an_ensemble_on_an_equal_data_set_has_its_scores_and_intervals_to_the_last_bit(
    store: MlflowClient, pair: str, tmp_path: Path
) -> None:
    flags = [f"--pair={pair}", "--num_alphas=4", "--num_resamples=20", *HERE]
    assert ensemble(flags) == 0
    assert ensemble([*flags, "--test_on=digits,corrupt_noise_5"]) == 0
    plain, found = sorted(runs_of_kind(store, "ensemble"), key=lambda run: run.data.params["other_data.test_on"])
    own = {key: value for key, value in plain.data.metrics.items() if key != "num_cached_members"}
    assert {key: found.data.metrics[key] for key in own} == own
    assert found.data.metrics["num_cached_members"] == found.data.metrics["num_members"]
    for name in ("nll", "ece", "wrong_agreement", "mean_prediction_accuracy", "auroc_entropy"):
        for ending in ("", "_low", "_high"):
            assert found.data.metrics[f"digits/{name}{ending}"] == own[f"{name}{ending}"]
    (images,) = load(DataConfig(), "corrupt_noise_5").values()
    a, b = sorted(
        (load_network(store, run.info.run_id) for run in runs_of_kind(store, "endpoint")), key=lambda one: one.side
    )
    votes = []
    for alpha in (0, 1 / 3, 0.5, 2 / 3, 1):
        network = a.network()
        network.load_state_dict(Segment(a.state, b.state).point(alpha))
        votes.append(predict(network, images.images).argmax(dim=1).numpy())
    correct = np.mean([own == images.labels.numpy() for own in votes])
    agreement = np.mean([(votes[i] == votes[j]).mean() for i in range(5) for j in range(i)])
    metrics = found.data.metrics
    assert metrics["corrupt_noise_5/member_accuracy"] == pytest.approx(correct)
    assert metrics["corrupt_noise_5/estimated_accuracy_gde"] == pytest.approx(agreement)
    assert metrics["corrupt_noise_5/estimated_accuracy_gde_error"] == pytest.approx(agreement - correct)
    files = Path(store.download_artifacts(found.info.run_id, "", str(tmp_path)))
    assert np.load(files / "predictions_corrupt_noise_5.npz")["probabilities"].shape == (5, 355, 10)
    table = query.ensemble_scores_on_other_data(query.ensembles())
    assert set(table["split"]) == {"digits", "corrupt_noise_5"}
    assert set(table["run_id"]) == {found.info.run_id}


def test_agreement_is_counted_pair_by_pair() -> None:
    votes = np.array([[0, 1, 2, 0], [0, 1, 1, 1], [1, 1, 2, 0]])
    np.testing.assert_allclose(pairwise_agreement(votes), [0.5, 0.75, 0.25])
    assert accuracy_by_agreement(votes) == 0.5


def test_agreement_equals_accuracy_where_members_and_labels_are_drawn_alike() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.2] * 5, 4000)
    draws = np.array([rng.choice(5, size=4, p=own) for own in probabilities]).T
    votes, labels = draws[:3], draws[3]  # a calibrated ensemble: the label is drawn as a member's vote is
    assert accuracy_by_agreement(votes) == pytest.approx((votes == labels).mean(), abs=0.02)


def test_accuracies_that_lie_on_the_line_of_agreements_are_found() -> None:
    rng = np.random.default_rng(1)

    def votes_of(noise: float, labels: np.ndarray) -> np.ndarray:
        wrong = rng.random((6, len(labels))) < noise * np.linspace(0.05, 0.3, 6)[:, None]
        return np.where(wrong, rng.integers(0, 50, wrong.shape), labels)

    labels, others = rng.integers(0, 50, 4000), rng.integers(0, 50, 4000)
    known, votes = votes_of(1, labels), votes_of(2, others)
    assert accuracy_on_the_line(votes, known, labels) == pytest.approx((votes == others).mean(), abs=0.03)
    assert np.isnan(accuracy_on_the_line(votes[:2], known[:2], labels))


# matrices


def test_a_matrix_on_an_equal_data_set_has_its_barriers_and_is_resumed_and_found_again(
    store: MlflowClient, pair: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ",".join(run.info.run_id for run in runs_of_kind(store, "endpoint"))
    flags = [f"--runs={ids}", "--num_alphas=3", "--split=test", "--test_on=digits,rotate_-30", *HERE]
    logged = matrix_command.log_other_matrices
    monkeypatch.setattr(matrix_command, "log_other_matrices", lambda *_: raise_interrupt())
    assert matrix(flags) != 0
    monkeypatch.setattr(matrix_command, "log_other_matrices", logged)
    assert matrix(flags) == 0
    assert matrix(flags) == 0
    (run,) = [run for run in runs_of_kind(store, "matrix") if run.info.status == "FINISHED"]
    found = query.matrix_pairs_on_other_data(query.matrices())
    plain = query.matrix_pairs(query.matrices())
    own = found[found["test_on"] == "digits"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own[plain.columns], plain)
    rotated = found[found["test_on"] == "rotate_-30"]
    assert run.data.metrics["rotate_-30/mean_barrier"] == pytest.approx(rotated["barrier_over_chord"].mean())
    assert run.data.metrics["digits/max_barrier"] == run.data.metrics["max_barrier"]


def raise_interrupt() -> dict[str, float]:
    raise KeyboardInterrupt
