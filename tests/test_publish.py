"""What is published predicts what its run says where this project is not installed; the run stays as it was."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import own_nets
import pytest
import torch
from conftest import QUICK, runs_of_kind, use_copy_of
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from torch import nn

import lmc_mlflow as lmc
from entry_points.export import main as export
from entry_points.publish import main
from entry_points.repair import main as repair
from entry_points.train_pair import main as train_pair
from lmc_mlflow.data.readers.digits import read_digits
from lmc_mlflow.data.scaling import Scaling
from lmc_mlflow.manifest import verify
from lmc_mlflow.models.composed import AverageNetwork, PixelNetwork
from lmc_mlflow.results.measurements import Ensemble
from lmc_mlflow.results.measurements import Path as MeasuredPath
from lmc_mlflow.results.networks import Network, Pair
from lmc_mlflow.results.published_model import PublishedModel
from lmc_mlflow.tracking.connection.client import PatientClient
from lmc_mlflow.workflows.publish.build import _check_scalings

SMALL = {"epochs": 2, "batch_size": 256, "device": "cpu", "threads": 1, "c2st_samples": 0}
MLP = {"model": "mlp_l1_w16", "shift": "label_2080", **SMALL}
RESNET = {"model": "resnet10_s222", "shift": "label_2080", "seed": 3, **SMALL}
LOADER = """
import importlib.abc, sys
class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("lmc_mlflow", "entry_points"):
            raise ImportError(f"{name} is not installed")
sys.meta_path.insert(0, Refusal())
import mlflow, numpy, torch
images, outputs = numpy.load("images.npy"), {}
for uri in sys.argv[1:]:
    network, function = mlflow.pytorch.load_model(uri), mlflow.pyfunc.load_model(uri)
    for n in (1, 5, 64):
        assert function.predict(images[:n]).shape == network(torch.from_numpy(images[:n])).shape == (n, 10)
    with torch.no_grad():
        outputs[uri.replace("/", "_")] = network(torch.from_numpy(images)).numpy()
    outputs[uri.replace("/", "_") + " pyfunc"] = function.predict(images)
