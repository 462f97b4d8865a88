"""Shifts that change the images of side B leave side A and the split unchanged, and their size is logged."""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from bigearthnet_archives import patch_pixels, write_v2
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from torch import Tensor

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.data.datasets import load_dataset
from lmc_mlflow.data.holdout import random80
from lmc_mlflow.data.loading import LabelledImages, ShiftedData, load_shifted
from lmc_mlflow.data.readers.bigearthnet.prepare import prepare
from lmc_mlflow.data.shifts.corruptions import corrupt, rotate
from lmc_mlflow.seeds import derive_seed

CPU = torch.device("cpu")
ONE_EPOCH = [*QUICK, "--epochs=1", "--model=mlp_l1_w4", "--batch_size=256"]
RENDERED = ("corrupt_noise_3", "corrupt_blur_2", "rotate_30")
HERE = ["--device=cpu", "--threads=1"]
C2ST = ("shift/c2st_accuracy", "shift/c2st_accuracy_low", "shift/c2st_accuracy_high", "shift/c2st_samples")


def loaded(shift: str, **options: object) -> ShiftedData:
    return load_shifted(DataConfig(shift=shift, **options), CPU)


def pixels(part: LabelledImages) -> Tensor:
    """All images of a side or of the test set."""
    return torch.cat(list(part.images.batches(None, 500)))


def bytes_of(part: LabelledImages) -> np.ndarray:
    """Images under normalization=unit as they were stored."""
    found = 255 * pixels(part).double()
    assert (found - found.round()).abs().max() < 1e-4
    return found.round().to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def halves() -> ShiftedData:
    """Digits under label_5050."""
    return loaded("label_5050")


# what the sides hold and see


@pytest.mark.parametrize("shift", RENDERED)
def test_a_rendering_leaves_the_halves_and_side_a_as_they_are(shift: str, halves: ShiftedData) -> None:
    data = loaded(shift)
    assert data.sides.a.tolist() == halves.sides.a.tolist()
    assert data.sides.b.tolist() == halves.sides.b.tolist()
    assert torch.equal(pixels(data.a), pixels(halves.a))
    assert data.a.digest == halves.a.digest
    assert torch.equal(data.b.labels, halves.b.labels)
    assert torch.equal(data.a.labels, data.b.labels)  # the same label at the same position


@pytest.mark.parametrize("shift", RENDERED)
def test_digests_tell_side_b_and_the_test_set_from_those_of_label_5050(shift: str, halves: ShiftedData) -> None:
    data = loaded(shift)
    assert data.digest == halves.digest
    assert data.b.digest != halves.b.digest
    assert data.test.digest != halves.test.digest
    assert (loaded(shift).b.digest, loaded(shift).test.digest) == (data.b.digest, data.test.digest)


def test_digests_tell_every_shift_and_split_seed_from_every_other() -> None:
    shifts = [("corrupt_noise_3", 0), ("corrupt_noise_3", 1), ("corrupt_noise_4", 0), ("rotate_30", 0)]
    data = [loaded(shift, split_seed=seed) for shift, seed in shifts]
    assert len({one.b.digest for one in data}) == 4
    assert len({one.test.digest for one in data}) == 4


RENDER: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "corrupt_noise_3": lambda images, seed: corrupt(images, "noise", 3, seed),
    "corrupt_blur_2": lambda images, seed: corrupt(images, "blur", 2, seed),
    "corrupt_jpeg_5": lambda images, seed: corrupt(images, "jpeg", 5, seed),
    "rotate_30": lambda images, _seed: rotate(images, 30),
    "rotate_-90": lambda images, _seed: np.rot90(images, -1, axes=(2, 3)),
    "rotate_0": lambda images, _seed: images,
}


@pytest.mark.parametrize("shift", RENDER)
def test_side_b_sees_the_rendering_of_its_own_half(shift: str) -> None:
    plain, data = loaded("label_5050", normalization="unit"), loaded(shift, normalization="unit")
    expected = RENDER[shift](bytes_of(plain.b), derive_seed(0, "rendering/train"))
    assert np.array_equal(bytes_of(data.b), expected)


