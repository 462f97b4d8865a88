"""Writes commands to type next, in the way in which the present one was started: they work where they are printed."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

import lmc_mlflow
from lmc_mlflow.config.commands import RUN
from lmc_mlflow.contract import LAUNCHER_RUN
from lmc_mlflow.errors import without_secrets
from lmc_mlflow.terminal.script import SCRIPT, is_script

SETTINGS = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")
"""Environment variables that decide where runs are, and that a command typed next needs too."""
KEPT_OPTIONS = ("--version", "-v", "--env-manager", "--experiment-name", "--experiment-id", "--storage-dir")
"""Options of `mlflow run` that a command typed next has too; all its options but the help take a value."""
WRITTEN = re.compile(rf"{re.escape(RUN)} (\w+)((?: -P \w+=(?:'[^']*'|<[^>]*>|[^\s'<`;])+)*)")
"""A command as messages and documents write it: for the project's folder."""
FLAGS = ("--build-image", "--skip-image-build")
"""Options of `mlflow run` without a value."""


def next_command(entry_point: str, **values: str) -> str:
    """Write the command that starts an entry point with some parameters.

    Started by `mlflow run`, it is `mlflow run` with the same project, environment manager and experiment; started by
    `lmc` it is `lmc`, otherwise `python -m`.
    Settings of the environment that name a store or an experiment stand before it, passwords as stars.
    """
    environment, words = _words(entry_point, values)
    settings = [f"{name}={shlex.quote(environment[name])}" for name in SETTINGS if environment.get(name)]
    return without_secrets(" ".join([*settings, shlex.join(words)]))


def how_started(entry_point: str) -> str:
    """Name an entry point as it is started: by `lmc`, or as a module."""
    return f"{SCRIPT} {entry_point}" if is_script() else f"python -m entry_points.{entry_point}"


def command_for_another_store(entry_point: str, **values: str) -> str:
    """Write the command as `next_command` does, but without the settings that name this store."""
    return without_secrets(shlex.join(_words(entry_point, values)[1]))


def retyped(text: str) -> str:
    """Rewrite every command in a message so that it works where the present command was started."""
    return WRITTEN.sub(lambda found: next_command(found[1], **_parameters(found[2])), text)


def _parameters(flags: str) -> dict[str, str]:
    """Read `-P name=value` flags; a placeholder such as `<folder of the archive>` is one value."""
    parts = flags.split(" -P ")[1:]
    return {name: value.strip("'") for name, _, value in (part.partition("=") for part in parts)}


def _words(entry_point: str, values: Mapping[str, str]) -> tuple[Mapping[str, str], list[str]]:
    """Give the environment in which the present command was started, and the words of the next one."""
    launcher = _launcher()
    if launcher is None and is_script():
        return os.environ, [SCRIPT, entry_point, *(f"{name}={value}" for name, value in values.items())]
    if launcher is None:
        flags = [part for name, value in values.items() for part in (f"--{name}", value)]
        return os.environ, [_python(), "-m", f"entry_points.{entry_point}", *flags]
    environment, words = launcher
    return environment, [*words, "-e", entry_point, *(w for n, v in values.items() for w in ("-P", f"{n}={v}"))]


def launcher_words(line: Sequence[str]) -> list[str] | None:
    """Take from the command line of a process the words of `mlflow run` that a next command repeats, or None.

    Args:
        line: as the system gives it: the interpreter and the path of `mlflow` may come first.
    """
    places = [i for i, word in enumerate(line) if Path(word).stem == "mlflow"]
    if not places or "run" not in line[places[0] + 1 :]:
        return None
    rest = list(line[line.index("run", places[0] + 1) + 1 :])
    project, kept = ".", []
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            project = word
            continue
        name, has_value, _ = word.partition("=")
        own = [word] if has_value or name in FLAGS else [word, *rest[:1]]
        rest = rest[len(own) - 1 :]
        if name in KEPT_OPTIONS:
            kept += own
    return ["mlflow", "run", project, *kept]


def _launcher() -> tuple[Mapping[str, str], list[str]] | None:
    """Find the environment and the words of the `mlflow run` that has started this process, if one has."""
    try:
        if not psutil.Process().environ().get(LAUNCHER_RUN):  # as it was at the start
            return None
        for parent in psutil.Process().parents():
            words = launcher_words(parent.cmdline())
            if words is not None:
                return parent.environ(), words
    except psutil.Error:
        return None
    project = str(Path(lmc_mlflow.__file__).resolve().parent.parent)
    return {}, ["mlflow", "run", project, "--env-manager", "local"]  # started from Python, by `mlflow.projects.run`


def _python() -> str:
    """Name this interpreter as briefly as the search path allows."""
    return next((name for name in ("python", "python3") if shutil.which(name) == sys.executable), sys.executable)
