"""Runs one command: parses its flags, calls its workflow, prints the result, and turns an error into one line."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import flag_parser, parse_flags
from lmc_mlflow.own_code import plugins
from lmc_mlflow.terminal.hints import how_started
from lmc_mlflow.terminal.refusals import is_user_error, refusal, refusal_of_flags
from lmc_mlflow.terminal.streams import MESSAGE_FORMAT, patient_streams
from lmc_mlflow.terminal.streams import say as say
from lmc_mlflow.tracking.processes.launcher import stop_with_launcher
from lmc_mlflow.tracking.processes.signals import STATUS, STOPS, leave_with, termination_raises

TWICE_TOLD = ("mlflow.store.db.utils", "urllib3.connectionpool")
"""Loggers that write a page about what is one line here."""


def tell(line: str) -> None:
    """Print a line while a command is at work."""
    say(line)


def ignore(line: str) -> None:
    """Drop a line that a quiet command does not print."""


def run_command(name: str, work: Callable[[Any], Sequence[str]], argv: Sequence[str] | None = None) -> int:
    """Run a command as `_run_command` does; a signal that comes later changes nothing of its exit status."""
    status = _run_command(name, work, argv)
    leave_with(status)
    return status


def _run_command(name: str, work: Callable[[Any], Sequence[str]], argv: Sequence[str] | None) -> int:
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
        say(flag_parser(name, config_type, catalogues(), prog=how_started(name)).format_help())
        return 0
    try:
        config = parse_flags(name, config_type, flags)
    except ValueError as error:
        return refuse(name, refusal_of_flags(error))
    quiet = config.terminal.quiet
    with patient_streams(quiet):
        logging.basicConfig(level=logging.ERROR if quiet else logging.WARNING, format=MESSAGE_FORMAT)
        for logger in TWICE_TOLD:
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        try:
            with termination_raises(), stop_with_launcher():
                lines = work(config)
        except STOPS:
            leave_with(STATUS)
            print(f"{name}: stopped; give the same command again to go on", file=sys.stderr)
            return STATUS
        except Exception as error:
            if not is_user_error(error):
                raise
            return refuse(name, refusal(error))
        lost = say("\n".join(lines[:1] if quiet else lines))
    if lost:
        print(f"{name}: done, but standard output cannot be written ({lost})", file=sys.stderr)
    return 1 if lost else 0


def catalogues() -> dict[str, Sequence[str]]:
    """Return the names of data sets, shifts and networks, which stand in tables that need neither torch nor mlflow."""
    from lmc_mlflow.data.datasets import DATASETS
    from lmc_mlflow.data.shifts.registry import SHIFTS
    from lmc_mlflow.models.families import MODEL_FORMS

    return {
        "dataset": [*DATASETS, *_plugins("dataset")],
        "shift": [*(family.form for family in SHIFTS.values()), *_plugins("shift")],
        "model": [*MODEL_FORMS, *_plugins("model")],
    }


def _plugins(what: str) -> list[str]:
    """Name what installed packages add to a table, each with its package and version."""
    return [f"{plugin.name} ({plugin.origin})" for plugin in plugins(what).values()]


def refuse(name: str, line: str) -> int:
    """Print an error's line and return the exit status."""
    print(f"{name}: {line}", file=sys.stderr)
    return 1
