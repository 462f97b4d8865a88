"""Run all benchmarks, or those named, and print their tables: `python -m benchmarks [name ...]`."""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch

from benchmarks import agreement, feeding, paths, tracking, training

TABLES: Mapping[str, Mapping[str, Callable[[], list[dict[str, Any]]]]] = {
    "training": {"Whole epoch of a pair, both tests included": training.measure},
    "paths": {"Path of 21 alphas on three splits": paths.measure},
    "agreement": {"Wrong agreement and disagreement": agreement.measure},
    "tracking": {"Logging everything against logging nothing": tracking.measure},
    "feeding": {"Batches of Sentinel-2 patches": feeding.throughput, "Growth of memory": feeding.memory},
}


def main() -> int:
    """Run what was asked for; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(TABLES)}; none: all")
    names = parser.parse_args().names
    unknown = set(names) - set(TABLES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(TABLES)}")
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}\n")
    for name in names or TABLES:
        for title, measure in TABLES[name].items():
            started = time.perf_counter()
            rows = measure()
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