numpy.savez("outputs.npz", **outputs)
"""
"""A program that predicts with models, where this project cannot be imported and pickles are refused."""


@dataclass(frozen=True)
class Case:
    """A published model, and what its run says: the loss and the accuracy on the test set."""

    model: PublishedModel
    loss: float
    accuracy: float


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        use_copy_of(empty_store, folder, patch)
    return folder


@pytest.fixture(scope="module")
def uri(folder: Path) -> str:
    """The URI of a store that no setting names."""
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="module")
def pair(uri: str) -> Pair:
    return lmc.train_pair(uri=uri, **MLP)


@pytest.fixture(scope="module")
def resnets(uri: str) -> Pair:
    return lmc.train_pair(uri=uri, **RESNET)


def of_network(network: Network, uri: str, prefix: str = "") -> Case:
    loss, accuracy = (network.metrics[f"{prefix}test/{score}"] for score in ("loss", "accuracy"))
    return Case(lmc.publish(network, uri=uri), loss, accuracy)


def of_path(path: MeasuredPath, alpha: float, uri: str) -> Case:
    rows = path.frame()
    (row,) = rows[(rows["split"] == "test") & (rows["alpha"] == alpha)].to_dict("records")
    return Case(lmc.publish(path, alpha=alpha, uri=uri), row["loss"], row["accuracy"])


def of_ensemble(ensemble: Ensemble, uri: str) -> Case:
    metrics = ensemble.metrics
    return Case(lmc.publish(ensemble, uri=uri), metrics["nll"], metrics["mean_prediction_accuracy"])


@pytest.fixture(scope="module")
def cases(uri: str, pair: Pair, resnets: Pair) -> dict[str, Case]:
    other = lmc.train_pair(uri=uri, **{**MLP, "seed": 2})
    normed = lmc.train_pair(uri=uri, **{**MLP, "model": "mlp_l1_w16_bn"})
    aligned = lmc.align(pair.a, other.b, uri=uri)
    star = lmc.star([pair.a, other.a], epochs=2, num_alphas=3, uri=uri)
    (pruned,) = lmc.prune(pair.a, uri=uri)

    def between(a: object, b: object = None, **options: object) -> MeasuredPath:
        return lmc.interpolate(a, b, num_alphas=3, splits="test", uri=uri, **options)

    whole = lmc.publish(aligned, uri=uri)
    return {
        "mlp": of_network(pair.a, uri),
        "resnet": of_network(resnets.b, uri),
        "aligned": Case(whole, other.b.metrics["test/loss"], other.b.metrics["test/accuracy"]),
        "star": of_network(star, uri, "star/"),
        "pruned": of_network(pruned, uri),
        "midpoint": of_path(between(resnets, bn="recalibrate"), 0.5, uri),
        "repaired": of_path(between(normed, bn="repair"), 0.5, uri),
        "nearest": of_path(between(normed, bn="nearest"), 0.5, uri),
        "midpoint to an aligned network": of_path(between(pair.a, other.b, align="weights"), 0.5, uri),
        "seeds": of_ensemble(lmc.ensemble([pair.a, other.a, normed.b], uri=uri), uri),
        "points": of_ensemble(lmc.ensemble(normed, num_alphas=3, bn="recalibrate", uri=uri), uri),
        "star points": of_ensemble(lmc.ensemble(star, num_samples=3, uri=uri), uri),
    }


import_runs = importlib.import_module("entry_points.import").main
NAMES = (
    *("mlp", "resnet", "aligned", "star", "pruned", "midpoint", "repaired", "nearest"),
    *("midpoint to an aligned network", "seeds", "points", "star points"),
)


@pytest.fixture(scope="module")
def predicted(cases: dict[str, Case], uri: str, folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """Outputs of all models on the pixels of the test set, from a process without this project."""
    place = folder / "elsewhere"
    place.mkdir()
    np.save(place / "images.npy", read_digits().test_images.astype(np.float32) / 255)
    settings = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "OMP_NUM_THREADS": "1"}
    settings |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-I", "-c", LOADER, *(case.model.model_uri for case in cases.values())]
    done = subprocess.run(command, cwd=place, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(place / "outputs.npz") as outputs:
        yield {
            f"{name}{how}": outputs[case.model.model_uri.replace("/", "_") + how]
            for name, case in cases.items()
            for how in ("", " pyfunc")
        }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_model_predicts_what_its_run_says_where_this_project_is_not_installed(
    name: str, cases: dict[str, Case], predicted: dict[str, np.ndarray]
) -> None:
    labels, case = read_digits().test_labels, cases[name]
    for outputs in (predicted[name], predicted[f"{name} pyfunc"]):
        assert -outputs[np.arange(len(labels)), labels].mean(dtype=np.float64) == pytest.approx(case.loss, abs=1e-6)
        assert (outputs.argmax(1) == labels).mean() == pytest.approx(case.accuracy)


def test_averaged_probabilities_and_scaled_pixels_are_what_paper_says() -> None:
    class Constant(nn.Module):
        def __init__(self, *probabilities: float) -> None:
            super().__init__()
            self.output = torch.tensor([probabilities]).log()

        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return self.output

    average = AverageNetwork([Constant(0.2, 0.8), Constant(0.4, 0.6)])
    assert average(torch.zeros(1)).exp().tolist() == [pytest.approx([0.3, 0.7])]
    scaled = PixelNetwork(nn.Identity(), (0.5, 0.0), (0.25, 1.0))(torch.ones(1, 2, 1, 1))
    assert scaled.flatten().tolist() == [2.0, 1.0]


def test_networks_that_scale_in_different_ways_take_pixels_and_one_between_them_does_not() -> None:
    half, unit = Scaling(255.0, (0.5,), (0.5,)), Scaling(255.0, (0.0,), (1.0,))
    _check_scalings([(half,), (unit,)], "pixels")
    with pytest.raises(ValueError, match="members scale their images in different ways; give input=pixels"):
        _check_scalings([(half,), (unit,)], "scaled")
    _check_scalings([(half, unit)], "scaled")
    with pytest.raises(ValueError, match="lies between the sides; give input=scaled"):
        _check_scalings([(half, unit)], "pixels")


def test_the_run_stays_finished_and_whole_and_names_its_model(
    uri: str, pair: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = MlflowClient(uri)
    before, points = client.get_run(pair.b.run_id), client.get_metric_history(pair.b.run_id, "test/loss")
    model = lmc.publish(pair.b, uri=uri)
    after = client.get_run(pair.b.run_id)
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.info.end_time)
    assert after.data.metrics == before.data.metrics
    assert client.get_metric_history(pair.b.run_id, "test/loss") == points
    assert after.data.tags == {**before.data.tags, "lmc.published": model.model_uri}
    assert [output.model_id for output in after.outputs.model_outputs] == [model.model_id]
    logged = client.get_logged_model(model.model_id)
    assert (logged.status, logged.source_run_id) == (LoggedModelStatus.READY, pair.b.run_id)
    assert {metric.key: metric.value for metric in logged.metrics}["test/loss"] == pair.b.metrics["test/loss"]
    files = {name: Path(client.download_artifacts(pair.b.run_id, name, str(tmp_path))) for name in ["manifest.json"]}
    verify(files["manifest.json"], {})
    assert lmc.network(pair.b, uri=uri) is not None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert repair([]) == 0
    assert "no run was left RUNNING" in capsys.readouterr().out


def test_a_model_says_what_it_takes_and_gives(uri: str, pair: Pair) -> None:
    model = lmc.publish(pair.a, uri=uri)
    info = mlflow.models.Model.load(MlflowClient(uri).get_logged_model(model.model_id).artifact_location)
    assert [list(spec.shape) for spec in (info.signature.inputs.inputs[0], info.signature.outputs.inputs[0])] == [
        [-1, 1, 28, 28],
        [-1, 10],
    ]
    assert info.metadata["takes"] == model.takes == "images (N, 1, 28, 28) float32 with pixels from 0 to 1"
    assert info.metadata["gives"] == model.gives == "log-probabilities (N, 10)"
    assert info.metadata["classes"] == [str(c) for c in range(10)]
    assert (info.metadata["run_id"], info.metadata["full_scale"]) == (pair.a.run_id, 255.0)
    assert info.metadata["mean"] == pytest.approx([read_digits().train_images.mean() / 255])
    assert "load_model" in model._repr_html_()


def test_scaled_input_is_that_of_the_training(uri: str, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    scaled = lmc.publish(pair.a, input="scaled", uri=uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    network, images = mlflow.pytorch.load_model(scaled.model_uri), torch.randn(7, 1, 28, 28)
    assert torch.equal(network(images), lmc.network(pair.a, uri=uri)(images))
    assert scaled.model_id != lmc.publish(pair.a, uri=uri).model_id


def test_the_same_is_published_once_and_registered_once(uri: str, resnets: Pair) -> None:
    client, path = MlflowClient(uri, uri), lmc.interpolate(resnets, num_alphas=4, splits="test", uri=uri)
    first = lmc.publish(path, alpha=0.5, name="of digits", uri=uri)
    again = lmc.publish(path.run_id[:12], alpha=0.5, name="of digits", uri=uri)
    assert (first.how, again.how, again.model_id) == ("published", "published before", first.model_id)
    assert (first.version, again.version) == ("1", "1")
    assert lmc.publish(path, alpha=0.5, uri=uri).registered == ""
    other = lmc.publish(path, alpha=0.333, name="of digits", uri=uri)
    assert other.model_id != first.model_id
    assert len(client.get_logged_model(first.model_id).metrics) == 2
    assert not client.get_logged_model(other.model_id).metrics  # a third was measured, under the same step
    assert [(v.version, v.run_id) for v in client.search_model_versions("name = 'of digits'")] == [
        (2, path.run_id),
        (1, path.run_id),
    ]
    assert client.get_run(path.run_id).data.tags["lmc.published"] == other.model_uri


def test_on_a_machine_with_a_gpu_a_model_is_loaded_where_its_weights_are(
    uri: str, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lmc.publish(pair.a, uri=uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert mlflow.pyfunc.load_model(model.model_uri).predict(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)


def test_what_an_upload_has_begun_is_deleted_where_it_fails(
    uri: str, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is gone")

    client, path = MlflowClient(uri), lmc.interpolate(pair, num_alphas=3, splits="test", uri=uri)
    before = len(client.search_logged_models([path.experiment_id]))
    monkeypatch.setattr(PatientClient, "log_model_artifacts", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        lmc.publish(path, alpha=0.5, uri=uri)
    monkeypatch.undo()
    assert len(client.search_logged_models([path.experiment_id])) == before
    assert "lmc.published" not in client.get_run(path.run_id).data.tags


def test_what_a_killed_process_has_begun_is_deleted_by_the_next(uri: str, pair: Pair) -> None:
    client, path = MlflowClient(uri), lmc.interpolate(pair, num_alphas=3, splits="test", uri=uri)
    first = client.get_logged_model(lmc.publish(path, alpha=1.0, uri=uri).model_id)
    client.delete_logged_model(first.model_id)
    left, alive = (
        client.create_logged_model(path.experiment_id, "half", path.run_id, {**first.tags, **tags})
        for tags in ({"lmc.process_started": "1.0"}, {})
    )
    second = lmc.publish(path, alpha=1.0, uri=uri)
    assert second.how == "published"
    there = {model.model_id for model in client.search_logged_models([path.experiment_id])}
    assert {second.model_id, alive.model_id} <= there
    assert left.model_id not in there
    client.delete_logged_model(alive.model_id)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("pair", {}, r"is a pair; give the run of one of its networks \(A \w+, B \w+\), or of a path"),
        ("a", {"alpha": 0.5}, "alpha=0.5 belongs to a path, and run .* is of kind endpoint; leave it out"),
        ("path", {}, "is a path; say which of its points: alpha=0.5"),
        ("path", {"alpha": 1.5}, "alpha=1.5: must be at most 1.0"),
        ("path", {"alpha": -0.1}, "alpha=-0.1: must be at least 0.0"),
        ("path of batches", {"alpha": 0.5}, "with bn=batch an output depends on the images beside it; measure again"),
        ("matrix", {}, "is of kind matrix; what can be published is of kind endpoint, alignment, star, pruned, path"),
        ("0" * 32, {}, "run 0+ does not exist"),
        ("a", {"input": "bytes"}, "input 'bytes' is unknown|input='bytes'"),
        ("a", {"name": "a/b"}, "name='a/b': use letters, digits"),
        ("a", {"name": "lmc-claim-x"}, "names that begin with lmc-claim- are locks"),
        (None, {}, "give run=<run id>"),
    ],
)
def test_what_cannot_be_published_is_one_line(
    what: str | None, options: dict[str, object], message: str, uri: str, pair: Pair
) -> None:
    found: object = what
    if what in ("pair", "a"):
        found = pair if what == "pair" else pair.a
    elif what == "path":
        found = lmc.interpolate(pair, num_alphas=3, splits="test", uri=uri)
    elif what == "path of batches":
        found = lmc.interpolate(pair, num_alphas=3, splits="test", bn="batch", uri=uri)
    elif what == "matrix":
        found = lmc.matrix([pair.a, pair.b], num_alphas=3, uri=uri)
    with pytest.raises(ValueError, match=message) as error:
        lmc.publish(found, uri=uri, **options)
    assert "\n" not in str(error.value)


def test_an_unfinished_run_is_refused(uri: str, pair: Pair) -> None:
    client = MlflowClient(uri)
    run = client.create_run(pair.experiment_id, tags={"lmc.kind": "endpoint"})
    with pytest.raises(ValueError, match=f"run {run.info.run_id} is RUNNING, not FINISHED"):
        lmc.publish(run.info.run_id, uri=uri)
    client.delete_run(run.info.run_id)


def test_the_end_of_a_training_publishes_both_networks_and_so_does_finding_it(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, "--epochs=1", "--publish=true"]) == 0
    said = capsys.readouterr().out
    models = store.search_logged_models(["0"])
    published = {run.data.tags["lmc.published"] for run in runs_of_kind(store, "endpoint")}
    assert published == {model.model_uri for model in models}
    assert len(models) == 2
    assert all(f"published {uri}" in said for uri in published)
    assert train_pair([*QUICK, "--epochs=1", "--publish=true"]) == 0
    assert "(finished before)" in capsys.readouterr().out
    assert len(store.search_logged_models(["0"])) == 2
    (side,) = [run for run in runs_of_kind(store, "endpoint") if run.data.tags["lmc.side"] == "A"]
    assert main([f"--run={side.info.run_id[:10]}", "--device=cpu"]) == 0
    said = capsys.readouterr().out
    assert f"model {side.data.tags['lmc.published']} (published before)" in said
    assert f'mlflow.pytorch.load_model("{side.data.tags["lmc.published"]}")' in said


def test_stars_and_alignments_are_published_at_their_end(uri: str, pair: Pair) -> None:
    client = MlflowClient(uri)
    star = lmc.star([pair.a, pair.b], epochs=1, num_alphas=3, publish=True, uri=uri)
    aligned = lmc.align(pair, publish=True, uri=uri)
    for run_id in (star.run_id, aligned.run_id):
        assert client.get_run(run_id).data.tags["lmc.published"] == lmc.publish(run_id, uri=uri).model_uri


def test_with_several_labels_a_model_gives_logits(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**SMALL, "model": "mlp_l1_w16", "shift": "none"}
    pair = lmc.train_pair(dataset=own_nets.load_several_labels, uri=uri, **options)
    model = lmc.publish(pair.a, uri=uri)
    assert model.gives == "logits (N, 3)"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    _, (images, labels) = own_nets.load_several_labels("")
    outputs = mlflow.pyfunc.load_model(model.model_uri).predict(images[:, None].astype(np.float32) / 255)
    loss = nn.functional.binary_cross_entropy_with_logits(torch.from_numpy(outputs), torch.from_numpy(labels).float())
    assert loss.item() == pytest.approx(pair.a.metrics["test/loss"], abs=1e-6)


def test_a_loop_of_one_s_own_publishes_both_networks_at_its_end(uri: str) -> None:
    with lmc.pair(model="mlp_l1_w16", seed=9, device="cpu", threads=1, c2st_samples=0, publish=True, uri=uri) as pair:
        for side in pair.sides:
            pair.log(side, side.network())
    runs = MlflowClient(uri).search_runs(["0"], f"tags.`mlflow.parentRunId` = '{pair.run_id}'")
    assert [run.data.tags["lmc.published"][:10] for run in runs] == ["models:/m-"] * 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("own_nets:branching", "model own_nets:branching: PyTorch cannot export it"),
        ("own_nets:one_by_one", "exports it for 2 images at a time, not for 1"),
    ],
)
def test_a_network_that_cannot_be_exported_is_refused_before_it_is_trained(
    store: MlflowClient, model: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"--code={Path(__file__).parent}"
    assert train_pair([*QUICK, f"--model={model}", code, "--publish=true"]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert store.search_runs(["0"]) == []
    assert train_pair([*QUICK, f"--model={model}", code, "--epochs=1"]) == 0
    run = runs_of_kind(store, "endpoint")[0].info.run_id
    assert main([f"--run={run}", code]) == 1
    assert f"run {run}: model {model}: PyTorch" in capsys.readouterr().err
    assert store.search_logged_models(["0"]) == []


def test_a_bundle_carries_the_run_and_not_its_model(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, "--epochs=1"]) == 0
    assert export([f"--out={tmp_path / 'before.zip'}"]) == 0
    assert main([f"--run={runs_of_kind(store, 'endpoint')[0].info.run_id}", "--device=cpu"]) == 0
    assert export([f"--out={tmp_path / 'after.zip'}"]) == 0
    assert (tmp_path / "after.zip").read_bytes() == (tmp_path / "before.zip").read_bytes()
    assert import_runs([f"--bundles={tmp_path / 'after.zip'}"]) == 0
    assert "3 there already" in capsys.readouterr().out
    assert store.search_logged_models(["0"])[0].model_uri in {
        run.data.tags.get("lmc.published") for run in runs_of_kind(store, "endpoint")
    }
