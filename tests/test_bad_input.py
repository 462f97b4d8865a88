"""Every wrong input is answered in one line that says what to do, and leaves no run in the state RUNNING."""

import errno
import logging
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUICK, command, runs_of_kind
from mlflow import MlflowClient
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torchvision.datasets import CIFAR10, MNIST

from entry_points.interpolate import main as interpolate
from entry_points.main import main as story
from entry_points.repair import main as repair
from entry_points.train_pair import main as train_pair
from lmc_mlflow.query import runs
from lmc_mlflow.tracking.connection.store import open_store

Main = Callable[[Sequence[str]], int]
ONE_EPOCH = [*QUICK, "--epochs=1"]
HERE = ["--device=cpu", "--threads=1"]
GIVEN = ["--normalization=given"]


def all_runs(client: MlflowClient) -> dict[str, str]:
    """Run id -> status of every run there is."""
    return {run.info.run_id: run.info.status for run in client.search_runs(["0"])}


@pytest.fixture
def refused(store: MlflowClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture):
    """Runs a command that must fail before it opens a run; gives the one line that it answers with."""

    def run(main: Main, *flags: str) -> str:
        before = all_runs(store)
        capsys.readouterr()
        caplog.clear()
        assert main(list(flags)) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1, printed.err
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        assert all_runs(store) == before
        return printed.err.strip()

    return run


@dataclass(frozen=True)
class Pair:
    """Run ids of a trained pair."""

    pair: str
    a: str
    b: str


def trained(client: MlflowClient, *flags: str) -> Pair:
    """Train a pair in the store; its run ids."""
    known = {run.info.run_id for run in runs_of_kind(client, "pair")}
    assert train_pair([*ONE_EPOCH, *flags]) == 0
    pair = next(run.info.run_id for run in runs_of_kind(client, "pair") if run.info.run_id not in known)
    sides = {
        run.data.tags["lmc.side"]: run.info.run_id
        for run in runs_of_kind(client, "endpoint")
        if run.data.tags["mlflow.parentRunId"] == pair
    }
    return Pair(pair, sides["A"], sides["B"])


@pytest.fixture
def pair(store: MlflowClient) -> Pair:
    return trained(store)


def artifact(client: MlflowClient, run_id: str, path: str) -> Path:
    """Where a run's artifact lies on the disk."""
    return Path(client.get_run(run_id).info.artifact_uri) / path


def weights(client: MlflowClient, run_id: str) -> dict[str, torch.Tensor]:
    return load_file(artifact(client, run_id, "checkpoint/model.safetensors"))


