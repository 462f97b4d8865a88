"""Artifacts that somebody has written by hand: one reader for each kind names what is not as it should be."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from entry_points.align import main as align
from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.prune import main as prune
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.manifest import read_manifest, render_manifest, sha256_of
from lmc_mlflow.models.registry import NetworkSpec, build_network, empty_state
from lmc_mlflow.query.checkpoint_config import read_checkpoint_config
from lmc_mlflow.stored_arrays import read_arrays
from lmc_mlflow.training.state import load as load_state

HERE = ["--device=cpu", "--threads=1"]
NETWORK = {"model": "mlp_l1_w8", "channels": 1, "height": 28, "width": 28, "num_classes": 10}
SECTIONS: dict[str, dict[str, str]] = {"data": {}, "model": {}, "noise": {}, "optimization": {}}
CONTENT = {
    "format": 1,
    "network": NETWORK,
    "config": SECTIONS,
    "side": "A",
    "split_run": "0" * 32,
    "digests": {"data": "0" * 32, "test": "0" * 32, "train": "0" * 32},
}


def test_the_content_that_is_changed_here_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONTENT))
    assert vars(read_checkpoint_config(tmp_path / "config.json").network)["output"] == "log_probabilities"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"format": 2}, "written in format 2, this version reads 1"),
        ({"format": "1"}, "format '1'"),
        ({"network": {**NETWORK, "model": 5}}, "network.model 5"),
        ({"network": {**NETWORK, "width": -1}}, "network.width -1"),
        ({"network": {**NETWORK, "height": 2**40}}, "network.height 1099511627776"),
        ({"network": {**NETWORK, "num_classes": "10"}}, "network.num_classes '10'"),
        ({"network": {**NETWORK, "dropout_rate": 1.5}}, "network.dropout_rate 1.5"),
        ({"network": []}, "network []"),
        ({"side": "Z"}, "side 'Z': Input should be 'A', 'B', 'both' or 'unknown'"),
        ({"digests": {}}, "digests.data: Field required"),
        ({"digests": {"data": 1, "test": 1, "train": 1}}, "digests.data 1"),
        ({"config": {}}, "config has no section data, found none"),
        ({"config": {**SECTIONS, "data": {"dataset": 5}}}, "config.data.dataset 5"),
        ({"split_run": "../other"}, "split_run '../other'"),
    ],
)
def test_a_checkpoint_config_is_read_with_its_types_and_ranges(
    tmp_path: Path, change: Mapping[str, Any], names: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONTENT, **change}))
    with pytest.raises(ValueError) as caught:
        read_checkpoint_config(tmp_path / "config.json")
    assert names in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"sha256": []}', '{"sha256": "x"}', '{"sha256": null}', "[" * 10**5]
)
def test_a_manifest_is_read_with_its_types(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json cannot be read"):
        read_manifest(tmp_path / "manifest.json")


def declaring(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The bytes of an array that declares a shape and holds nothing."""
    content = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue()


def npz(path: Path, **arrays: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_an_array_that_declares_more_than_it_holds_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"x: it declares the shape \(100000000000,\), 100,000,000,000 bytes, and holds"
    ):
        read_arrays(npz(tmp_path / "x.npz", x=declaring((10**11,))))


def test_an_array_that_memory_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(1000))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 100}))
    with pytest.raises(ValueError, match=r"x: its shape \(1000,\) would fill .* are free"):
        read_arrays(tmp_path / "x.npz")


def test_what_is_no_npz_of_numbers_is_refused(tmp_path: Path) -> None:
    objects = np.array([{}], dtype=object)
    np.savez(tmp_path / "objects.npz", x=objects, allow_pickle=True)
    np.save(tmp_path / "one.npy", np.zeros(1))
    (tmp_path / "text.npz").write_text("no zip")
    cases = {"objects.npz": "Python objects", "one.npy": "it is one array", "text.npz": "not a zip file"}
    for name, reason in cases.items():
        with pytest.raises(ValueError, match=reason):
            read_arrays(tmp_path / name, ["x"])
    np.savez(tmp_path / "y.npz", y=np.zeros(1))
    with pytest.raises(ValueError, match="x: not among 'y'"):
        read_arrays(tmp_path / "y.npz", ["x"])


@pytest.mark.parametrize("model", ["mlp_l1_w99999999999", "linear_l2_w99999999999", "mlp_l1_w9" + "9" * 30])
def test_widths_that_memory_cannot_hold_are_refused_before_any_is_taken(model: str) -> None:
    with pytest.raises(ValueError, match=r"GiB of memory are free; choose|is too large"):
        build_network(NetworkSpec(**{**NETWORK, "model": model}), seed=0)


@pytest.mark.parametrize("model", ["mlp_l100000000_w8", "linear_l100000000_w8", "mlp_l9" + "9" * 9000 + "_w8"])
def test_more_layers_than_a_network_can_have_are_refused_by_the_name_alone(model: str) -> None:
    with pytest.raises(ValueError, match="is more than 1,000 layers") as caught:
        build_network(NetworkSpec(**{**NETWORK, "model": model}), seed=0)
    assert len(str(caught.value)) < 600


def test_an_empty_state_has_the_shapes_and_types_of_the_network() -> None:
    spec = NetworkSpec(**{**NETWORK, "model": "mlp_l2_w8_bn"})
    torch.manual_seed(3)
    before = torch.get_rng_state()
    empty = empty_state(spec)
    assert torch.equal(torch.get_rng_state(), before)
    real = build_network(spec, seed=0).state_dict()
    assert {name: (value.shape, value.dtype) for name, value in empty.items()} == {
        name: (value.shape, value.dtype) for name, value in real.items()
    }


