"""Models of somebody else, logged by another process: adopted, walked, aligned, recalibrated; equal to an own loop."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from foreign_process import Net
from mlflow import MlflowClient
from torch import Tensor, nn
from torch.nn import functional

import lmc_mlflow as lmc
from entry_points.adopt import main as adopt
from entry_points.export import main as export_runs
from entry_points.interpolate import main as interpolate
from entry_points.report import main as report
from lmc_mlflow.batches import ResidentImages
from lmc_mlflow.calls import at
from lmc_mlflow.config.bundle import SUFFIX
from lmc_mlflow.contract import Artifact, Tag
from lmc_mlflow.data.readers.digits import read_digits
from lmc_mlflow.findings.condition_table import prepare
from lmc_mlflow.paths.points import mixed_batches
from lmc_mlflow.query.networks import load_network, load_split
from lmc_mlflow.workflows.report.report import read_frames

import_runs = import_module("entry_points.import").main
HERE = ["--device=cpu", "--threads=1"]
UNIT = ["--dataset=digits", "--normalization=unit"]


@dataclass(frozen=True)
class Foreign:
    """What the other process has left: model and run ids, weights in files, and the digits it was trained on."""

    folder: Path
    told: Mapping[str, Any]
    train: Tensor
    test: Tensor
    test_labels: Tensor

    @property
    def uris(self) -> list[str]:
        return [f"models:/{model}" for model in self.told["models"]]

    def state(self, seed: int) -> dict[str, Tensor]:
        loaded: dict[str, Tensor] = torch.load(self.folder / f"net{seed}.pt", weights_only=True)
        return loaded


@pytest.fixture(scope="module")
def left(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    """A store in which another process has logged its networks."""
    folder = tmp_path_factory.mktemp("foreign")
    shutil.copy(empty_store, folder / "mlflow.db")
    parts = read_digits()
    scale = np.float32(255)
    train, test = (images.astype(np.float32) / scale for images in (parts.train_images, parts.test_images))
    np.savez(folder / "digits.npz", images=train, labels=parts.train_labels)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    script = shutil.copy(ROOT / "tests" / "foreign_process.py", folder)
    done = subprocess.run(
        [sys.executable, script, str(folder)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "models.json").read_text())
    MlflowClient(f"sqlite:///{folder}/mlflow.db").update_run(told["unfinished"], status="RUNNING")
    labels = torch.from_numpy(parts.test_labels)
    return Foreign(folder, told, torch.from_numpy(train), torch.from_numpy(test), labels)


@pytest.fixture
def foreign(left: Foreign, monkeypatch: pytest.MonkeyPatch) -> Foreign:
    """The same, as the store of this test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{left.folder}/mlflow.db")
    monkeypatch.chdir(left.folder)
    return left


def loss_at(foreign: Foreign, alpha: float, calibration: Tensor | None = None) -> float:
    """Compute the test loss between both networks by a loop over their class; batch norm is measured again if asked."""
    a, b = foreign.state(1), foreign.state(2)
    net = Net()
    net.load_state_dict({key: torch.lerp(a[key], b[key], alpha) if a[key].is_floating_point() else b[key] for key in a})
    if calibration is not None:
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        net.eval()
        for norm in norms:
            norm.train()
        with torch.no_grad():
            for images in mixed_batches(ResidentImages(calibration)):  # the batches decide the variances
                net(images)
    net.eval()
    with torch.no_grad():
        return float(functional.cross_entropy(net(foreign.test).double(), foreign.test_labels))


def test_two_models_of_another_process_are_walked_as_a_loop_over_their_class_walks(foreign: Foreign) -> None:
    path = lmc.interpolate(*foreign.uris, dataset="digits", normalization="unit", num_alphas=11)
    frame = path.frame()
    found = frame[frame["split"] == "test"] if "split" in frame else frame
    assert len(found) == 11
    for alpha, loss in zip(found["alpha"], found["loss"], strict=True):
        assert loss == pytest.approx(loss_at(foreign, alpha), abs=1e-6)
    assert {*frame["split"]} == {"test"}, "nobody has said what they were trained on"
    assert MlflowClient().get_run(path.run_id).data.tags[Tag.ENGINE] == "fast", "a graph is traced and folded"


