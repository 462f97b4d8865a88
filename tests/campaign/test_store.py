"""The store in a campaign: many first commands at once, commands killed after each call, random small stores."""

import os
import signal
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from campaign.small_stores import SmallStores
from campaign.table import Judge
from conftest import ROOT, runs_of_kind
from mlflow import MlflowClient

from lmc_mlflow import query
from lmc_mlflow.papers.report.content import report_content
from lmc_mlflow.papers.report.markdown import markdown
from lmc_mlflow.workflows.report.report import read_frames

pytestmark = [pytest.mark.slow, pytest.mark.trains]
HERE = ["--device=cpu", "--threads=1"]
PAIR = ["--model=mlp_l1_w8", "--epochs=1", "--c2st_samples=0", *HERE]
NUM_STORES = int(os.environ.get("CAMPAIGN_STORES", "40"))
"""Random small stores; each takes a few seconds."""

KILLER = """
import os, signal, sys
from importlib import import_module

calls, command, *flags = sys.argv[1:]
from lmc_mlflow.tracking.run import TrackedRun

left = [int(calls)]

def counted(original):
    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)
    return call

for name in [name for name in vars(TrackedRun) if not name.startswith("_")]:
    setattr(TrackedRun, name, counted(getattr(TrackedRun, name)))
sys.exit(import_module(f"entry_points.{command}").main(flags))
"""
"""Runs a command and kills it without warning at its n-th call to a run that it writes."""


def environment(**changed: str) -> dict[str, str]:
    left_out = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **changed}


@pytest.mark.parametrize("made", ["no database", "an empty file", "an empty database"])
@pytest.mark.parametrize("number", [2, 6])
def test_first_commands_at_once(number: int, made: str, empty_store: Path, tmp_path: Path, judge: Judge) -> None:
    database = tmp_path / "mlflow.db"
    if made != "no database":
        database.write_bytes(empty_store.read_bytes() if made == "an empty database" else b"")
    uri = f"sqlite:///{database}"
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "entry_points.train_pair", *PAIR, f"--seed={seed}"],
            env=environment(MLFLOW_TRACKING_URI=uri),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(number)
    ]
    told = [command.communicate(timeout=600)[1] for command in commands]
    failed = [text.strip()[-200:] for text, command in zip(told, commands, strict=True) if command.returncode]
    client = MlflowClient(tracking_uri=uri)
    ended = Counter(run.info.status for run in runs_of_kind(client, "pair"))
    judge(
        "first commands at once",
        f"{number} on {made}",
        "; ".join(failed) or "all train",
        not failed and ended == {"FINISHED": number} and client.search_registered_models() == [],
    )


@pytest.fixture
def pair(store: MlflowClient) -> dict[str, str]:
    """Run ids of a pair and of its sides."""
    assert import_module("entry_points.train_pair").main(PAIR) == 0
    sides = {run.data.tags["lmc.side"]: run.info.run_id for run in runs_of_kind(store, "endpoint")}
    return {"pair": runs_of_kind(store, "pair")[0].info.run_id, **sides}


COMMANDS = {
    "path": ["interpolate", "--pair={pair}", "--num_alphas=3", "--num_resamples=0", *HERE],
    "ensemble": ["ensemble", "--runs={A},{B}", "--num_resamples=10", "--num_orders=2", *HERE],
    "alignment": ["align", "--run_a={A}", "--run_b={B}", *HERE],
    "pruned": ["prune", "--run={A}", *HERE],
    "report": ["report"],
}
"""Kind -> the command of one run that is not resumed."""


@pytest.mark.parametrize("kind", COMMANDS)
def test_what_a_killed_command_leaves_is_ended_by_the_same_command(
    kind: str, store: MlflowClient, pair: dict[str, str], judge: Judge
) -> None:
    name, *flags = (word.format(**pair) for word in COMMANDS[kind])
    for calls in (0, 2, 5):
        killed = subprocess.run(
            [sys.executable, "-c", KILLER, str(calls), name, *flags],
            env=environment(MLFLOW_TRACKING_URI=os.environ["MLFLOW_TRACKING_URI"]),
            capture_output=True,
            timeout=300,
            check=False,
        )
        before = [run.info.status for run in runs_of_kind(store, kind)]
        status = import_module(f"entry_points.{name}").main(flags)
        after = Counter(run.info.status for run in runs_of_kind(store, kind))
        judge(
            "SIGKILL, then the same command",
            f"{name} at call {calls}",
            dict(after),
            killed.returncode == -signal.SIGKILL and "RUNNING" in before and status == 0 and not after["RUNNING"],
        )
        for run in runs_of_kind(store, kind):  # a finished one would be found the next time
            store.delete_run(run.info.run_id)


def test_random_small_stores_are_read_and_reported(store: MlflowClient, tmp_path: Path, judge: Judge) -> None:
    bundle = ROOT / "tests" / "data" / "store_of_34125ca.zip"
    assert import_module("entry_points.import").main([f"--bundles={bundle}"]) == 0
    stores = SmallStores(tmp_path / "mlflow.db")
    for seed in range(NUM_STORES):
        what = stores.make(seed)
        for table in (query.alignments, query.stars, query.matrices, query.pruned):
            table()
        content = report_content(read_frames(()), {}, 1)
        judge(
            "a report of a random small store", f"seed {seed}: {what}", dict(content.num_runs), bool(markdown(content))
        )
