"""Runs every command once on a GPU, and several processes on one GPU."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient

from benchmarks.gpu.setting import Row, Rows, Setting
from lmc_mlflow.contract import Kind, Tag

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 300
QUICK = ("train_pair", "--c2st_samples=0")
PROCESSES = (1, 4, 8)


@contextmanager
def _store() -> Iterator["_Store"]:
    with tempfile.TemporaryDirectory() as folder:
        yield _Store(Path(folder))


class _Store:
    """A store of its own, and the commands that write into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uri = f"sqlite:///{folder}/mlflow.db"
        self._environment = os.environ | {
            "MLFLOW_TRACKING_URI": self._uri,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }

    def start(self, name: str, *flags: str) -> "subprocess.Popen[str]":
        """Start a command in this store's folder."""
        return subprocess.Popen(
            [sys.executable, "-m", f"entry_points.{name}", *flags],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, setting: Setting, name: str, *flags: str) -> Row:
        """Run a command to its end, which is to come within the limit and with status 0."""
        started = time.perf_counter()
        process = self.start(name, *flags, f"--device={setting.device}")
        try:
            said = process.communicate(timeout=LIMIT_SECONDS)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[1]
        row: Row = {"command": " ".join((name, *flags))[:110], "seconds": time.perf_counter() - started}
        row |= {"status": process.returncode, "holds": process.returncode == 0}
        return row if row["holds"] else row | {"said": said.strip()[-300:]}

    def ids(self, kind: str, model: str = "") -> list[str]:
        """List the runs of a kind, and of a network if one is named, oldest first."""
        wanted = f"tags.`{Tag.KIND}` = '{kind}'" + (f" and tags.`{Tag.MODEL}` = '{model}'" if model else "")
        client = MlflowClient(tracking_uri=self._uri)
        return [run.info.run_id for run in client.search_runs(["0"], wanted, order_by=["attributes.start_time ASC"])]


def commands(setting: Setting) -> Rows:
    """Run every command that computes, once: all end with status 0."""
    with _store() as store:
        pair = (*QUICK, "--epochs=3", "--model=mlp_l2_w64_64_bn", "--init=different", "--engine=fast")
        yield store.run(setting, *pair)
        if setting.small:
            yield store.run(setting, "interpolate", f"--pair={store.ids(Kind.PAIR)[0]}", "--num_alphas=3")
            return
        yield store.run(setting, *pair, "--seed=7")
        yield from _on_two_pairs(setting, store)
        for extra in (("--memory_gb=0", "--augmentation=flip"), ("--engine=fast", "--precision=bfloat16")):
            yield store.run(setting, *QUICK, "--epochs=1", "--model=resnet10_s222", "--batch_size=256", *extra)
        yield store.run(setting, *QUICK, "--epochs=3", "--model=mlp_l1_w64", "--init=different")
        yield store.run(setting, "prune", f"--run={store.ids(Kind.ENDPOINT, 'mlp_l1_w64')[0]}")


def _on_two_pairs(setting: Setting, store: _Store) -> Rows:
    a, b, c, d = store.ids(Kind.ENDPOINT)
    ends = (f"--run_a={a}", f"--run_b={c}")
    for align, bn, more in (
        ("weights", "recalibrate", ()),
        ("activations", "repair", ()),
        ("sinkhorn", "nearest", ("--sinkhorn_steps=20",)),
    ):
        yield store.run(setting, "interpolate", *ends, f"--align={align}", f"--bn={bn}", "--num_alphas=5", *more)
    yield store.run(setting, "align", *ends, "--method=weights")
    yield store.run(setting, "star", f"--sources={a},{c}", f"--held_out={d}", "--epochs=2", "--num_alphas=3")
    yield store.run(setting, "ensemble", f"--star={store.ids(Kind.STAR)[0]}", "--num_samples=3")
    yield store.run(setting, "matrix", f"--runs={a},{b},{c},{d}", "--align=weights", "--num_alphas=3")
    yield store.run(setting, "plane", f"--run_a={a}", f"--run_b={b}", f"--run_c={c}", "--num_points=5")
    yield store.run(setting, "trajectory", f"--run={a}", "--epochs=2")
    yield store.run(setting, "ensemble", f"--runs={a},{b}")
    yield store.run(setting, "ensemble", f"--pair={store.ids(Kind.PAIR)[0]}", "--num_alphas=5")


def together(setting: Setting) -> Rows:
    """Time whole commands, and pairs of several processes on one GPU."""
    data = ("--dataset=mnist", f"--data_root={setting.data_root}") if setting.data_root else ()
    train = (*QUICK, "--batch_size=1024", *data)
    with _store() as store:
        whole: list[tuple[str, ...]] = [("--model=mlp_l1_w587", "--engine=exact", "--epochs=10")]
        if not setting.small:
            whole.append(("--model=mlp_l1_w587", "--engine=fast", "--epochs=10", "--seeds=1,20,100,500,1500"))
            whole.append(("--model=resnet10", "--engine=fast", "--precision=bfloat16", "--epochs=3"))
        for flags in whole:
            yield store.run(setting, *train, *flags)
        for count in PROCESSES[:1] if setting.small else PROCESSES:
            started = time.perf_counter()
            flags = (*train, "--model=mlp_l1_w128", "--epochs=5", "--threads=2", f"--device={setting.device}")
            running = [store.start(*flags, f"--seed={count}{i}") for i in range(count)]
            for process in running:
                process.communicate()
            statuses = [process.returncode for process in running]
            seconds = (time.perf_counter() - started) / count
            yield {"processes": count, "seconds_per_pair": seconds, "holds": not any(statuses)}
