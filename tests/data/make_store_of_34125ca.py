"""Makes `store_of_34125ca.zip`, the store that tests/test_previous_version.py reads. It runs the code of that commit.

git worktree add ../old 34125ca
cd EMPTY_FOLDER
PYTHONPATH=PATH_OF_THE_WORKTREE python PATH_OF_THIS_FILE
"""

import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmc_mlflow.interpolation.path import ENGINES
from lmc_mlflow.workflows.recorder import Recorder
from lmc_mlflow.workflows.star_recorder import StarRecorder
from lmc_mlflow.workflows.stations import Stations
from mlflow import MlflowClient

from lmc_mlflow.workflows import matrix_pairs

HERE = ["--device=cpu", "--threads=1"]
PAIR = ["--model=mlp_l1_w8", "--epochs=3", *HERE]
STAR = ["--epochs=3", "--num_alphas=3", "--max_regular_pairs=1", "--batch_size=500", *HERE]
POINTS = 4


def run(command: str, *flags: str, status: int = 0) -> None:
    found = importlib.import_module(f"entry_points.{command}").main(list(flags))
    assert found == status, f"{command} {flags}: status {found}"


def newest(kind: str, **tags: str) -> str:
    wanted = {"lmc.kind": kind, **{f"lmc.{name}": value for name, value in tags.items()}}
    where = " and ".join(f"tags.`{name}` = '{value}'" for name, value in wanted.items())
    return MlflowClient().search_runs(["0"], where, order_by=["attributes.start_time DESC"])[0].info.run_id


@contextmanager
def stopped(owner: Any, name: str, is_time: Callable[..., bool]) -> Iterator[None]:
    """Within the block a call stops the process as Ctrl-C does."""
    table = isinstance(owner, dict)
    original = owner[name] if table else getattr(owner, name)
    put = owner.__setitem__ if table else lambda key, value: setattr(owner, key, value)

    def stopping(*args: Any, **kwargs: Any) -> Any:
        if is_time(*args):
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    put(name, stopping)
    yield
    put(name, original)


def after(calls: int, counts: Callable[..., bool] = lambda *_: True) -> Callable[..., bool]:
    seen: list[int] = []

    def is_time(*args: Any) -> bool:
        seen.extend([1] if counts(*args) else [])
        return len(seen) > calls

    return is_time


def main() -> None:
    os.environ |= {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "LOGNAME": "someone"}
    socket.gethostname = lambda: "elsewhere"
    sys.argv[0] = Path(sys.argv[0]).name
    run("train_pair", *PAIR, "--seed=1")
    run("train_pair", *PAIR, "--seed=3")
    with stopped(Recorder, "on_epoch", lambda _self, epoch, _reports: epoch == 3):
        run("train_pair", *PAIR, "--seed=2", status=130)
    ends = [newest("endpoint", seed=seed, side=side) for seed in "13" for side in "AB"]
    pair = newest("pair", seed="1")
    run("interpolate", f"--pair={pair}", "--num_alphas=5", *HERE)
    run("interpolate", f"--run_a={ends[0]}", f"--run_b={ends[2]}", "--num_alphas=5", "--align=weights", *HERE)
    run("ensemble", f"--pair={pair}", "--num_alphas=5", "--num_resamples=20", "--num_orders=4", *HERE)
    run("align", f"--run_a={ends[0]}", f"--run_b={ends[2]}", *HERE)
    run("prune", f"--run={ends[0]}", *HERE)
    run("trajectory", f"--run={ends[0]}", "--epochs=2", *HERE)
    with stopped(Stations, "on_epoch", lambda _self, epoch, _reports: epoch == 5):
        run("trajectory", f"--run={ends[1]}", "--epochs=2", *HERE, status=130)
    run("star", f"--sources={','.join(ends[:3])}", f"--held_out={ends[3]}", *STAR)
    with stopped(StarRecorder, "on_epoch", lambda _self, epoch, _scores: epoch == 3):
        run("star", f"--sources={','.join(ends[:2])}", *STAR, status=130)
    run("matrix", f"--runs={','.join(ends)}", "--num_alphas=3", *HERE)
    with stopped(matrix_pairs, "walk", after(3)):
        run("matrix", f"--runs={','.join(ends)}", "--num_alphas=3", "--align=weights", *HERE, status=130)
    corners = [f"--run_{name}={end}" for name, end in zip("abc", ends, strict=False)]
    run("plane", *corners, "--num_points=4", *HERE)
    with stopped(ENGINES, "fast", after(POINTS + 2, lambda *args: len(args[2]) == POINTS)):  # rows, not edges
        run("plane", *corners, f"--num_points={POINTS}", "--align=weights", *HERE, status=130)
    run("report")
    bundle = Path(__file__).with_name("store_of_34125ca.zip")
    bundle.unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-m", "entry_points.export", f"--out={bundle}", "--figures=false"], check=True, timeout=300
    )


if __name__ == "__main__":
    main()