def test_batch_norm_is_recalibrated_as_the_class_would_be(foreign: Foreign) -> None:
    path = lmc.interpolate(
        *foreign.uris, dataset="digits", normalization="unit", trained_on="both", bn="recalibrate", num_alphas=11
    )
    frame = path.frame()
    found = frame[frame["split"] == "test"]
    client = MlflowClient()
    seen = foreign.train[torch.from_numpy(load_split(client, client.get_run(path.run_id).data.tags[Tag.RUN_A]).a)]
    for alpha, loss in zip(found["alpha"], found["loss"], strict=True):
        assert loss == pytest.approx(loss_at(foreign, alpha, seen), abs=1e-5)


def test_models_logged_in_training_mode_give_the_same_numbers(foreign: Foreign) -> None:
    options = {"dataset": "digits", "normalization": "unit", "num_alphas": 3}
    as_tested = lmc.interpolate(*foreign.uris, **options)
    as_trained = lmc.interpolate(*(f"models:/{model}" for model in foreign.told["as_trained"]), **options)
    assert as_tested.frame().equals(as_trained.frame())


def test_models_of_another_process_are_aligned_and_their_function_is_kept(foreign: Foreign) -> None:
    aligned = lmc.align(*foreign.uris, dataset="digits", normalization="unit")
    assert aligned.metrics["max_output_difference"] < 1e-5
    assert aligned.metrics["angle_weights_deg"] < aligned.metrics["unaligned/angle_weights_deg"]
    network = lmc.network(aligned)
    wanted = Net()
    wanted.load_state_dict(foreign.state(2))
    with torch.no_grad():
        expected = functional.log_softmax(wanted.eval()(foreign.test), dim=1)
        torch.testing.assert_close(network(foreign.test), expected, rtol=1e-4, atol=1e-4)


def test_every_kind_of_uri_names_the_same_network_and_adopts_it_once(foreign: Foreign) -> None:
    client = MlflowClient()
    forms = [
        f"models:/{foreign.told['models'][1]}",
        f"runs:/{foreign.told['runs'][1]}/model",
        "models:/digits_net/2",
        "models:/digits_net/latest",
        "models:/digits_net@best",
    ]
    found = {lmc.adopt(uri, dataset="digits", normalization="unit").run_id for uri in forms}
    assert len(found) == 1
    run = client.get_run(found.pop())
    assert run.data.tags[Tag.SOURCE_MODEL] == foreign.told["models"][1]
    assert run.data.tags[Tag.SOURCE_RUN] == foreign.told["runs"][1]
    assert [one.model_id for one in run.inputs.model_inputs] == [foreign.told["models"][1]]
    assert "optimization.lr" not in run.data.params, "nobody knows how it was trained"


def test_adopted_by_class_and_file_it_is_the_same_function(foreign: Foreign) -> None:
    folder = str(foreign.folder)
    one = lmc.adopt(
        model="nets_of_tests:build",
        state=f"{folder}/net1.pt",
        code=_nets(foreign.folder),
        dataset="digits",
        normalization="unit",
    )
    other = lmc.adopt(foreign.uris[0], dataset="digits", normalization="unit")
    assert one.metrics["test/loss"] == pytest.approx(other.metrics["test/loss"], abs=1e-7)
    assert one.metrics["test/accuracy"] > 0.8


def _nets(folder: Path) -> str:
    (folder / "nets_of_tests.py").write_text(
        "from foreign_process import Net\n\n\ndef build(channels, height, width, num_classes):\n    return Net()\n"
    )
    return str(folder)


