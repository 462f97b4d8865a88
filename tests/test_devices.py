"""What several devices measure together equals what one measures, to the last bit."""

import pickle
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.matrix import main as matrix
from entry_points.plane import main as plane
from entry_points.train_pair import main as train_pair
from lmc_mlflow.workers import spread
from lmc_mlflow.workers.pool import Call, Ended
from lmc_mlflow.workers.worker_process import answer

ONE, TWO = ["--device=cpu", "--threads=1"], ["--devices=cpu,cpu", "--threads=1"]


class PicklingPool:
    """A pool whose places are in this process; everything passes through pickles, and the last call ends first."""

    def __init__(self, environments: list[dict[str, str]]) -> None:
        self._num_places = len(environments)
        self._ended: list[Ended] = []

    def free(self) -> list[int]:
        return [place for place in range(self._num_places) if place not in [one.key for one in self._ended]]

    def submit(self, place: int, call: Call) -> None:
        self._ended.append(Ended(place, pickle.loads(answer(pickle.loads(pickle.dumps(call))))))

    def finished(self, seconds: float) -> list[Ended]:
        ended, self._ended = self._ended[::-1], []
        return ended

    def close(self) -> None:
        spread._MEASURERS.clear()


@pytest.fixture(scope="module")
def filled(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    """Four networks with batch norm: two pairs, whose sides hold other classes."""
    folder = tmp_path_factory.mktemp("devices")
    shutil.copy(empty_store, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.chdir(folder)
        flags = ["--model=mlp_l2_w12_8_bn", "--init=different", "--shift=label_2080", "--seeds=1,20"]
        assert train_pair([*QUICK, *flags]) == 0
        yield MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def pickling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "ProcessPool", PicklingPool)


def ids(client: MlflowClient) -> list[str]:
    return [run.info.run_id for run in runs_of_kind(client, "endpoint")]


def content(client: MlflowClient, kind: str, place: int) -> dict[str, Any]:
    """Everything that the newest run but `place` of a kind has logged, apart from times."""
    run = runs_of_kind(client, kind)[place]
    found: dict[str, Any] = {k: v for k, v in run.data.metrics.items() if "cost/" not in k}
    found["tags"] = {k: v for k, v in run.data.tags.items() if k in ("lmc.engine", "lmc.threads", "lmc.converged")}
    folders, files = [""], []
    while folders:
        for one in client.list_artifacts(run.info.run_id, folders.pop()):
            (folders if one.is_dir else files).append(one.path)
    for path in sorted(files):
        if path.endswith((".csv", ".json", ".npz")) and path != "manifest.json":
            local = client.download_artifacts(run.info.run_id, path)
            if path.endswith(".npz"):
                with np.load(local) as arrays:
                    found |= {f"{path}/{name}": array.tobytes() for name, array in arrays.items()}
            else:
                found[path] = Path(local).read_bytes()
    return found


def assert_equal_on_two(client: MlflowClient, kind: str, command: Any, flags: list[str]) -> None:
    assert command([*flags, *ONE]) == 0
    assert command([*flags, *TWO]) == 0
    one, two = content(client, kind, -2), content(client, kind, -1)
    assert list(one) == list(two)
    assert [name for name in one if one[name] != two[name]] == []
    assert len(one) > 10


@pytest.mark.usefixtures("pickling")
@pytest.mark.parametrize(
    "flags",
    [
        ["--bn=interpolate"],
        ["--bn=nearest", "--align=weights"],
        ["--bn=recalibrate", "--align=activations", "--reference=best"],
        ["--bn=repair", "--align=weights", "--max_sweeps=1"],
    ],
)
def test_a_matrix_on_two_devices_equals_one_on_one(filled: MlflowClient, flags: list[str]) -> None:
    wanted = [f"--runs={','.join(ids(filled))}", "--num_alphas=5", "--force=true", *flags]
    assert_equal_on_two(filled, "matrix", matrix, wanted)


@pytest.mark.usefixtures("pickling")
@pytest.mark.parametrize("flags", [["--bn=recalibrate", "--align=activations"], ["--bn=interpolate"]])
def test_a_plane_on_two_devices_equals_one_on_one(filled: MlflowClient, flags: list[str]) -> None:
    corners = [f"--run_{name}={run_id}" for name, run_id in zip("abc", ids(filled), strict=False)]
    assert_equal_on_two(filled, "plane", plane, [*corners, "--num_points=4", "--force=true", *flags])


@pytest.mark.usefixtures("pickling")
@pytest.mark.parametrize(
    "flags",
    [
        ["--bn=interpolate", "--align=weights", "--num_resamples=50", "--keep_samples=true"],
        ["--bn=nearest", "--alphas=adaptive", "--alpha_tolerance=0.01"],
        ["--bn=recalibrate", "--align=activations", "--path_engine=exact", "--splits=test"],
        ["--bn=repair", "--align=weights", "--num_alphas=9"],
    ],
)
def test_paths_on_two_devices_equal_those_on_one(filled: MlflowClient, flags: list[str]) -> None:
    a, _, b, _ = ids(filled)
    assert_equal_on_two(filled, "path", interpolate, [f"--run_a={a}", f"--run_b={b}", *flags])


@pytest.mark.usefixtures("pickling")
def test_ensembles_on_two_devices_equal_those_on_one(filled: MlflowClient) -> None:
    pair = runs_of_kind(filled, "pair")[0].info.run_id
    for flags in ([f"--pair={pair}", "--bn=recalibrate", "--num_alphas=6"], [f"--runs={','.join(ids(filled))}"]):
        assert ensemble([*flags, *TWO]) == 0  # before one device does, whose predictions would be read back
        for run_id in [pair, *ids(filled)]:
            folder = Path(filled.get_run(run_id).info.artifact_uri) / "predictions"
            shutil.rmtree(folder, ignore_errors=True)
        assert ensemble([*flags, *ONE]) == 0
        two, one = content(filled, "ensemble", -2), content(filled, "ensemble", -1)
        assert [name for name in one if one[name] != two[name]] == []
        assert one["num_kept"] == 0