def write_folder(root: Path) -> Path:
    """Four grey training images and two test images of 8 x 8 in each of two classes."""
    for split, number in (("train", 4), ("test", 2)):
        for c, name in enumerate(("cat", "dog")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                Image.new("L", (8, 8), 100 * c + 10 * i).save(folder / f"{i}.png")
    return root


# values


BAD_FLAGS = [
    (
        ["--dataset=digit"],
        "dataset 'digit' is unknown (did you mean 'digits'?); choose from <module>:<function>, big",
    ),
    (["--dataset=faces"], "cifar100, csv, digits, fashion_mnist, imagefolder, mnist, moons, npz, tiny_imagenet"),
    (
        ["--shift=lable_2080"],
        "shift 'lable_2080' is unknown; choose from <module>:<function>, bands_<x>_<y>, corrupt_<kind>_",
    ),
    (["--shift=label_2090"], "20 + 90 is 110; the two must add up to 100, as in label_2080"),
    (["--model=mlp_l3_w5_5"], "l3 needs 3 widths above 0, one for each hidden layer, or one for all"),
    (["--model=mlp_l1_w0"], "l1 needs 1 widths above 0"),
    (["--model=mlp_w5"], "an MLP is called mlp_l<layers>_w<width>"),
    (["--model=resnet18"], "model 'resnet18' is unknown (did you mean 'resnet18_w<width>'?); choose from "),
    (["--model=densenet40"], "model 'densenet40' is unknown (did you mean 'densenet40_k12'?); choose from "),
    (["--model=resnet11"], "model 'resnet11' is unknown (did you mean 'resnet10'?); choose from "),
    (["--model=timm:nonsense"], "knows no such network"),
    (["--model=timm:resnet17"], "did you mean timm:resnet1"),
    (["--model=vgg11"], "model 'vgg11' cannot take images of 1 x 28 x 28"),
    (["--shfit=label_2080"], "flag '--shfit' is unknown (did you mean '--shift'?); choose from "),
    (["--shfit", "label_2080"], "flag '--shfit' is unknown (did you mean '--shift'?)"),
    (["--shif=label_2080"], "flag '--shif' is unknown (did you mean '--shift'?)"),
    (["label_2080"], "'label_2080': every value belongs to a flag, as in --shift label_2080"),
    (["--force"], "argument --force: expected one argument"),
    (["--force=yes"], "force='yes': give true or false"),
    (["--lr=0"], "lr=0.0: must be greater than 0"),
    (["--lr=-1"], "lr=-1.0: must be greater than 0"),
    (["--lr=abc"], "lr='abc': give a number"),
    (["--lr=nan"], "lr=nan: give a finite number"),
    (["--lr=inf"], "lr=inf: give a finite number"),
    (["--epochs=0"], "epochs=0: must be at least 1"),
    (["--epochs=1.5"], "epochs='1.5': give a whole number"),
    (["--batch_size=0"], "batch_size=0: must be at least 1"),
    (
        ["--model=mlp_l1_w8_bn", "--batch_size=1"],
        "a single one, which batch norm cannot take; choose another batch_size",
    ),
    (["--momentum=0.9"], "momentum and nesterov belong to optimizer=sgd, not adam; leave them out"),
    (["--optimizer=sdg"], "optimizer 'sdg' is unknown (did you mean 'sgd'?); choose from adam, adamw, rmsprop, sgd"),
    (["--warmup_epochs=3"], "warmup_epochs=3.0: must be below epochs=3"),
    (["--steps=0"], "steps=0: must be at least 1"),
    (["--until_train_loss=0"], "until_train_loss=0.0: must be greater than 0"),
    (["--until_train_accuracy=99"], "until_train_accuracy=99.0: must be at most 1.0"),
    (["--steps=5", "--until_train_loss=1"], "steps and until_train_loss both end the training; give one of them"),
    (["--steps=30"], "epochs=3: steps=30 are 2 epochs of batch_size=32 here; leave epochs out"),
    (["--noise_scope=paper", "--noise_seed=1"], "leave noise_seed at auto"),
    (["--image_size=1000000"], "digits: 1,442 images of 1,000,000,000,000 bytes would fill 1,342,967.2 GiB, "),
    (["--dataset=moons", "--image_size=8"], "image_size=8: moons holds points, not pictures; leave image_size at auto"),
    (["--dataset=moons", "--channels=3"], "channels=3: moons holds points, not pictures; leave channels at auto"),
    (["--channels=2"], "channels '2' is unknown; choose from 1, 3, auto"),
    (["--normalization=given"], "normalization=given needs mean and std, as in mean=0.485,0.456,0.406 std=0.2"),
    (["--normalization=given", "--mean=0.5"], "normalization=given needs mean and std"),
    (["--normalization=given", "--std=0.5"], "normalization=given needs mean and std"),
    (["--mean=0.5"], "mean=0.5 belongs to normalization=given; leave it out"),
    (["--std=0.5,0.4", "--normalization=unit"], "std=0.5,0.4 belongs to normalization=given; leave it out"),
    ([*GIVEN, "--mean=0.5", "--std=0"], "std=0.0: must be at least 1e-06"),
    ([*GIVEN, "--mean=0.5", "--std=nan"], "std=nan: give a finite number"),
    ([*GIVEN, "--mean=0.1,0.2", "--std=1,1,1"], "mean has 2 numbers and std 3; give one for each channel, or one for"),
    (
        [*GIVEN, "--mean=0.1,0.2,0.3", "--std=0.5"],
        "mean=0.1,0.2,0.3: images of digits have 1 channel; give one number for each, or one for all, or channels=3",
    ),
    ([*GIVEN, "--mean=123.7", "--std=58.4"], "mean=123.7: pixels lie in [0, 1] here; divide mean and std by 255"),
    (["--device=tpu"], "device='tpu': choose auto, cpu, cuda or cuda:N"),
    (["--device=meta"], "device='meta': choose auto, cpu, cuda or cuda:N"),
    (["--device=cuda:99"], "choose cpu or auto"),
]


@pytest.mark.parametrize(("flags", "way_out"), BAD_FLAGS, ids=[" ".join(flags) for flags, _ in BAD_FLAGS])
def test_a_wrong_value_is_answered_with_what_would_be_right(refused, flags: list[str], way_out: str) -> None:
    line = refused(train_pair, *QUICK, *flags)
    assert line.startswith("train_pair: ")
    assert way_out in line


def test_every_command_refuses_an_unknown_flag(refused) -> None:
    for main, name in ((train_pair, "train_pair"), (interpolate, "interpolate"), (story, "main"), (repair, "repair")):
        assert refused(main, "--sed=1").startswith(f"{name}: flag '--sed' is unknown")


def test_the_story_refuses_to_compare_a_seed_with_itself(refused) -> None:
    assert "other_seed=1 is the first pair's seed; choose another" in refused(story, *QUICK, "--other_seed=1")


def test_a_dead_run_s_age_must_be_above_0(refused) -> None:
    assert "stale_minutes=0.0: must be greater than 0" in refused(repair, "--stale_minutes=0")


@pytest.mark.slow
def test_a_process_answers_with_one_line_too(store: MlflowClient) -> None:
    answer = command("train_pair", *QUICK, "--model=vgg11")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("train_pair: model 'vgg11' cannot take images of 1 x 28 x 28")
    assert answer.stderr.count("\n") == 1
    assert all_runs(store) == {}


# data


@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "imagefolder"])
@pytest.mark.parametrize("state", ["missing", "empty"])
def test_a_data_root_without_data_is_named(
    refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, state: str
) -> None:
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    root = tmp_path / "pictures"
    if state == "empty":
        root.mkdir()
    line = refused(train_pair, *QUICK, f"--dataset={dataset}", f"--data_root={root}")
    assert line.startswith(f"train_pair: {dataset}: ")
    assert str(root) in line
    assert "put its files there" in line or "must hold train/<class>/ and test/<class>/" in line


