"""How does a command line become one call, and every error one line?"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from safetensors import SafetensorError

from lmc_mlflow.config.flags import flag_parser, parse_flags
from lmc_mlflow.data.datasets import DATASETS
from lmc_mlflow.data.shifts.registry import SHIFTS
from lmc_mlflow.models.families import MODEL_FORMS
from lmc_mlflow.tracking.process import Terminated, termination_raises
from lmc_mlflow.tracking.store import STORE_FAILURES, StoreError

Config = TypeVar("Config")
CATALOGUES = {
    "dataset": list(DATASETS),
    "shift": [family.form for family in SHIFTS.values()],
    "model": list(MODEL_FORMS),
}
USER_ERRORS = (
    ValueError,
    StoreError,
    FloatingPointError,
    OSError,
    SafetensorError,
    torch.OutOfMemoryError,
    *STORE_FAILURES,
)


def run_command(
    name: str, workflow: Callable[[Config], Sequence[str]], argv: Sequence[str] | None, command: type[Config]
) -> int:
    """Parse flags, run, print what the workflow has to say; the exit status.

    Args:
        name: of the entry point.
        workflow: takes its configuration, returns lines to print.
        argv: flags; None: those of the process.
        command: class of its configuration.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    flags = sys.argv[1:] if argv is None else list(argv)
    if {"-h", "--help"} & set(flags):
        say(flag_parser(name, command, CATALOGUES).format_help())
        return 0
    try:
        with termination_raises():
            config = parse_flags(name, command, flags, CATALOGUES)
            lines = workflow(config)
    except (KeyboardInterrupt, Terminated):
        print(f"{name}: stopped; give the same command again to go on", file=sys.stderr)
        return 130
    except USER_ERRORS as error:
        print(f"{name}: {' '.join(str(error).split())}{_way_out(error)}", file=sys.stderr)
        return 1
    say("\n".join(lines))
    return 0


def say(text: str) -> None:
    """Print, also to a reader that has seen enough, as in `... | head -1`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at its end goes nowhere


def _way_out(error: BaseException) -> str:
    """What to do about errors of the machine, whose own words do not say."""
    if "No space left" in str(error):
        return "; free some space, the same command resumes it"
    if isinstance(error, torch.OutOfMemoryError):
        return "; lower batch_size, choose a smaller network, or device=cpu"
    return ""