@pytest.mark.parametrize("shift", RENDER)
def test_the_test_set_is_the_clean_images_and_then_the_rendered_ones(shift: str) -> None:
    plain, data = loaded("label_5050", normalization="unit"), loaded(shift, normalization="unit")
    num_test = len(plain.test)
    assert data.test.images.shape == (2 * num_test, 1, 28, 28)
    assert torch.equal(data.test.labels, torch.cat([plain.test.labels] * 2))
    clean, seen = np.split(bytes_of(data.test), 2)
    assert np.array_equal(clean, bytes_of(plain.test))
    assert np.array_equal(seen, RENDER[shift](clean, derive_seed(0, "rendering/test")))


def test_the_split_seed_seeds_the_noise_of_side_b() -> None:
    plain = loaded("label_5050", normalization="unit", split_seed=3)
    data = loaded("corrupt_noise_1", normalization="unit", split_seed=3)
    assert np.array_equal(bytes_of(data.b), corrupt(bytes_of(plain.b), "noise", 1, derive_seed(3, "rendering/train")))


@pytest.mark.parametrize("shift", ["corrupt_brightness_5", "rotate_45"])
def test_a_worse_camera_is_scaled_by_side_a_s_constants(shift: str) -> None:
    train = torch.from_numpy(load_dataset(DataConfig()).train.take(np.arange(1442))).double() / 255
    mean, deviation = train.mean(), train.std(correction=0)
    stored = torch.from_numpy(bytes_of(loaded(shift, normalization="unit").b)).double() / 255
    centered = pixels(loaded(shift).b).double()
    assert (centered - (stored - mean) / deviation).abs().max() < 1e-5
    assert abs(centered.mean()) > 0.01  # side B's own constants would have given 0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty patches, prepared in two bands."""
    root = tmp_path_factory.mktemp("archive")
    write_v2(root, 20, ("B02", "B08"))
    prepare(root, root / "lmc_store", ("B02", "B08"), 1, lambda _line: None)
    return root


def test_each_band_is_scaled_by_its_own_constants(archive: Path) -> None:
    data = loaded("bands_B02_B08", dataset="bigearthnet", data_root=str(archive))
    train, test = random80(20, split_seed=0)
    assert data.sides.a.tolist() == data.sides.b.tolist()
    for side, band in ((data.a, "B02"), (data.b, "B08")):
        known = np.stack([patch_pixels(row, band) for row in train]).astype(np.float64)
        expected = (known[data.sides.a] - known.mean()) / known.std()
        assert np.abs(pixels(side)[:, 0].double().numpy() - expected).max() < 1e-5
    assert len(data.test) == 2 * len(test)


def test_bands_the_other_way_round_exchange_the_sides(archive: Path) -> None:
    there, back = (
        loaded(shift, dataset="bigearthnet", data_root=str(archive)) for shift in ("bands_B02_B08", "bands_B08_B02")
    )
    assert torch.equal(pixels(there.a), pixels(back.b))
    assert torch.equal(pixels(there.b), pixels(back.a))
    assert torch.equal(pixels(there.test)[:4], pixels(back.test)[4:])
    assert len({there.a.digest, there.b.digest, back.a.digest, back.b.digest}) == 4


def test_one_band_on_both_sides_is_no_shift(archive: Path) -> None:
    data = loaded("bands_B08_B08", dataset="bigearthnet", data_root=str(archive))
    assert torch.equal(pixels(data.a), pixels(data.b))


# what does not go together