def test_a_file_as_data_root_is_named(refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    file = tmp_path / "file"
    file.write_text("no folder")
    for dataset in ("mnist", "imagefolder"):
        assert str(file) in refused(train_pair, *QUICK, f"--dataset={dataset}", f"--data_root={file}")


def test_a_cut_image_is_named(refused, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pictures")
    file = root / "train" / "dog" / "2.png"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    line = refused(train_pair, *QUICK, "--dataset=imagefolder", f"--data_root={root}")
    assert f"{file} cannot be read as an image" in line
    assert line.endswith("replace or remove it")


def test_a_cut_mnist_file_leads_to_its_folder(refused, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, axes in (("images-idx3", (10, 28, 28)), ("labels-idx1", (10,))):
        for part in ("train", "t10k"):
            header = bytes([0, 0, 8, len(axes)]) + np.array(axes, dtype=">u4").tobytes()
            whole = header + bytes(int(np.prod(axes)))
            (raw / f"{part}-{name}-ubyte").write_bytes(whole[:-5] if part == "train" else whole)
    line = refused(train_pair, *QUICK, "--dataset=mnist", f"--data_root={tmp_path}")
    assert f"mnist: a file under data_root='{tmp_path}' is damaged or cut short; delete it" in line


def test_a_side_without_images_is_refused(refused, tmp_path: Path) -> None:
    for folder in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / "pictures" / folder).mkdir(parents=True)
        Image.new("L", (8, 8), ord(folder[-1])).save(tmp_path / "pictures" / folder / "0.png")
    line = refused(train_pair, *QUICK, "--dataset=imagefolder", f"--data_root={tmp_path / 'pictures'}")
    assert "shift 'label_5050': a side is left without samples (2 images of 2 classes)" in line


# runs to join


def test_neither_or_both_ways_of_naming_the_ends_are_refused(refused) -> None:
    way_out = "give either pair=<pair run id> or both run_a and run_b, each a run id or a URI (models:/...)"
    for flags in ([], ["--run_a=1"], ["--run_b=1"], ["--pair=1", "--run_a=2", "--run_b=3"], ["--pair=1", "--run_a=2"]):
        assert way_out in refused(interpolate, *flags)


@pytest.mark.parametrize("run_id", ["0" * 32, "z" * 32])
def test_a_whole_id_that_is_not_in_the_store_is_refused(refused, run_id: str) -> None:
    line = refused(interpolate, f"--pair={run_id}", *HERE)
    assert f"run {run_id} does not exist in sqlite:///" in line
    assert "check the id, and MLFLOW_TRACKING_URI if it is in another store" in line


def test_a_prefix_that_no_run_has_is_refused(refused) -> None:
    line = refused(interpolate, "--pair=xyz", *HERE)
    assert "no run's id begins with 'xyz'" in line
    assert line.endswith("check the id, and MLFLOW_TRACKING_URI")


@pytest.mark.parametrize("run_id", ["../etc", "a b", "'", "%", "a%", "ä", "runs:abc"])
def test_a_malformed_id_is_refused(refused, run_id: str) -> None:
    line = refused(interpolate, f"--run_a={run_id}", "--run_b=abc", *HERE)
    assert f"run id {run_id!r}: letters and digits only; copy it from the UI" in line


def test_a_prefix_of_several_runs_is_refused_listing_them(
    refused, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "SHORTEST_PREFIX", 1)
    ids = [store.create_run("0").info.run_id for _ in range(17)]  # of 17 ids two begin with the same of 16 digits
    for run_id in ids:
        store.set_terminated(run_id)
    first = next(digit for digit in "0123456789abcdef" if sum(i.startswith(digit) for i in ids) > 1)
    several = [i for i in ids if i.startswith(first)]
    line = refused(interpolate, f"--pair={first}", *HERE)
    assert f"{len(several)} runs' ids begin with {first!r} (" in line
    assert several[0][:12] in line
    assert line.endswith("give more of it")


def test_an_endpoint_that_is_not_finished_is_refused(refused, store: MlflowClient, pair: Pair) -> None:
    store.set_terminated(pair.a, "FAILED")
    for flags in ([f"--pair={pair.pair}"], [f"--run_a={pair.a}", f"--run_b={pair.b}"]):
        line = refused(interpolate, *flags, *HERE)
        assert f"run {pair.a} is FAILED, not FINISHED; repeat the command that started it to resume it" in line


def test_a_pair_that_is_not_finished_is_refused(refused, store: MlflowClient, pair: Pair) -> None:
    store.set_terminated(pair.pair, "KILLED")
    assert f"run {pair.pair} is KILLED, not FINISHED" in refused(interpolate, f"--pair={pair.pair}", *HERE)


def test_a_deleted_run_is_refused(refused, store: MlflowClient, pair: Pair) -> None:
    store.delete_run(pair.a)
    line = refused(interpolate, f"--run_a={pair.a}", f"--run_b={pair.b}", *HERE)
    assert f"run {pair.a} is deleted; restore it in the UI first" in line


def test_a_pair_whose_endpoints_are_deleted_is_refused(refused, store: MlflowClient, pair: Pair) -> None:
    store.delete_run(pair.b)
    line = refused(interpolate, f"--pair={pair.pair}", *HERE)
    assert "has no endpoint runs for both sides; were they deleted?" in line


def test_a_run_of_someone_else_is_refused_for_want_of_a_checkpoint(refused, store: MlflowClient, pair: Pair) -> None:
    other = store.create_run("0").info.run_id
    store.set_terminated(other)
    line = refused(interpolate, f"--run_a={other}", f"--run_b={pair.b}", *HERE)
    assert f"run {other} (kind none of ours) has no artifact manifest.json; endpoints have checkpoints" in line


def test_a_pair_is_no_end_of_a_path(refused, pair: Pair) -> None:
    line = refused(interpolate, f"--run_a={pair.pair}", f"--run_b={pair.b}", *HERE)
    assert f"run {pair.pair} (kind pair) has no artifact checkpoint/model.safetensors; endpoints have" in line


def test_an_endpoint_is_no_pair(refused, pair: Pair) -> None:
    line = refused(interpolate, f"--pair={pair.a}", *HERE)
    assert f"run {pair.a} is of kind endpoint, not a pair; give the pair's id, or run_a and run_b" in line


# artifacts


@pytest.mark.parametrize("path", ["checkpoint/model.safetensors", "checkpoint/config.json"])
def test_a_checkpoint_altered_by_one_byte_is_refused(refused, store: MlflowClient, pair: Pair, path: str) -> None:
    file = artifact(store, pair.b, path)
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)
    line = refused(interpolate, f"--pair={pair.pair}", *HERE)
    assert f"run {pair.b}: {path} was altered after it was logged" in line


def test_an_altered_split_is_refused(refused, store: MlflowClient, pair: Pair) -> None:
    file = artifact(store, pair.pair, "split.npz")
    with np.load(file) as arrays:
        np.savez_compressed(file, A=arrays["B"], B=arrays["A"])
    assert f"run {pair.pair}: split.npz was altered" in refused(interpolate, f"--pair={pair.pair}", *HERE)


def test_a_missing_manifest_is_refused(refused, store: MlflowClient, pair: Pair) -> None:
    artifact(store, pair.a, "manifest.json").unlink()
    line = refused(interpolate, f"--pair={pair.pair}", *HERE)
    assert f"run {pair.a} (kind endpoint) has no artifact manifest.json" in line
    assert f"its place is {artifact(store, pair.a, '')}: if that was moved, move or link it back" in line


def test_a_manifest_that_is_no_manifest_is_refused(refused, store: MlflowClient, pair: Pair) -> None:
    artifact(store, pair.a, "manifest.json").write_text("[]")
    line = refused(interpolate, f"--pair={pair.pair}", *HERE)
    assert (
        f"run {pair.a}: manifest.json cannot be read ([]: Input should be an object): the run's artifacts are damaged"
        in line
    )


def test_a_missing_checkpoint_is_refused(refused, store: MlflowClient, pair: Pair) -> None:
    artifact(store, pair.a, "checkpoint/model.safetensors").unlink()
    line = refused(interpolate, f"--pair={pair.pair}", *HERE)
    assert f"run {pair.a} (kind endpoint) has no artifact checkpoint/model.safetensors" in line


# networks that do not fit, data that have changed


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        (["--model=mlp_l1_w16_bn"], "model: mlp_l1_w16 vs mlp_l1_w16_bn"),
        (["--model=mlp_l1_w8"], "model: mlp_l1_w16 vs mlp_l1_w8"),
        (["--normalization=half"], "normalization: centered vs half"),
    ],
)
def test_networks_that_do_not_fit_are_refused_naming_the_difference(
    refused, store: MlflowClient, pair: Pair, flags: list[str], difference: str
) -> None:
    other = trained(store, *flags)
    line = refused(interpolate, f"--run_a={pair.a}", f"--run_b={other.a}", *HERE)
    assert f"runs {pair.a} and {other.a} cannot be joined: {difference}" in line


