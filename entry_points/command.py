"""Runs one command: parses its flags, calls its workflow, prints the result, and turns an error into one line."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import flag_parser, parse_flags
from lmc_mlflow.errors import without_secrets
from lmc_mlflow.terminal.streams import patient_streams
from lmc_mlflow.terminal.streams import say as say
from lmc_mlflow.tracking.process import Terminated, termination_raises

tell = say
"""Prints a line while a command is at work."""


def ignore(line: str) -> None:
    """Drop a line that a quiet command does not print."""


def run_command(name: str, work: Callable[[Any], Sequence[str]], argv: Sequence[str] | None = None) -> int:
    """Parse the flags, run the command, print its lines, and return the exit status.

    Neither torch nor mlflow is imported before the flags are known to be right: `--help` and a misspelt flag
    answer at once.

    Args:
        name: row of the table of commands.
        work: takes the command's configuration and returns the lines to print, the result in the first of them; imports
            the workflow itself.
        argv: flags; None: those of the process.
    """
    flags = sys.argv[1:] if argv is None else list(argv)
    config_type = COMMANDS[name].config
    if {"-h", "--help"} & set(flags):
        say(flag_parser(name, config_type, _catalogues()).format_help())
        return 0
    try:
        config = parse_flags(name, config_type, flags)
    except ValueError as error:
        return _refuse(name, error)
    quiet = config.terminal.quiet
    with patient_streams(quiet):
        logging.basicConfig(
            level=logging.ERROR if quiet else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
        )
        try:
            with termination_raises():
                lines = work(config)
        except (KeyboardInterrupt, Terminated):
            print(f"{name}: stopped; give the same command again to go on", file=sys.stderr)
            return 130
        except _user_errors() as error:
            return _refuse(name, error, _way_out(error))
        say("\n".join(lines[:1] if quiet else lines))
    return 0


def _catalogues() -> dict[str, Sequence[str]]:
    """Return the names of data sets, shifts and networks, which stand in tables that need neither torch nor mlflow."""
    from lmc_mlflow.data.datasets import DATASETS
    from lmc_mlflow.data.shifts.registry import SHIFTS
    from lmc_mlflow.models.families import MODEL_FORMS

    return {
        "dataset": list(DATASETS),
        "shift": [family.form for family in SHIFTS.values()],
        "model": list(MODEL_FORMS),
    }


def _refuse(name: str, error: BaseException, way_out: str = "") -> int:
    """Print an error in one line and return the exit status."""
    print(f"{name}: {without_secrets(' '.join(str(error).split()))}{way_out}", file=sys.stderr)
    return 1


def _user_errors() -> tuple[type[BaseException], ...]:
    """Return the errors that a user can do something about; called when work has failed, never before."""
    import torch
    from safetensors import SafetensorError

    from lmc_mlflow.tracking.store import STORE_FAILURES, StoreError

    failures = (StoreError, FloatingPointError, OSError, SafetensorError, torch.OutOfMemoryError)
    return (ValueError, *failures, *STORE_FAILURES)


def _way_out(error: BaseException) -> str:
    """Return what to do about errors of the machine, whose own words do not say it."""
    import torch

    if "No space left" in str(error):
        return "; free some space, the same command resumes it"
    if isinstance(error, torch.OutOfMemoryError):
        return "; lower batch_size, choose a smaller network, or device=cpu"
    return ""