@pytest.fixture
def refused(store: MlflowClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    """Runs a command that must fail before it opens a run; gives the one line that it answers with."""

    def run(main: Callable[[Sequence[str]], int], *flags: str) -> str:
        before = {r.info.run_id: r.info.status for r in store.search_runs(["0"])}
        capsys.readouterr()
        caplog.clear()
        assert main(list(flags)) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1, printed.err
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        assert {r.info.run_id: r.info.status for r in store.search_runs(["0"])} == before
        return printed.err.strip()

    return run


@pytest.mark.parametrize(
    ("flags", "way_out"),
    [
        (["--shift=corrupt_fog_3"], "corruption 'fog' is unknown; choose from blur, brightness, contrast, jpeg, noise"),
        (["--shift=corrupt_nois_3"], "corruption 'nois' is unknown (did you mean 'noise'?)"),
        (["--shift=corrupt_noise_6"], "corruption 'noise': severity 6 is unknown; choose from 1, 2, 3, 4, 5"),
        (["--shift=corrupt_noise_0"], "corruption 'noise': severity 0 is unknown; choose from 1, 2, 3, 4, 5"),
        (["--shift=corrupt_noise"], "shift 'corrupt_noise' is unknown"),
        (["--shift=rotate_left"], "shift 'rotate_left' is unknown"),
        (["--shift=bands_B02_B13"], "rendering 'B13' is unknown"),
        (["--shift=bands_natral_B02"], "rendering 'natral' is unknown (did you mean 'natural'?)"),
        (["--shift=bands_natural_B08"], "natural has 3 channels and B08 has 1; one network cannot take both"),
        (["--shift=bands_B02_B08"], "shift 'bands_B02_B08' needs the bands of dataset=bigearthnet; choose another"),
        (["--dataset=moons", "--shift=corrupt_noise_3"], "'corrupt_noise_3' needs images of 8 bits a channel"),
        (["--dataset=moons", "--shift=rotate_30"], "'rotate_30' needs images of 8 bits a channel"),
        (["--validation=train"], "validation belongs to dataset="),
        (["--c2st_samples=-1"], "c2st_samples=-1: must be at least 0"),
        (["--memory_gb=-1"], "memory_gb=-1.0: must be at least 0"),
        (["--test_split=random_80"], "test_split 'random_80' is unknown (did you mean 'random80'?)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_shift_that_cannot_be_is_answered_in_one_line(refused, flags: list[str], way_out: str) -> None:
    line = refused(train_pair, *ONE_EPOCH, *flags)
    assert line.startswith("train_pair: ")
    assert way_out in line


def test_validation_images_that_a_data_set_does_not_have_are_not_asked_for(refused) -> None:
    line = refused(train_pair, *ONE_EPOCH, "--validation=train")
    assert line.endswith("not digits; leave it at its default") or line.endswith("not digits; leave it at unused")


@pytest.mark.parametrize("shift", ["label_5050", "none", "subset_0.5", "corrupt_noise_3", "rotate_30"])
def test_patches_without_bands_are_refused(refused, archive: Path, shift: str) -> None:
    line = refused(train_pair, *ONE_EPOCH, "--dataset=bigearthnet", f"--data_root={archive}", f"--shift={shift}")
    assert f"bigearthnet: shift='{shift}' does not say which bands to read; choose bands_<x>_<y>" in line


def test_a_band_that_is_not_prepared_names_the_command_that_does_it(refused, archive: Path) -> None:
    flags = ["--dataset=bigearthnet", f"--data_root={archive}", "--shift=bands_B02_B03"]
    line = refused(train_pair, *ONE_EPOCH, *flags)
    assert re.search(r"has no band B03; prepare it with: .*python3? -m entry_points\.prepare_data --data_root", line)


def trained(client: MlflowClient, *flags: str) -> tuple[str, str]:
    """Train a pair; the run ids of its sides A and B."""
    assert train_pair([*ONE_EPOCH, *flags]) == 0
    runs = {run.data.tags["lmc.side"]: run.info.run_id for run in runs_of_kind(client, "endpoint")[-2:]}
    return runs["A"], runs["B"]


def test_networks_of_different_test_sets_are_not_joined(refused, store: MlflowClient) -> None:
    plain, _ = trained(store, "--shift=label_5050", "--c2st_samples=0")
    _, noisy = trained(store, "--shift=corrupt_noise_3", "--c2st_samples=0")
    line = refused(interpolate, f"--run_a={plain}", f"--run_b={noisy}", *HERE)
    assert f"runs {plain} and {noisy} cannot be joined: test set" in line


def test_networks_of_shifts_with_one_test_set_are_joined(store: MlflowClient) -> None:
    plain, _ = trained(store, "--shift=label_5050", "--c2st_samples=0")
    skewed, _ = trained(store, "--shift=label_2080", "--c2st_samples=0")
    assert interpolate([f"--run_a={plain}", f"--run_b={skewed}", "--num_alphas=3", *HERE]) == 0


def test_a_corrupted_pair_is_joined_and_its_ends_are_its_endpoints(store: MlflowClient) -> None:
    a, b = trained(store, "--shift=corrupt_noise_3", "--c2st_samples=0")
    pair = store.get_run(a).data.tags["mlflow.parentRunId"]
    assert interpolate([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    (path,) = runs_of_kind(store, "path")
    losses = {p.step: p.value for p in store.get_metric_history(path.info.run_id, "test/path_loss")}
    assert losses[0] == store.get_run(a).data.metrics["test/loss"]
    assert losses[1000] == store.get_run(b).data.metrics["test/loss"]


# several labels an image


@pytest.fixture
def several(tmp_path: Path) -> list[str]:
    """Flags of 23 training and 5 test images of three labels each, any number of which may be 1."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, number in (("train", 23), ("test", 5)):
        arrays[f"{part}_images"] = generator.integers(0, 256, (number, 6, 6), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.array([[1, i % 2, i % 3 == 0] for i in range(number)], dtype=np.uint8)
    np.savez(tmp_path / "several.npz", **arrays)
    return ["--dataset=npz", f"--data_root={tmp_path / 'several.npz'}"]


OTHERS = "subset_<fraction>, corrupt_<kind>_<severity>, rotate_<degrees>, bands_<x>_<y>, none"


@pytest.mark.parametrize("shift", ["label_5050", "label_2080", "dirichlet_0.5"])
def test_images_of_several_labels_are_not_divided_by_class(refused, several: list[str], shift: str) -> None:
    line = refused(train_pair, *ONE_EPOCH, *several, f"--shift={shift}")
    assert f"shift '{shift}' divides images by their class, and these have several labels each; choose {OTHERS}" in line


@pytest.mark.parametrize(
    ("shift", "sizes", "num_test"),
    [
        ("subset_0.25", (6, 17), 5),  # 5.75 rounded
        ("none", (23, 23), 5),
        ("corrupt_noise_3", (11, 11), 10),  # an odd one is left out
        ("rotate_30", (11, 11), 10),
    ],
)
def test_images_of_several_labels_are_divided_as_one_class(
    store: MlflowClient, several: list[str], shift: str, sizes: tuple[int, int], num_test: int
) -> None:
    config = parse_flags("train_pair", TrainPairConfig, [*ONE_EPOCH, *several, f"--shift={shift}"])
    data = load_shifted(config.data, CPU)
    assert (len(data.a), len(data.b), len(data.test)) == (*sizes, num_test)
    if shift != "none":
        assert not set(data.sides.a) & set(data.sides.b)
    assert train_pair([*ONE_EPOCH, *several, f"--shift={shift}"]) == 0
    for run in runs_of_kind(store, "endpoint"):
        assert 0 < run.data.metrics["test/average_precision"] <= 1


@pytest.mark.parametrize(
    ("labelled", "message"),
    [
        ("train", "npz: none of the 5 images of the test set has a label"),
        ("test", "npz: none of the 23 images of side A has a label"),
    ],
)
def test_images_without_a_single_label_are_refused(refused, tmp_path: Path, labelled: str, message: str) -> None:
    arrays = {}
    for part, number in (("train", 23), ("test", 5)):
        arrays[f"{part}_images"] = np.arange(number * 36, dtype=np.uint8).reshape(number, 6, 6)
        arrays[f"{part}_labels"] = np.full((number, 3), part == labelled, dtype=np.uint8)
    np.savez(tmp_path / "none.npz", **arrays)
    flags = ["--dataset=npz", f"--data_root={tmp_path / 'none.npz'}", "--shift=none"]
    assert message in refused(train_pair, *ONE_EPOCH, *flags)


# splits


def test_random80_pools_the_digits_and_splits_them_anew() -> None:
    official, anew = load_dataset(DataConfig()), load_dataset(DataConfig(test_split="random80"))
    assert (len(official.train_labels), len(official.test_labels)) == (1442, 355)
    assert (len(anew.train_labels), len(anew.test_labels)) == (1437, 360)  # 1,797 in all; 4/5 of it is 1,437.6
    pooled = np.concatenate([official.train_labels, official.test_labels])
    train, test = random80(1797, split_seed=0)
    assert anew.train_labels.tolist() == pooled[train].tolist()
    assert anew.test_labels.tolist() == pooled[test].tolist()
    images = np.concatenate([part.take(np.arange(part.shape[0])) for part in (official.train, official.test)])
    assert np.array_equal(anew.test.take(np.arange(360)), images[test])


def test_another_split_seed_splits_the_digits_another_way() -> None:
    sizes, digests = [], set()
    for seed in (0, 1):
        data = loaded("label_5050", test_split="random80", split_seed=seed)
        sizes.append(len(data.test))
        digests.add(data.digest)
    assert sizes == [360, 360]
    assert len(digests | {loaded("label_5050").digest}) == 3


def test_the_digits_own_split_is_the_default() -> None:
    assert loaded("label_5050", test_split="official").digest == loaded("label_5050").digest


# how large the shift is


def points(client: MlflowClient, run_id: str, key: str) -> list[float]:
    return [point.value for point in client.get_metric_history(run_id, key)]


def test_the_size_of_the_shift_is_logged_once_on_the_pair(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*ONE_EPOCH, "--shift=corrupt_blur_3", "--c2st_samples=300"]
    for _ in range(2):
        assert train_pair(flags) == 0
    assert "(finished before)" in capsys.readouterr().out
    (pair,) = runs_of_kind(store, "pair")
    for key in (*C2ST, "shift/label_divergence"):
        assert len(points(store, pair.info.run_id, key)) == 1
    metrics = pair.data.metrics
    assert metrics["shift/c2st_samples"] == 300
    assert metrics["shift/c2st_accuracy_low"] <= metrics["shift/c2st_accuracy"] <= metrics["shift/c2st_accuracy_high"]
    assert metrics["shift/c2st_accuracy"] > 0.9
    assert metrics["shift/label_divergence"] == 0  # halves hold as many of every class
    for run in runs_of_kind(store, "endpoint"):
        assert [key for key in run.data.metrics if key.startswith("shift/")] == []


def test_a_resumed_pair_does_not_log_the_size_of_its_shift_again(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmc_mlflow.workflows.pair import train_pair as workflow

    flags = [*ONE_EPOCH, "--epochs=2", "--shift=label_2080", "--c2st_samples=100"]
    original = workflow.Recorder.on_epoch

    def stop_after_one(self, epoch, reports) -> None:
        original(self, epoch, reports)
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow.Recorder, "on_epoch", stop_after_one)
    assert train_pair(flags) == 130
    monkeypatch.setattr(workflow.Recorder, "on_epoch", original)
    before = runs_of_kind(store, "pair")[0].data.metrics
    assert train_pair(flags) == 0
    (pair,) = runs_of_kind(store, "pair")
    assert pair.info.status == "FINISHED"
    for key in (*C2ST, "shift/label_divergence"):
        assert points(store, pair.info.run_id, key) == [before[key]]


def test_a_test_set_of_no_samples_measures_nothing(store: MlflowClient) -> None:
    trained(store, "--c2st_samples=0")
    (pair,) = runs_of_kind(store, "pair")
    assert [key for key in pair.data.metrics if key.startswith("shift/")] == []
    assert train_pair([*ONE_EPOCH, "--c2st_samples=300"]) == 0
    assert len(runs_of_kind(store, "pair")) == 1  # the same configuration, finished before


def test_measuring_the_shift_is_no_part_of_a_result_s_identity() -> None:
    prints = {
        fingerprint(parse_flags("train_pair", TrainPairConfig, [*QUICK, *flags]))
        for flags in ([], ["--c2st_samples=0"], ["--c2st_samples=10"])
    }
    assert len(prints) == 1


def test_halves_of_digits_cannot_be_told_apart(store: MlflowClient) -> None:
    trained(store, "--shift=label_5050", "--c2st_samples=1000")
    metrics = runs_of_kind(store, "pair")[0].data.metrics
    assert metrics["shift/c2st_accuracy_low"] < 0.5 < metrics["shift/c2st_accuracy_high"]
    assert metrics["shift/c2st_samples"] == 1000
    assert metrics["shift/label_divergence"] == 0


def test_a_label_shift_diverges_by_hand(store: MlflowClient) -> None:
    trained(store, "--shift=label_2080", "--c2st_samples=100")
    data = loaded("label_2080")
    a, b = (np.bincount(part.labels.numpy(), minlength=10) / len(part) for part in (data.a, data.b))
    middle = (a + b) / 2
    expected = (a * np.log2(a / middle) + b * np.log2(b / middle)).sum() / 2
    assert 0.2 < expected < 0.35  # of 20 and 80 percent exactly 1 - H(0.2) = 0.278 bits
    assert runs_of_kind(store, "pair")[0].data.metrics["shift/label_divergence"] == pytest.approx(expected)
