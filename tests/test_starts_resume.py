"""Trunks, kept epochs and children of an epoch survive kill -9, to the last bit; kept states can be deleted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run
from test_kill_resume import PATIENCE, last_epoch
from test_kill_resume import second_store as second_store
from torch import Tensor

from entry_points.export import main as export
from entry_points.repair import main as repair
from entry_points.sweep import main as sweep
from entry_points.train_pair import main as train_pair
from lmc_mlflow.manifest import read_manifest
from lmc_mlflow.query.kept_states import kept_sizes, load_kept
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.workflows.pair.starting.kept_epochs import readable_bytes

FLAGS = [
    *("--device=cpu", "--threads=1", "--batch_size=16", "--model=mlp_l1_w16_bn_dropout", "--noise=different"),
    *("--c2st_samples=0", "--augmentation=flip", "--checkpoint_every=3", "--epochs=50"),
]


def killed_when(is_time: Callable[[], bool], flags: Sequence[str]) -> None:
    """Train in a process of its own, which is killed as soon as it is time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "entry_points.train_pair", *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        deadline = time.monotonic() + PATIENCE
        while not is_time():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def trunks(client: MlflowClient) -> list[Run]:
    return [run for run in runs_of_kind(client, "endpoint") if "mlflow.parentRunId" not in run.data.tags]


def sides(client: MlflowClient) -> dict[str, Run]:
    pair = runs_of_kind(client, "pair")[-1].info.run_id
    runs = runs_of_kind(client, "endpoint")
    return {run.data.tags["lmc.side"]: run for run in runs if run.data.tags.get("mlflow.parentRunId") == pair}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def has_logged(client: MlflowClient, runs: Callable[[], list[Run]], epoch: int) -> Callable[[], bool]:
    return lambda: any(last_epoch(client, run.info.run_id) >= epoch for run in runs()[-1:])


def assert_same_pair(store: MlflowClient, other: MlflowClient, kept: Sequence[int]) -> None:
    ours, theirs = sides(store), sides(other)
    for side in "AB":
        a, b = ours[side], theirs[side]
        assert equal(load_network(store, a.info.run_id).state, load_network(other, b.info.run_id).state)
        assert a.data.tags["lmc.noise_digest"] == b.data.tags["lmc.noise_digest"]
        assert list(kept_sizes(store, a.info.run_id)) == list(kept)
        for epoch in kept:
            assert load_kept(store, a, epoch).digest() == load_kept(other, b, epoch).digest()


@pytest.mark.slow
def test_a_trunk_and_its_pair_killed_and_repeated_end_as_if_they_had_never_stopped(
    store: MlflowClient, second_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*FLAGS, "--shared_epochs=15", "--keep_epochs=18,45"]
    killed_when(has_logged(store, lambda: trunks(store), 7), flags)
    (trunk,) = trunks(store)
    assert runs_of_kind(store, "pair") == []
    killed_when(has_logged(store, lambda: runs_of_kind(store, "pair"), 25), flags)
    assert [run.info.run_id for run in trunks(store)] == [trunk.info.run_id]
    assert train_pair(flags) == 0
    assert all(run.info.status == "FINISHED" for run in store.search_runs(["0"]))
    assert len(runs_of_kind(store, "pair")) == len(trunks(store)) == 1
    assert store.list_artifacts(trunk.info.run_id, "resume") == []
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", second_store.tracking_uri)
        assert train_pair(flags) == 0
    assert_same_pair(store, second_store, (18, 45))


@pytest.mark.slow
def test_a_child_killed_and_repeated_is_still_its_parent_to_the_last_bit(store: MlflowClient) -> None:
    flags = [*FLAGS, "--noise_scope=paper"]
    assert train_pair([*flags, "--keep_epochs=10"]) == 0
    parent = sides(store)["B"]
    child = [*flags, f"--start={parent.info.run_id}", "--start_epoch=10"]
    killed_when(has_logged(store, lambda: runs_of_kind(store, "pair")[1:], 20), child)
    assert train_pair(child) == 0
    found = sides(store)["B"]
    assert found.info.run_id != parent.info.run_id
    assert equal(load_network(store, found.info.run_id).state, load_network(store, parent.info.run_id).state)


