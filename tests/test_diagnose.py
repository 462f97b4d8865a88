"""The command diagnose: from the command line and Python, on logged and adopted networks, and what it refuses."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mlflow import MlflowClient
from test_docs_python import BLOCK

import lmc_mlflow as lmc
from entry_points.align import main as align
from entry_points.diagnose import main
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.results.networks import Pair

pytestmark = pytest.mark.trains
OPTIONS = {"model": "mlp_l1_w32", "epochs": 6, "lr": 0.01, "c2st_samples": 0, "device": "cpu"}


@pytest.fixture
def pair(store: MlflowClient) -> Pair:
    return lmc.train_pair(shift="label_5050", init="different", noise="different", **OPTIONS)


def test_the_command_logs_a_page_that_names_causes(
    store: MlflowClient, pair: Pair, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--pair", pair.run_id, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    run_id = said.split("diagnosis ", 1)[1].split(":")[0]
    run = store.get_run(run_id)
    assert run.data.tags[Tag.KIND] == Kind.DIAGNOSIS
    assert run.info.status == "FINISHED"
    causes = run.data.tags[Tag.CAUSES].split(",")
    assert "permutation" in causes  # two random initializations
    assert f"explained/{causes[0]}" in run.data.metrics
    (typed_next,) = [line for line in said.splitlines() if "entry_points." in line]
    assert "mlflow run" not in typed_next  # as this command was started
    page = Path(store.download_artifacts(run_id, "diagnosis.html", str(tmp_path))).read_text()
    assert "permutation of units" in page
    assert "-P align=weights" in page
    assert pair.a.run_id in page
    text = Path(store.download_artifacts(run_id, "diagnosis.md", str(tmp_path))).read_text()
    assert run.data.tags["mlflow.note.content"].startswith(text.partition("\n")[0])


def test_parts_and_rest_add_up_to_the_barrier_of_the_path(store: MlflowClient, pair: Pair) -> None:
    found = lmc.diagnose(pair)
    path = lmc.interpolate(pair, num_alphas=11, splits="test")
    assert found.what == "barrier"
    assert found.metrics["to_explain"] == pytest.approx(path.metrics["test/barrier"], rel=1e-5)
    parts = sum(value for name, value in found.metrics.items() if name.startswith("explained/"))
    assert parts + found.metrics["unexplained"] == pytest.approx(found.metrics["to_explain"], rel=1e-6)
    frame = found.frame()
    assert list(frame["cause"]) == list(found.causes)
    assert frame["reason"].str.len().min() > 0
    assert len(found.figure().axes) == 2
    assert "answer" in found.summary()


def test_two_scalings_are_named_and_not_refused(store: MlflowClient) -> None:
    a = lmc.train_pair(shift="none", **OPTIONS).a
    b = lmc.train_pair(shift="none", normalization="unit", **OPTIONS).a
    found = lmc.diagnose(a, b)
    assert found.causes == ("other_data",)
    assert "normalization=unit" in found.frame()["reason"].iloc[0]
    with pytest.raises(ValueError, match="normalization: centered vs unit"):
        lmc.interpolate(a, b)


def test_networks_whose_training_is_unknown_are_diagnosed(store: MlflowClient, tmp_path: Path, pair: Pair) -> None:
    files = []
    for side in (pair.a, pair.b):
        files.append(store.download_artifacts(side.run_id, "checkpoint/model.safetensors", str(tmp_path)))
    adopted = [lmc.adopt(state=file, model="mlp_l1_w32", dataset="digits") for file in files[:1]]
    found = lmc.diagnose(adopted[0], adopted[0])
    assert found.answer == "connected"


def test_align_rescales_to_the_scales_of_a(store: MlflowClient, pair: Pair) -> None:
    a, b = pair.a, pair.b
    rescaled = lmc.align(a, b, rescale=True)
    assert rescaled.metrics["max_output_difference"] < 1e-4
    states = [lmc.network(one).state_dict() for one in (a, rescaled)]
    norms = [torch.cat([s["linear1.weight"], s["linear1.bias"][:, None]], dim=1).norm(dim=1) for s in states]
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-4, atol=1e-5)


def test_rescaling_where_no_units_are_between_relus_is_refused(
    store: MlflowClient, pair: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmc_mlflow.workflows.alignment.rescaled.find_scaled_groups", lambda *_: [])
    assert align(["--pair", pair.run_id, "--rescale", "true"]) != 0
    assert "leave out rescale" in capsys.readouterr().err


def test_bad_input_is_one_line(store: MlflowClient, capsys: pytest.CaptureFixture[str], pair: Pair) -> None:
    for arguments, words in (
        ([], "give either pair="),
        (["--pair", "nothing"], "nothing"),
        (["--pair", pair.run_id, "--num_alphas", "2"], "num_alphas"),
        (["--pair", pair.run_id, "--num_resamples", "5"], "num_resamples"),
    ):
        assert main(arguments) != 0
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said
    runs = store.search_runs(["0"], f"tags.`{Tag.KIND}` = '{Kind.DIAGNOSIS}'")
    assert not runs


def test_the_page_of_the_docs_works(store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language, text in BLOCK.findall((ROOT / "docs/diagnose.md").read_text()):
        if language == "python":
            exec(compile(text, "diagnose.md", "exec"), {})
    assert (tmp_path / "diagnosis.png").exists()
