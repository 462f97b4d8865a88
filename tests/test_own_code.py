"""Networks, data sets and shifts of users' own, named as `<module>:<function>`."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import own_nets
import pytest
import torch
from conftest import ROOT, command, runs_of_kind
from mlflow import MlflowClient
from torch import nn

import lmc_mlflow as lmc
from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow import own_code
from lmc_mlflow.config.canonical import fingerprint, from_texts
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.datasets import load_dataset
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.data.readers.own_data import read_own
from lmc_mlflow.data.shifts.registry import rendering_of, split_sides
from lmc_mlflow.models.families import MODEL_FORMS
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.query.networks import load_network

CPU = torch.device("cpu")
SMALL = {"epochs": 1, "batch_size": 128, "lr": 0.01, "device": "cpu", "threads": 1, "c2st_samples": 0}
FLAGS = [f"--{name}={value}" for name, value in SMALL.items()]
OWN = {"dataset": "own_nets:load", "shift": "own_nets:split", "model": "own_nets:build"}


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a file of a user's own, in a folder that is on no path."""
    folder = tmp_path / "code"
    folder.mkdir()
    shutil.copy(ROOT / "tests" / "own_nets.py", folder / "my_nets.py")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    return folder / "my_nets.py"


def test_a_pair_a_path_and_a_verdict_from_own_functions(store: MlflowClient) -> None:
    pair = lmc.train_pair(dataset=own_nets.load, shift=own_nets.split, model=own_nets.build, **SMALL)
    path = lmc.interpolate(pair, bn="recalibrate", num_alphas=3)
    assert path.verdict in ("yes", "no", "apparent")
    run = store.get_run(pair.run_id)
    assert run.data.tags["lmc.model"] == "own_nets:build"
    source = store.download_artifacts(pair.a.run_id, "checkpoint/source.py")
    assert Path(source).read_text() == Path(own_nets.__file__).read_text()
    assert isinstance(lmc.network(pair.a).body[1], own_nets.Block)


def test_the_command_gives_the_same_fingerprint_and_the_same_weights(store: MlflowClient) -> None:
    pair = lmc.train_pair(dataset=own_nets.load, shift=own_nets.split, model=own_nets.build, **SMALL)
    named = [f"--{name}={value}" for name, value in OWN.items()]
    found = command("train_pair", *named, *FLAGS, "--force=true", f"--code={ROOT / 'tests'}")
    assert found.returncode == 0, found.stderr
    first, second = runs_of_kind(store, "pair")
    assert first.data.tags["lmc.fingerprint"] == second.data.tags["lmc.fingerprint"]
    a, _, other, _ = (load_network(store, run.info.run_id).state for run in runs_of_kind(store, "endpoint"))
    assert all(torch.equal(a[name], other[name]) for name in a)
    assert pair.run_id == first.info.run_id


def test_the_fingerprint_changes_with_a_line_of_the_source_and_with_the_options(nets: Path) -> None:
    own_code.make_importable(str(nets.parent))
    texts = {name: value.replace("own_nets", "my_nets") for name, value in OWN.items()}

    def now(**further: str) -> str:
        return fingerprint(from_texts(TrainPairConfig, texts | further))

    before = now()
    assert now(model_options='{"depth": 2}') not in (before, now(model_options='{"depth": 3}'))
    assert now(model_options='{"depth": 2}') == now(model_options='{ "depth":2 }')
    nets.write_text(nets.read_text().replace("stride=2", "stride=1"))
    assert now() != before
    nets.write_text(nets.read_text().replace("stride=1", "stride=2"))
    assert now() == before


def test_a_file_that_is_edited_is_imported_again(nets: Path) -> None:
    own_code.make_importable(str(nets.parent))
    spec = NetworkSpec("my_nets:build", 1, 8, 8, 10)
    assert build_network(spec, 0).body[0].stride == (2, 2)
    nets.write_text(nets.read_text().replace("stride=2", "stride=1 "))
    assert build_network(spec, 0).body[0].stride == (1, 1)


def test_a_changed_source_is_said_and_a_missing_module_too(
    store: MlflowClient, nets: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*FLAGS, "--model=my_nets:build", f"--code={nets.parent}"]
    assert train_pair(flags) == 0
    (pair,) = runs_of_kind(store, "pair")
    nets.write_text(nets.read_text().replace("stride=2", "stride=1"))
    load_network(store, runs_of_kind(store, "endpoint")[0].info.run_id)
    assert (
        "my_nets:build has changed since (-    return nn.Sequential(nn.Conv2d(channels, 6, 3, stride=2)" in caplog.text
    )
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(nets.parent)])
    monkeypatch.delitem(sys.modules, "my_nets")
    with pytest.raises(
        ValueError, match=r"there is no module my_nets here; start the command in .* code=<that folder>"
    ):
        load_network(store, runs_of_kind(store, "endpoint")[0].info.run_id)
    assert interpolate([f"--pair={pair.info.run_id}", "--num_alphas=3", "--device=cpu", f"--code={nets.parent}"]) == 0


