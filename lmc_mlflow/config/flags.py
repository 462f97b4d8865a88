"""Parses a command line to a configuration, and writes the help text."""

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeVar

from lmc_mlflow.config.canonical import from_texts, parameters
from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.config.options import write_value

Config = TypeVar("Config")


class _OneLineParser(argparse.ArgumentParser):
    """An argument parser that raises an error instead of printing its usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def flag_parser(
    name: str, command: type, catalogues: Mapping[str, Sequence[str]] | None = None, prog: str = ""
) -> argparse.ArgumentParser:
    """Make the parser of one entry point; every flag takes a value.

    Args:
        name: entry point.
        command: its configuration class.
        catalogues: option -> names that its help lists besides the choices of the configuration.
        prog: how the command is started; empty: as a module.
    """
    parser = _OneLineParser(
        prog=prog or f"python -m entry_points.{name}",
        description=command.__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    for parameter in parameters(command).values():
        choices = parameter.rule.choices or (catalogues or {}).get(parameter.name, ())
        listed = f"\n  one of: {', '.join(choices)}" if choices else ""
        parser.add_argument(
            f"--{parameter.name}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{parameter.rule.help}{listed}\n  default: {write_value(parameter.default) or '(empty)'}".replace(
                "%", "%%"
            ),
        )
    return parser


def parse_flags(name: str, command: type[Config], argv: Sequence[str]) -> Config:
    """Make a configuration from `--name value` flags.

    Raises:
        ValueError: an unknown flag (with the nearest known one), a flag without a value, or a value
            that is not allowed.
    """
    texts, extra = flag_parser(name, command).parse_known_args(argv)
    for word in extra:
        if word.startswith("--"):
            raise unknown_name("flag", word.split("=")[0], [f"--{known}" for known in parameters(command)])
    if extra:
        raise ValueError(f"{extra[0]!r}: every value belongs to a flag, as in --shift label_2080")
    return from_texts(command, vars(texts))