def test_everything_downstream_takes_them(foreign: Foreign) -> None:
    options = {"dataset": "digits", "normalization": "unit", "trained_on": "both"}
    a, b = (lmc.adopt(uri, shift="none", **options) for uri in foreign.uris)
    permuted = lmc.align(a, b)
    assert lmc.interpolate(a, b, bn="repair", num_alphas=3).metrics
    assert lmc.ensemble([a, b]).metrics["mean_prediction_accuracy"] > 0.8
    assert lmc.matrix([a, b, permuted], num_alphas=3).metrics
    assert lmc.plane(a, b, permuted, num_points=3).metrics
    star = lmc.star(
        [a, permuted], held_out=[b], epochs=1, batch_size=256, lr=1e-3, optimizer="adam", match_every=0, num_alphas=3
    )
    assert star.verdict
    with pytest.raises(ValueError, match="give the star's epochs"):
        lmc.star([a, b])


def test_an_ensemble_needs_no_training_images(foreign: Foreign) -> None:
    scored = lmc.ensemble(foreign.uris, dataset="digits", normalization="unit")
    probabilities = torch.zeros(len(foreign.test), 10, dtype=torch.float64)
    for seed in (1, 2):
        net = Net()
        net.load_state_dict(foreign.state(seed))
        with torch.no_grad():
            probabilities += net.eval()(foreign.test).double().softmax(dim=1) / 2
    loss = functional.nll_loss(probabilities.log(), foreign.test_labels)
    assert scored.metrics["nll"] == pytest.approx(float(loss), abs=1e-6)


def test_a_run_that_a_killed_process_has_left_is_ended_by_the_next_that_adopts_the_same(foreign: Foreign) -> None:
    flags = [f"--model={foreign.uris[0]}", "--trained_on=B", *UNIT, *HERE]
    killed = (
        "import os, signal, sys\nfrom lmc_mlflow.tracking.run import TrackedRun\n"
        "TrackedRun.log_metrics = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from entry_points.adopt import main\nmain(sys.argv[1:])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", killed, *flags], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    client = MlflowClient()
    running = f"attributes.status = 'RUNNING' and tags.`{Tag.KIND}` = 'endpoint'"
    (left,) = client.search_runs(["0"], running)
    assert adopt(flags) == 0
    assert client.get_run(left.info.run_id).info.status == "KILLED"


def test_nothing_is_trained_from_a_graph_alone(foreign: Foreign) -> None:
    found = lmc.adopt(foreign.uris[0], dataset="digits", normalization="unit")
    options = {"dataset": "digits", "normalization": "unit", "shift": "label_2080", "epochs": 1}
    with pytest.raises(ValueError, match="whose code is not here; give start=<its URI"):
        lmc.train_pair(start=found.run_id, **options)
    graph = MlflowClient().get_run(found.run_id).data.tags[Tag.MODEL]
    with pytest.raises(ValueError, match="the graph of an adopted network, which no name builds again"):
        lmc.train_pair(model=graph, **options)


