"""Every command that computes gives on a GPU what it gives on a CPU, up to rounding, and resumes there."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, command, runs_of_kind, use_copy_of
from mlflow import MlflowClient
from mlflow.entities import Run

from lmc_mlflow.paths.engines.table import PATH_ENGINES
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.workflows.matrix import pairs as matrix_pairs
from lmc_mlflow.workflows.pair.recorder import Recorder
from lmc_mlflow.workflows.star.recorder import StarRecorder
from lmc_mlflow.workflows.trajectory.epoch_runs import EpochRuns

pytestmark = pytest.mark.gpu
FEW_STEPS = [*QUICK, "--batch_size=128"]
POOL = [*FEW_STEPS, "--epochs=2", "--init=different", "--shift=none"]
ON_GPU = ["--device=cuda", "--deterministic=true", "--threads=1"]
ON_CPU = ["--device=cpu", "--threads=1"]
NOT_RESULTS = ("cost/", "num_cached")
TWO_IMAGES = 2.1 / 355
"""Rounding may decide on the class of an image or two of the digits' 355 for testing."""


def run(name: str, *flags: str) -> int:
    return int(import_module(f"entry_points.{name}").main(list(flags)))


@pytest.fixture(scope="module")
def pool(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two networks of each of two kinds, and a third of the first, on the CPU."""
    folder = tmp_path_factory.mktemp("pool")
    with pytest.MonkeyPatch.context() as patch:
        use_copy_of(empty_store, folder, patch)
        for flags in (["--model=mlp_l1_w8"], ["--model=mlp_l2_w6_7_bn"], ["--model=mlp_l1_w8", "--seed=2"]):
            assert run("train_pair", *POOL, *flags) == 0
    return folder


def opened(pool: Path, folder: Path, patch: pytest.MonkeyPatch) -> tuple[MlflowClient, dict[str, str]]:
    """Copy the pool, and return names for its runs: `pair`, `a`, `b`, `c` of MLPs, and `bn_pair` and so on."""
    folder.mkdir()
    client = use_copy_of(pool / "mlflow.db", folder, patch)
    plain, normed, _ = (pair.info.run_id for pair in runs_of_kind(client, "pair"))
    ends = [end.info.run_id for end in runs_of_kind(client, "endpoint")]
    return client, dict(zip(["pair", "bn_pair", "a", "b", "bn_a", "bn_b", "c"], [plain, normed, *ends], strict=False))


THREE = ["--run_a={a}", "--run_b={b}", "--run_c={c}"]
COMMANDS = {
    "interpolate-weights-recalibrate": ["--pair={bn_pair}", "--align=weights", "--bn=recalibrate", "--num_alphas=3"],
    "interpolate-activations-repair": ["--pair={bn_pair}", "--align=activations", "--bn=repair", "--num_alphas=3"],
    "interpolate-sinkhorn-nearest": [
        *("--pair={bn_pair}", "--align=sinkhorn", "--sinkhorn_steps=3", "--bn=nearest", "--num_alphas=3"),
        *("--path_engine=exact", "--keep_samples=true"),
    ],
    "interpolate-none-adaptive": ["--pair={pair}", "--alphas=adaptive", "--splits=train_a,test"],
    "align-activations": ["--pair={pair}", "--method=activations"],
    "matrix-weights": ["--runs={a},{b},{c}", "--align=weights", "--num_alphas=3"],
    "plane-recalibrate": [*THREE, "--num_points=4", "--bn=recalibrate"],
    "star-weights": ["--sources={a},{b}", "--held_out={c}", "--epochs=2", "--num_alphas=3", "--star_init=mean"],
    "trajectory-fast": ["--run={bn_a}", "--epochs=2", "--engine=fast"],
    "prune-plain": ["--run={a}", "--heat_maps=false"],
    "ensemble-path": ["--pair={bn_pair}", "--num_alphas=3", "--bn=recalibrate", "--num_resamples=20"],
}
KINDS = {"interpolate": "path", "align": "alignment", "prune": "pruned", "train_pair": "pair"}


def results(run: Run) -> dict[str, float]:
    return {name: value for name, value in run.data.metrics.items() if not any(part in name for part in NOT_RESULTS)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_measures_on_a_gpu_what_it_measures_on_a_cpu(
    name: str, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command_name, found = name.partition("-")[0], []
    for device, flags in (("gpu", ON_GPU), ("cpu", ON_CPU)):
        client, ids = opened(pool, tmp_path / device, monkeypatch)
        assert run(command_name, *(flag.format(**ids) for flag in COMMANDS[name]), *flags) == 0
        found.append(results(runs_of_kind(client, KINDS.get(command_name, command_name))[-1]))
    assert found[0]
    assert set(found[0]) == set(found[1])
    for key, value in found[0].items():
        assert value == pytest.approx(found[1][key], rel=2e-3, abs=TWO_IMAGES if "accuracy" in key else 2e-3), key


DROPOUT = [*FEW_STEPS, "--model=mlp_l1_w16_bn_dropout"]
RESUMED: dict[str, tuple[Any, str, int, list[str]]] = {
    "train_pair-paper": (Recorder, "on_epoch", 3, [*DROPOUT, "--noise_scope=paper", "--noise=different"]),
    "train_pair-fast": (Recorder, "on_epoch", 3, [*FEW_STEPS, "--model=mlp_l2_w6_7_bn", "--engine=fast"]),
    "star": (StarRecorder, "on_epoch", 2, ["--sources={a},{b}", "--epochs=2", "--num_alphas=3"]),
    "trajectory": (EpochRuns, "on_epoch", 2, ["--run={bn_a}", "--epochs=2"]),
    "matrix": (matrix_pairs, "measure_path", 2, ["--runs={a},{b},{c}", "--num_alphas=3"]),
    "plane": (PATH_ENGINES, "fast", 3, [*THREE, "--num_points=4"]),
}
"""Command -> what is called again and again, the call at which Ctrl-C comes, and the flags."""


def stop_at(call: int, owner: Any, name: str, patch: pytest.MonkeyPatch) -> None:
    """Let the process get a Ctrl-C instead of that call, counted from 1."""
    table = isinstance(owner, dict)
    original: Callable[..., Any] = owner[name] if table else getattr(owner, name)
    calls = []

    def stopped(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    (patch.setitem if table else patch.setattr)(owner, name, stopped)


@pytest.mark.parametrize("name", RESUMED)
def test_a_command_that_is_stopped_on_a_gpu_ends_as_if_it_had_not_been(
    name: str, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command_name = name.partition("-")[0]
    owner, called, call, flags = RESUMED[name]
    found = []
    for how in ("stopped", "whole"):
        client, ids = opened(pool, tmp_path / how, monkeypatch)
        here = [command_name, *(flag.format(**ids) for flag in flags), *ON_GPU]
        if how == "stopped":
            with pytest.MonkeyPatch.context() as patch:
                stop_at(call, owner, called, patch)
                assert run(*here) == 130
        assert run(*here) == 0
        ended = runs_of_kind(client, KINDS.get(command_name, command_name))[-1]
        networks = [r.info.run_id for kind in ("star", "endpoint") for r in runs_of_kind(client, kind)]
        states = [load_network(client, run_id).state for run_id in networks if run_id not in ids.values()]
        found.append((results(ended), states))
    (metrics, states), (expected, others) = found
    assert metrics == expected
    assert len(states) == len(others)
    for mine, theirs in zip(states, others, strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


def test_a_command_as_a_process_trains_on_a_gpu(store: MlflowClient) -> None:
    ran = command("train_pair", *QUICK, "--device=cuda", "--engine=fast", "--epochs=1")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert runs_of_kind(store, "pair")[0].info.status == "FINISHED"


def test_a_layer_without_a_deterministic_kernel_is_refused_in_one_line(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train_pair", *QUICK, "--model=vgg_like", "--epochs=1", "--batch_size=512", *ON_GPU) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("set deterministic=false")