def test_own_networks_are_aligned_recalibrated_and_joined(store: MlflowClient) -> None:
    own = {**SMALL, "model": own_nets.build, "model_options": {"depth": 2}}
    first, second = lmc.train_pair(**own), lmc.train_pair(seed=2, **own)
    aligned = lmc.interpolate(first.a, second.a, align="weights", bn="repair", num_alphas=3)
    before = lmc.interpolate(first.a, second.a, bn="repair", num_alphas=3)
    assert aligned.metrics["angle_deg"] < before.metrics["angle_deg"]
    assert len(lmc.matrix([first.a, first.b, second.a], bn="recalibrate", num_alphas=3).frame()) == 3
    assert lmc.star([first.a, second.a], epochs=1).verdict
    assert lmc.train_pair(**own, engine="fast").metrics
    (aligned_run,) = [lmc.align(first.a, second.a, method="activations")]
    images = torch.randn(4, 1, 28, 28)
    difference = lmc.network(aligned_run)(images) - lmc.network(second.a)(images)
    assert difference.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("own_nets:too_narrow", r"maps 2 images of 1 x 28 x 28 to \(2, 9\), not to \(2, 10\)"),
        ("own_nets:restless", "body.1.bias differs when it is built again from the same seed"),
        ("own_nets:elsewhere", "1.weight is on meta; leave the network on the CPU"),
        ("own_nets:sharing", "4.weight and 5.weight are one tensor"),
        ("own_nets:lazy", "1.weight is lazy and has no weights yet"),
        ("own_nets:frozen", "has no weight to train; leave requires_grad on"),
        ("own_nets:named_scores", "it returns a dict without logits"),
        ("own_nets:raising", r"raised KeyError: 'no such layer' \(own_nets.py, line"),
        ("own_nets:nothing", "returned a NoneType; return a torch.nn.Module"),
        ("own_nets:biuld", r"own_nets has no function 'biuld' \(did you mean own_nets:build\?\)"),
        ("no_such_module:build", "there is no module no_such_module here"),
        ("os:getcwd", "os is a module of Python; name one of your own"),
    ],
)
def test_a_builder_that_cannot_be_used_is_one_line(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], model: str, message: str
) -> None:
    assert train_pair([*FLAGS, f"--model={model}"]) == 1
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert re.search(message, error)
    assert store.search_runs(["0"]) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("load_mixed_shapes", r"images of \(1, 8, 8\) and of \(1, 9, 8\)"),
        ("load_gap", "number the classes 0, 1, ... without a gap"),
        ("load_wild_floats", r"pixels lie in \[0, 720\]"),
        ("load_no_images", "whose rows are no image and label"),
        ("load_raising", "raised FileNotFoundError"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_one_line(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        load_dataset(DataConfig(dataset=f"own_nets:{name}"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["load", "load_tensors", "load_dataset", "load_rows"])
def test_arrays_tensors_datasets_and_rows_are_the_same_data(name: str) -> None:
    found, wanted = (load_dataset(DataConfig(dataset=f"own_nets:{one}")) for one in (name, "load"))
    assert found.train.digest(found.train_labels) == wanted.train.digest(wanted.train_labels)
    assert found.test.shape == (200, 1, 8, 8)


def test_floats_are_the_bytes_that_they_stand_for() -> None:
    data = [load_shifted(DataConfig(dataset=f"own_nets:{name}"), CPU) for name in ("load", "load_floats")]
    assert torch.allclose(*(next(one.a.images.batches(None, 300)) for one in data), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("split_outside", "side B is int64 of shape"),
        ("split_twice", "side A names a sample twice"),
        ("split_one", "returned a list; return the indices of A and those of B"),
    ],
)
def test_a_split_that_cannot_be_used_is_one_line(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_sides(f"own_nets:{name}", np.arange(10), 10, 0)


def test_a_split_depends_on_its_seed_alone_and_may_render_side_b() -> None:
    labels = np.repeat(np.arange(10), 30)
    first, again, other = (split_sides("own_nets:split", labels, 10, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.a, again.a)
    assert not np.array_equal(first.a, other.a)
    assert rendering_of("own_nets:split") is None
    data = load_shifted(DataConfig(dataset="own_nets:load", shift="own_nets:bright", normalization="unit"), CPU)
    assert float(next(data.b.images.batches(None, 1000)).min()) == pytest.approx(50 / 255)
    assert float(next(data.a.images.batches(None, 1000)).min()) == 0.0


def test_a_function_that_cannot_be_imported_again_is_refused() -> None:
    assert own_code.name_of(own_nets.build) == "own_nets:build"
    script = own_code.types.FunctionType(own_nets.build.__code__, {"__name__": "__main__"}, "build")
    script.__module__ = "__main__"
    for function, message in ((lambda: None, "top level"), (nn.Linear, "top level"), (script, "give nets.build")):
        with pytest.raises(ValueError, match=message):
            lmc.train_pair(model=function)


def test_bytes_and_floats_of_one_data_set_are_scaled_each_as_they_are() -> None:
    data = read_own("own_nets:load_bytes_and_floats", ".")
    assert data.train_images.max() == pytest.approx(240 / 255)
    assert data.test_images.max() == pytest.approx(240 / 255)


def test_options_belong_to_own_networks() -> None:
    for options, model in (('{"depth": 2}', "resnet10"), ("depth=2", "own_nets:build"), ("[2]", "own_nets:build")):
        with pytest.raises(ValueError, match="model_options"):
            from_texts(TrainPairConfig, {"model_options": options, "model": model})


def test_timm_s_names_are_no_modules_and_help_lists_the_form() -> None:
    assert not own_code.is_own("model", "timm:resnet18")
    assert own_code.FORM in MODEL_FORMS
    with pytest.raises(ValueError, match="there is no such folder"):
        own_code.make_importable("no/such/folder")