def test_what_needs_training_images_says_so_where_nobody_knows_them(foreign: Foreign) -> None:
    given = {"dataset": "digits", "normalization": "unit"}
    for call, options in (
        (lmc.interpolate, {"bn": "recalibrate"}),
        (lmc.interpolate, {"align": "activations"}),
        (lmc.align, {"method": "activations"}),
    ):
        with pytest.raises(ValueError, match="trained_on=A, B or both"):
            call(*foreign.uris, **given, **options)
    with pytest.raises(ValueError, match="trained_on=A, B or both"):
        lmc.matrix(foreign.uris, bn="recalibrate", **given)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model=models:/{pickled}"], "was logged as a pickle"),
        (["--state=planted.pt", "--model=resnet10"], "planted.pt"),
        (["--model=models:/{static}"], "is RUNNING, not FINISHED"),
        (["--model=models:/m-0123456789"], "m-0123456789"),
        (["--model=models:/digits_net/7"], "digits_net"),
        (["--model=models:/digits_net@worst"], "worst"),
        (["--model=models:/digits_net/Production"], "is no version"),
        (["--model=runs:/{run}/nothing"], "nothing"),
        (["--model=models:/{model}", "--output=probabilities"], "output=logits"),
        (["--model=models:/{model}", "--output=log_probabilities"], "do not sum to 1"),
        (["--model=models:/digits' net/latest"], "no registered model"),
        (["--state=runs:/{run}/model", "--model=resnet10"], "runs:/"),
        (["--model=models:/{model}", "--state=net1.pt"], "leave state out"),
        (["--model=resnet10"], "give its weights too"),
        (["--model=models:/{model}", "--augmentation=flip"], "augmentation is about training"),
        (["--state=net1.pt"], "give model=<network>"),
        (["--state=gone.pt", "--model=resnet10"], "gone.pt"),
        (["--state=net1.pt", "--model=resnet10"], "its first tensor is conv1.weight"),
        (["--model=models:/{model}", "--dataset=moons"], "exported for images of 1 x 28 x 28"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_run(
    flags: list[str], words: str, foreign: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    told = foreign.told
    names = {"pickled": told["pickled"], "static": told["static"], "run": told["runs"][0], "model": told["models"][0]}
    before = _runs()
    given = [flag.format(**names) for flag in flags]
    dataset = [] if any(flag.startswith("--dataset") for flag in flags) else UNIT
    assert adopt([*given, *dataset, *HERE]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1, said
    assert _runs() == before
    assert not (foreign.folder / "executed").exists()


def test_a_model_for_one_batch_size_is_refused_by_name(foreign: Foreign, capsys: pytest.CaptureFixture[str]) -> None:
    MlflowClient().set_terminated(foreign.told["unfinished"])
    try:
        assert adopt([f"--model=models:/{foreign.told['static']}", *UNIT, *HERE]) == 1
    finally:
        MlflowClient().update_run(foreign.told["unfinished"], status="RUNNING")
    assert "batches of exactly 1" in capsys.readouterr().err


def test_a_deleted_source_run_is_refused(foreign: Foreign, capsys: pytest.CaptureFixture[str]) -> None:
    client = MlflowClient()
    client.delete_run(foreign.told["runs"][0])
    try:
        assert adopt([f"--model=models:/{foreign.told['models'][0]}", *UNIT, *HERE]) == 1
    finally:
        client.restore_run(foreign.told["runs"][0])
    assert "is deleted; restore it" in capsys.readouterr().err


def test_a_uri_without_a_data_set_and_a_data_set_without_a_uri_are_refused(
    foreign: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = foreign.uris
    assert interpolate([f"--run_a={a}", f"--run_b={b}", *HERE]) == 1
    assert "say what it is tested on" in capsys.readouterr().err
    one = lmc.adopt(a, dataset="digits", normalization="unit").run_id
    assert interpolate([f"--run_a={one}", f"--run_b={one}", "--dataset=digits", *HERE]) == 1
    assert "dataset belongs to networks that are given by URI" in capsys.readouterr().err
    sides = ["--trained_on=A,B,both", *UNIT]
    assert interpolate([f"--run_a={a}", f"--run_b={b}", *sides, *HERE]) == 1
    assert "one for each of the 2" in capsys.readouterr().err


def test_a_file_of_torch_export_is_adopted_as_the_model_in_mlflow_is(foreign: Foreign) -> None:
    place = Path(MlflowClient().get_logged_model(foreign.told["models"][0]).artifact_location) / "data" / "model.pt2"
    given = {"dataset": "digits", "normalization": "unit"}
    assert lmc.adopt(place, **given).run_id == lmc.adopt(foreign.uris[0], **given).run_id
    with pytest.raises(ValueError, match="there is no such file"):
        lmc.adopt("gone.pt2", **given)


def test_each_of_two_uris_may_have_its_own_side(foreign: Foreign) -> None:
    path = lmc.interpolate(
        *foreign.uris, dataset="digits", normalization="unit", shift="label_2080", trained_on="A,B", num_alphas=2
    )
    assert {*path.frame()["split"]} == {"test", "train_a", "train_b"}


def test_the_graph_is_logged_beside_the_weights_and_an_altered_one_is_refused(foreign: Foreign) -> None:
    client = MlflowClient()
    run_id = lmc.adopt(foreign.uris[0], dataset="digits", normalization="unit", force=True).run_id
    names = {item.path for item in client.list_artifacts(run_id, Artifact.CHECKPOINT_FOLDER)}
    assert names == {Artifact.CHECKPOINT, Artifact.CHECKPOINT_CONFIG, Artifact.CHECKPOINT_GRAPH}
    file = Path(client.get_run(run_id).info.artifact_uri) / Artifact.CHECKPOINT_GRAPH
    before = file.read_text()
    file.write_text(before.replace("relu", "tanh"))
    with pytest.raises(ValueError, match=r"graph\.json"):
        load_network(client, run_id)
    file.write_text(before)


def _runs() -> int:
    client = MlflowClient()
    return len(client.search_runs([one.experiment_id for one in client.search_experiments()]))


def test_what_is_published_can_be_adopted_and_the_other_way_round(foreign: Foreign) -> None:
    given = {"dataset": "digits", "normalization": "unit"}
    first = lmc.adopt(foreign.uris[0], **given)
    published = lmc.publish(first)
    again = lmc.adopt(published.model_uri, output="log_probabilities", **given)
    assert again.run_id != first.run_id
    assert again.metrics["test/loss"] == pytest.approx(first.metrics["test/loss"], abs=1e-6)


def test_adopted_networks_are_mine_in_the_report_and_fill_no_cell_of_a_paper(foreign: Foreign, tmp_path: Path) -> None:
    given = {"dataset": "digits", "normalization": "unit", "trained_on": "both"}
    path = lmc.interpolate(*foreign.uris, num_alphas=3, **given)
    assert report([f"--out={tmp_path}"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "trained elsewhere" in page
    paths, endpoints = lmc.query.paths(), lmc.query.endpoints()
    assert {*endpoints["loop"]} == {"elsewhere"}
    assert endpoints["lr"].isna().all()
    assert path.run_id in set(paths["run_id"])
    assert prepare(read_frames(()), {}).paths.empty


def test_adopted_networks_are_exported_and_imported_with_their_graphs(
    foreign: Foreign, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lmc.adopt(foreign.uris[0], dataset="digits", normalization="unit")
    bundle = tmp_path / f"runs{SUFFIX}"
    assert export_runs([f"--out={bundle}"]) == 0
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(empty_store, other / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}/mlflow.db")
    monkeypatch.chdir(other)
    assert import_runs([f"--bundles={bundle}"]) == 0
    network = lmc.network(first.run_id)
    wanted = Net()
    wanted.load_state_dict(foreign.state(1))
    with torch.no_grad():
        expected = functional.log_softmax(wanted.eval()(foreign.test), dim=1)
        torch.testing.assert_close(network(foreign.test), expected, rtol=0, atol=0)


def test_a_training_that_nobody_knows_does_not_go_on(foreign: Foreign) -> None:
    found = lmc.adopt(foreign.uris[0], trained_on="A", dataset="digits", normalization="unit", shift="label_2080")
    with pytest.raises(ValueError, match="its training cannot go on"):
        lmc.trajectory(found, epochs=1)


def test_python_shows_warnings_where_an_import_of_mlflow_pytorch_has_silenced_all_loggers(store: MlflowClient) -> None:
    ours = logging.getLogger("lmc_mlflow.some.module")
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # as that import does beside Lightning
    try:
        assert not ours.isEnabledFor(logging.WARNING)
        with at(None, None):
            assert ours.isEnabledFor(logging.WARNING)
            assert not ours.isEnabledFor(logging.INFO)
        assert not ours.isEnabledFor(logging.WARNING)
    finally:
        logging.root.setLevel(level)