# Through the commands


@pytest.fixture
def pair(store: MlflowClient) -> str:
    assert train_pair([*QUICK, "--epochs=1"]) == 0
    return str(runs_of_kind(store, "pair")[0].info.run_id)


def rewrite(run_id: str, path: str, change: Callable[[Path], object]) -> None:
    """Change an artifact, and the manifest with it."""
    folder = Path.cwd() / "mlruns" / "0" / run_id / "artifacts"
    change(folder / path)
    digests = {**read_manifest(folder / "manifest.json"), path: sha256_of(folder / path)}
    (folder / "manifest.json").write_text(render_manifest(digests))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"A": np.arange(3)}, "B: not among 'A'"),
        ({"A": np.arange(3), "B": np.arange(3.0)}, "B is float64 of shape (3,)"),
        ({"A": np.array(["a"]), "B": np.arange(3)}, "A is <U1 of shape (1,)"),
        ({"A": np.arange(4).reshape(2, 2), "B": np.arange(3)}, "A is int64 of shape (2, 2)"),
        ({"A": np.arange(0), "B": np.arange(3)}, "A is int64 of shape (0,)"),
        ({"A": np.array([-1]), "B": np.arange(3)}, "A is int64 of shape (1,)"),
        ({"A": np.array([10**12]), "B": np.arange(3)}, "names sample 1000000000000"),
    ],
)
def test_a_split_that_is_none_is_refused_before_a_run_is_opened(
    store: MlflowClient,
    pair: str,
    capsys: pytest.CaptureFixture[str],
    arrays: Mapping[str, Any],
    reason: str,
) -> None:
    rewrite(pair, "split.npz", lambda path: np.savez(path, **arrays))
    capsys.readouterr()
    assert interpolate([f"--pair={pair}", "--num_alphas=3", *HERE]) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert runs_of_kind(store, "path") == []


def test_networks_that_are_no_numbers_are_named_by_whoever_cannot_use_them(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = [run.info.run_id for run in runs_of_kind(store, "endpoint")]

    def diverge(path: Path) -> None:
        state = load_file(path)
        next(iter(state.values())).fill_(float("nan"))
        save_file(state, path)

    rewrite(ends[0], "checkpoint/model.safetensors", diverge)
    capsys.readouterr()
    for main, flags in (
        (align, [f"--pair={pair}"]),
        (ensemble, [f"--pair={pair}", "--num_alphas=3"]),
        (ensemble, [f"--runs={','.join(ends)}"]),
        (prune, [f"--run={ends[0]}"]),
    ):
        assert main([*flags, *HERE]) == 1
        assert f"run {ends[0]}: linear1.bias is not finite, its training diverged" in capsys.readouterr().err
    assert len(store.search_runs(["0"])) == 3
    assert interpolate([f"--pair={pair}", "--num_alphas=3", "--splits=test", *HERE]) == 0, capsys.readouterr().err
    (path,) = runs_of_kind(store, "path")
    assert path.data.tags["lmc.connected"] == "no"
    written = next(Path.cwd().rglob("path.json")).read_text()
    json.loads(written, parse_constant=pytest.fail)  # a bare NaN is no JSON
    assert query.path_curves(query.paths())["loss"].isna().tolist() == [True, True, False]


def test_align_says_where_there_is_nothing_to_align(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    end = runs_of_kind(store, "endpoint")[0].info.run_id
    capsys.readouterr()
    assert align([f"--run_a={end}", f"--run_b={end[:12]}", *HERE]) == 1
    assert f"run_a and run_b are both run {end}" in capsys.readouterr().err
    assert train_pair([*QUICK, "--epochs=1", "--model=linear_l1"]) == 0
    capsys.readouterr()
    assert align([f"--pair={runs_of_kind(store, 'pair')[-1].info.run_id}", *HERE]) == 1
    assert "linear_l1 has no units that could be exchanged" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["headless", "few", "nan", "double"])
def test_kept_predictions_that_cannot_be_used_are_computed_again(
    store: MlflowClient, pair: str, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    from lmc_mlflow.tracking.prediction_cache import TENSOR, content_hash

    flags = [f"--pair={pair}", "--num_alphas=2", "--num_resamples=0", *HERE]
    assert ensemble(flags) == 0
    kept = sorted((Path.cwd() / "mlruns" / "0" / pair / "artifacts" / "predictions").iterdir())
    for path in kept:
        right = load_file(path)[TENSOR]
        wrong = {"few": right[:3], "nan": right * float("nan"), "double": right.double()}.get(kind, right)
        header = {"key": path.stem, "sha256": content_hash(wrong)}
        save_file({TENSOR: wrong.contiguous()}, path, metadata=None if kind == "headless" else header)
    assert ensemble(flags) == 0
    first, second = (dict(run.data.metrics) for run in runs_of_kind(store, "ensemble"))
    assert (first.pop("num_kept", 0), second.pop("num_kept", 0)) == (0, 0)
    assert second == pytest.approx(first)


@pytest.mark.parametrize(
    "header", [None, {}, {"state": "[]"}, {"state": '{"traces": {"A": [{"x": 1}]}}'}, {"state": "[" * 10}]
)
def test_a_state_that_is_none_is_not_resumed_from(tmp_path: Path, header: dict[str, str] | None) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "state", metadata=header)
    with pytest.raises(ValueError, match=r"the state to resume from cannot be read .*; force=true begins anew"):
        load_state(tmp_path / "state")
