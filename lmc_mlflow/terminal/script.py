"""Reads the words after the console script `lmc`, lists its commands, and completes its words in a shell."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.config.commands import COMMANDS, GROUPS

SCRIPT = "lmc"
_ASSIGNMENT = re.compile(r"[a-z]\w*=", re.IGNORECASE)
_HELP = """\
usage: lmc <command> [name=value ...]

Linear mode connectivity under data shifts: trains, measures and compares networks, and logs all to MLflow.
{commands}

lmc <command> --help lists the options of a command; `name=value` and `--name value` mean the same. Runs go to the store
that MLFLOW_TRACKING_URI names (sqlite:///mlflow.db in this folder if it names none).
Completion in bash and zsh: eval "$(register-python-argcomplete lmc)"
"""


def is_script() -> bool:
    """Tell whether this process was started as `lmc`."""
    return Path(*sys.argv[:1]).stem == SCRIPT


def split_words(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command and its flags; `name=value` is written as `--name=value`.

    Raises:
        ValueError: there is no such command; names the nearest one.
    """
    command, *rest = words
    if command not in COMMANDS:
        raise unknown_name("command", command, COMMANDS)
    flags, is_value = [], False
    for word in rest:
        flags.append(f"--{word}" if _ASSIGNMENT.match(word) and not is_value else word)
        is_value = word.startswith("--") and "=" not in word
    return command, flags


def overview() -> str:
    """Write the help of the script: every command with one line, in groups."""
    width = max(map(len, COMMANDS))
    lines = []
    for group in GROUPS:
        lines += ["", f"{group}:"]
        rows = {name: row.description for name, row in COMMANDS.items() if row.group == group}
        lines += [f"  {name:{width}}  {description}" for name, description in rows.items()]
    return _HELP.format(commands="\n".join(lines))


def complete(read_catalogues: Callable[[], Mapping[str, Sequence[str]]]) -> None:
    """Answer a shell that asks for completions, and end the process; return where none does.

    Args:
        read_catalogues: gives option -> names that complete it besides the choices of the configuration.
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    parser = argparse.ArgumentParser(prog=SCRIPT, add_help=False)
    parser.add_argument("command", choices=list(COMMANDS))
    options = parser.add_argument("options", nargs="*")
    options.completer = partial(completions, read_catalogues())  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options=False)


def completions(
    catalogues: Mapping[str, Sequence[str]], prefix: str, parsed_args: argparse.Namespace, **_: object
) -> Iterator[str]:
    """Yield what a word may become: the names of options, or the choices of one."""
    known = parameters(COMMANDS[parsed_args.command].config)
    name, equals, value = prefix.partition("=")
    if equals and name in known:
        own = ("true", "false") if known[name].kind is bool else known[name].rule.choices
        choices = [*own, *(form.partition(" ")[0] for form in catalogues.get(name, ()) if "<" not in form)]
        yield from (f"{name}={choice}" for choice in choices if choice.startswith(value))
    else:
        yield from (f"{option}=" for option in known if option.startswith(prefix))