def test_networks_of_different_data_sets_are_refused(refused, store: MlflowClient, pair: Pair, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pictures")
    other = trained(store, "--dataset=imagefolder", f"--data_root={root}")
    line = refused(interpolate, f"--run_a={pair.a}", f"--run_b={other.a}", *HERE)
    assert "cannot be joined: dataset: digits vs imagefolder" in line


def test_networks_of_two_states_of_a_data_set_are_refused(refused, store: MlflowClient, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pictures")
    flags = ["--dataset=imagefolder", f"--data_root={root}"]
    before = trained(store, *flags)
    Image.new("L", (8, 8), 255).save(root / "train" / "cat" / "0.png")
    after = trained(store, *flags)
    line = refused(interpolate, f"--run_a={before.a}", f"--run_b={after.a}", *HERE)
    assert "cannot be joined: content of the data set: " in line


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_changed_since_training_is_noticed(refused, store: MlflowClient, tmp_path: Path, split: str) -> None:
    root = write_folder(tmp_path / "pictures")
    pair = trained(store, "--dataset=imagefolder", f"--data_root={root}")
    pixels = Image.new("L", (8, 8), 100)
    pixels.putpixel((3, 3), 101)
    pixels.save(root / split / "dog" / "0.png")
    line = refused(interpolate, f"--pair={pair.pair}", *HERE)
    assert f"imagefolder under data_root='{root}' is not what run {pair.a} was trained on (data digest " in line
    assert line.endswith("give data_root=<folder of the original data>")


def test_data_that_are_gone_are_named_and_found_again_elsewhere(refused, store: MlflowClient, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pictures")
    pair = trained(store, "--dataset=imagefolder", f"--data_root={root}")
    root.rename(tmp_path / "moved")
    assert f"{root}/train is no folder" in refused(interpolate, f"--pair={pair.pair}", *HERE)
    assert interpolate([f"--pair={pair.pair}", f"--data_root={tmp_path / 'moved'}", *HERE]) == 0


# the disk is full


NO_SPACE = [
    OSError(errno.ENOSPC, "No space left on device"),
    # what safetensors itself raises is no OSError
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", NO_SPACE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("num_written", [0, 1], ids=["before_the_first_checkpoint", "between_the_checkpoints"])
def test_a_full_disk_fails_the_pair_which_can_be_resumed(
    store: MlflowClient,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    num_written: int,
) -> None:
    calls = []

    def save_until_full(tensors: dict[str, torch.Tensor], path: Path, **options: Any) -> None:
        if len(calls) == num_written:
            raise error
        calls.append(path)
        save_file(tensors, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr("lmc_mlflow.tracking.run.save_file", save_until_full)
        assert train_pair(QUICK) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "No space left on device" in line
    runs = [*runs_of_kind(store, "pair"), *runs_of_kind(store, "endpoint")]
    assert len(runs) == 3
    failed = [run for run in runs if run.info.status == "FAILED"]
    assert len(failed) == 3  # pair and sides end alike, also when one side was written whole
    assert runs[0] in failed
    for run in failed:
        assert "No space left on device" in run.data.tags["lmc.error"]
        assert not artifact(store, run.info.run_id, "manifest.json").exists()
    assert set(all_runs(store).values()) <= {"FAILED", "FINISHED"}

    assert train_pair(QUICK) == 0
    assert all_runs(store) == {run.info.run_id: "FINISHED" for run in runs}
    assert "(resumed)" in capsys.readouterr().out
    assert train_pair([*QUICK, "--force=true"]) == 0
    resumed, undisturbed = runs_of_kind(store, "endpoint")[:2], runs_of_kind(store, "endpoint")[2:]
    for left, right in zip(resumed, undisturbed, strict=True):
        assert left.data.tags["lmc.error"] == ""
        one, other = weights(store, left.info.run_id), weights(store, right.info.run_id)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_disk_that_fills_up_while_training_fails_the_pair_which_can_be_resumed(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lmc_mlflow.training.state.save_file", full)
        assert train_pair(QUICK) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert set(all_runs(store).values()) == {"FAILED"}
    assert train_pair(QUICK) == 0
    assert list(all_runs(store).values()) == ["FINISHED"] * 3


def test_a_path_that_cannot_be_written_whole_is_failed(
    store: MlflowClient, pair: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert interpolate([f"--pair={pair.pair}", "--num_alphas=3", *HERE]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    (path,) = runs_of_kind(store, "path")
    assert path.info.status == "FAILED"
    assert "No space left on device" in path.data.tags["lmc.error"]
    assert not artifact(store, path.info.run_id, "manifest.json").exists()


# the loss explodes


@pytest.mark.parametrize(("main", "num_runs"), [(train_pair, 3), (story, 4)], ids=["train_pair", "main"])
def test_a_loss_that_is_no_number_fails_every_run_it_concerns(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], main: Main, num_runs: int
) -> None:
    assert main([*QUICK, "--lr=1e30"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "side A: the loss is nan in epoch 1; lower lr=1e+30 or warm up" in line
    assert list(all_runs(store).values()) == ["FAILED"] * num_runs
    for run in store.search_runs(["0"]):
        assert run.data.tags["lmc.error"].startswith("side A: the loss is nan in epoch 1")


# the tracking store


@pytest.mark.parametrize("main", [train_pair, interpolate, story, repair], ids=lambda main: main.__module__)
def test_a_server_that_is_not_there_is_named_at_once(refused, monkeypatch: pytest.MonkeyPatch, main: Main) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    flags = {train_pair: QUICK, interpolate: ["--pair=abc", *HERE], story: QUICK, repair: []}[main]
    started = time.monotonic()
    line = refused(main, *flags)
    assert time.monotonic() - started < 15
    assert "no tracking server answers at http://127.0.0.1:9 (ConnectionError)" in line
    assert line.endswith("start one or correct MLFLOW_TRACKING_URI")


def test_a_server_that_accepts_and_is_silent_is_given_up_soon(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        started = time.monotonic()
        assert f"no tracking server answers at {address} (ReadTimeout)" in refused(train_pair, *QUICK)
        assert time.monotonic() - started < 15


@pytest.mark.parametrize("uri", ["ftp://somewhere", "sqlite:////dev/null/mlflow.db", "nonsense://x"])
def test_a_store_that_cannot_be_opened_is_named(refused, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    line = refused(train_pair, *QUICK)
    assert f"tracking store {uri} cannot be used" in line
    assert line.endswith("check MLFLOW_TRACKING_URI")


def place_artifacts(database: Path, location: str) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (location,))
    connection.close()


def test_an_experiment_that_a_server_made_needs_the_server(refused, tmp_path: Path) -> None:
    place_artifacts(tmp_path / "mlflow.db", "mlflow-artifacts:/0")
    line = refused(train_pair, *QUICK)
    assert "experiment 'Default' was made by a server, which alone can store its artifacts" in line
    assert "start `mlflow server` and set MLFLOW_TRACKING_URI to it, or choose another name" in line


def test_a_folder_of_artifacts_that_was_moved_is_named_and_not_made_anew(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "mlruns" / "0"
    one = store.create_run("0", tags={"lmc.kind": "endpoint", "lmc.left_out": "manifest.json"}).info.run_id
    store.log_metric(one, "test/loss", 0.5)
    store.set_terminated(one)  # imported without its artifacts: nothing is missing
    assert open_store().experiment_id == "0"
    old.rename(tmp_path / "elsewhere")
    trained = store.create_run("0", tags={"lmc.kind": "endpoint"}).info.run_id
    store.log_metric(trained, "test/loss", 0.5)
    store.set_terminated(trained)
    capsys.readouterr()
    assert train_pair(QUICK) == 1
    told = capsys.readouterr().err
    assert f"artifacts of experiment 'Default' belong in {old}, which is not there, although it has runs" in told
    assert "move or link it back" in told
    assert not old.exists()
    old.symlink_to(tmp_path / "elsewhere")
    assert open_store().experiment_id == "0"


@pytest.mark.parametrize("main", [train_pair, story], ids=lambda main: main.__module__)
def test_a_file_where_the_artifacts_should_go_is_named(refused, tmp_path: Path, main: Main) -> None:
    (tmp_path / "occupied").write_text("a file")
    place_artifacts(tmp_path / "mlflow.db", str(tmp_path / "occupied" / "0"))
    assert f"Not a directory: '{tmp_path}/occupied" in refused(main, *QUICK)


def test_an_experiment_that_is_not_there_is_refused(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    assert "MLFLOW_EXPERIMENT_ID=77 names no experiment of this store" in refused(train_pair, *QUICK)


def test_a_deleted_experiment_is_refused(refused, store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    store.delete_experiment(store.create_experiment("old"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "old")
    assert "experiment 'old' is deleted; restore it or set MLFLOW_EXPERIMENT_NAME" in refused(train_pair, *QUICK)


def test_artifacts_that_can_no_longer_be_written_fail_the_pair(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmc_mlflow.tracking.connection.store._check_artifacts", lambda uri, experiment: None)
    shutil.rmtree(tmp_path / "mlruns", ignore_errors=True)
    (tmp_path / "mlruns").write_text("a file")
    assert train_pair(QUICK) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "check the server's artifact location" in line
    assert list(all_runs(store).values()) == ["FAILED"] * 3