@pytest.mark.slow
def test_an_interrupted_training_that_did_not_keep_an_epoch_goes_back_for_it(
    store: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    killed_when(has_logged(store, lambda: runs_of_kind(store, "pair"), 12), [*FLAGS, "--keep_epochs=5"])
    assert train_pair([*FLAGS, "--keep_epochs=5,7"]) == 0
    assert "has not kept every epoch that keep_epochs asks for" in caplog.text
    assert len(runs_of_kind(store, "pair")) == 1
    assert list(kept_sizes(store, sides(store)["A"].info.run_id)) == [5, 7]


def test_repair_deletes_kept_states_and_leaves_networks_manifests_and_bundles_whole(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair([*QUICK, "--shared_epochs=1", "--keep_epochs=2,3"]) == 0
    capsys.readouterr()
    assert repair([]) == 0
    said = capsys.readouterr().out
    assert "5 kept states of epochs in 3 runs" in said
    assert "repair --prune_epochs true" in said
    assert repair(["--prune_epochs=true"]) == 0
    assert "5 kept states of epochs deleted" in capsys.readouterr().out
    for run in (*sides(store).values(), *trunks(store)):
        assert kept_sizes(store, run.info.run_id) == {}
        load_network(store, run.info.run_id)
        manifest = Path(store.download_artifacts(run.info.run_id, "manifest.json", str(tmp_path)))
        assert not [path for path in read_manifest(manifest) if path.startswith("epochs/")]
    assert export([f"--out={tmp_path / 'all.zip'}"]) == 0
    capsys.readouterr()
    assert repair([]) == 0
    assert "kept states" not in capsys.readouterr().out
    assert train_pair([*QUICK, "--shared_epochs=1", "--keep_epochs=2"]) == 1
    assert "keeps no epochs; keep_epochs asks for 2 too" in capsys.readouterr().err
    assert train_pair([*QUICK, "--shared_epochs=1", "--noise=different"]) == 0  # the trunk's state is made again
    assert len(trunks(store)) == 2
    assert equal(*(load_network(store, run.info.run_id).state for run in trunks(store)))


@pytest.mark.slow
def test_a_sweep_trains_each_trunk_once_and_finds_its_pairs_again(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_pair(QUICK) == 0
    start = sides(store)["A"].info.run_id
    grid = tmp_path / "starts.yaml"
    grid.write_text(
        "seeds: [1, 2]\n"
        "defaults: {dataset: digits, model: mlp_l1_w16, epochs: 3, c2st_samples: 0}\n"
        "cells:\n"
        "  - {shared_epochs: 2, noise: [same, different]}\n"
        f"  - {{start: {start[:10]}, keep_epochs: '2'}}\n"
    )
    flags = [f"--grid={grid}", "--processes=2", "--device=cpu"]
    # Two seeds keep the states of two sides, and two trunks one each: 12,730 numbers and two moments of each, 4 bytes.
    assert sweep([*flags, "--dry_run=true"]) == 0
    assert f"kept states take about {readable_bytes(6 * 3 * 12_730 * 4)}" in capsys.readouterr().out
    assert sweep(flags) == 0
    assert len(trunks(store)) == 2  # one for each seed, for both kinds of noise
    assert len(runs_of_kind(store, "pair")) == 1 + 6
    capsys.readouterr()
    assert sweep(flags) == 0
    assert "all 6 cells finished before" in capsys.readouterr().out
    grid.write_text(grid.read_text().replace("'2'", "'1'"))
    assert sweep(flags) == 1
    assert "keeps epochs 2; keep_epochs asks for 1 too" in capsys.readouterr().err
