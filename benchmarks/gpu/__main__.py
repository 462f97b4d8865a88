"""Runs the checks, or the named ones, and prints a line of JSON for each result.

Where a result has a limit, `holds` says whether it is kept; the exit status is 1 if one is not. What is right comes
before what is fast, so that a command that is stopped at its limit has proved something.
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.gpu import commands, correctness, speed
from benchmarks.gpu.setting import Rows, Setting
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.errors import one_line
from lmc_mlflow.seeds import CUBLAS_WORKSPACE
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine

SECTIONS: Mapping[str, Callable[[Setting], Rows]] = {
    "device": correctness.device,
    "captures": correctness.captures,
    "options": correctness.options,
    "agreement": correctness.agreement,
    "paths": correctness.paths,
    "counts": speed.counts,
    "engines": speed.engines,
    "policies": speed.policies,
    "memory": speed.memory,
    "together": commands.together,
    "commands": commands.commands,
}
"""Name of a section -> its rows; each takes less than ten minutes on a GPU."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named sections and return the exit status: 0 where everything holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; none: all")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the checks themselves")
    parser.add_argument("--small", action="store_true", help="a few small networks: a minute in all")
    parser.add_argument("--data_root", default="", help="folder of MNIST for whole commands; empty: digits")
    given = parser.parse_args(argv)
    unknown = set(given.names) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}")
    os.environ.setdefault(*CUBLAS_WORKSPACE)
    try:
        setting = Setting(prepare_machine(RuntimeConfig(device=given.device)), given.small, given.data_root)
    except ValueError as error:
        parser.error(str(error))
    held = [_run(name, setting) for name in given.names or SECTIONS]
    return 0 if all(held) else 1


def _run(name: str, setting: Setting) -> bool:
    """Run a section to its end, or to its first error; return whether everything holds."""
    started, holds = time.perf_counter(), True
    try:
        for row in SECTIONS[name](setting):
            holds = holds and row.get("holds", True)
            _print(name, row)
    except Exception as error:  # noqa: BLE001 (whatever goes wrong is the result of this section alone)
        traceback.print_exc()
        holds = False
        _print(name, {"failed": one_line(error), "holds": False})
    _print(name, {"section_s": time.perf_counter() - started})
    return holds


def _print(section: str, row: Mapping[str, Any]) -> None:
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}
    print(json.dumps({"section": section, **rounded}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
