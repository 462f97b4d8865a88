"""Runs all benchmarks, or the named ones, and prints their tables: `python -m benchmarks [--gpu] [name ...]`."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch

from benchmarks import (
    agreement,
    counts,
    devices,
    feeding,
    heads,
    matching,
    matching_cost,
    paths,
    peers,
    picture_feeding,
    tracking,
    training,
)
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.seeds import CUBLAS_WORKSPACE
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine

Rows = list[dict[str, Any]]
TABLES: Mapping[str, Mapping[str, Callable[[torch.device], Rows]]] = {
    "training": {"Whole epoch of a pair, both tests included": training.measure},
    "paths": {"Path of 21 alphas on three splits": paths.measure},
    "agreement": {"Wrong agreement and disagreement": lambda _: agreement.measure()},
    "tracking": {"Logging everything against logging nothing": lambda _: tracking.measure()},
    "devices": {"A matrix in two processes, over the time in one": lambda _: devices.measure()},
    "peers": {"A path by other libraries": lambda _: peers.measure()},
    "matching": {
        "Time of the derivation and of matching": lambda _: matching_cost.measure(),
        "Weights matched by another library": lambda _: matching.measure(),
    },
    "heads": {"Barrier of two ViTs by what is done with their heads": lambda _: heads.measure()},
    "counts": {
        "Training of two networks on a simulated GPU": lambda _: counts.measure_training(),
        "Paths, matching and stars on a simulated GPU": lambda _: counts.measure_others(),
    },
    "feeding": {
        "Batches of Sentinel-2 patches": lambda _: feeding.throughput(),
        "Growth of memory": lambda _: feeding.memory(),
    },
    "pictures": {
        "Batches of pictures": lambda _: picture_feeding.throughput(),
        "Growth of memory": lambda _: picture_feeding.memory(),
    },
}
ON_GPU = ("training", "paths")


def main() -> int:
    """Run the named benchmarks and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(TABLES)}; none: all")
    parser.add_argument("--gpu", action="store_true", help=f"on the first GPU; of {', '.join(ON_GPU)}")
    given = parser.parse_args()
    known = ON_GPU if given.gpu else tuple(TABLES)
    unknown = set(given.names) - set(known)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    os.environ.setdefault(*CUBLAS_WORKSPACE)
    try:
        device = prepare_machine(RuntimeConfig(device="cuda" if given.gpu else "cpu"))
    except ValueError as error:
        parser.error(f"--gpu: {error}")
    where = torch.cuda.get_device_name() if given.gpu else f"{torch.get_num_threads()} threads, {platform.machine()}"
    print(f"PyTorch {torch.__version__}, {where}\n")
    for name in given.names or known:
        for title, measure in TABLES[name].items():
            started = time.perf_counter()
            rows = measure(device)
            print(f"**{title}** ({name}, {time.perf_counter() - started:.0f} s)\n")
            print(_markdown(pd.DataFrame(rows)), flush=True)
    return 0


def _markdown(frame: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
