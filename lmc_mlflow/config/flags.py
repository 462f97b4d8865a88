"""How does a command line become a configuration?"""

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeVar

from lmc_mlflow.config.canonical import from_texts, parameters
from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.config.options import write_value

Config = TypeVar("Config")


class _OneLineParser(argparse.ArgumentParser):
    """Argparse that raises instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def flag_parser(name: str, command: type, catalogues: Mapping[str, Sequence[str]]) -> argparse.ArgumentParser:
    """The parser of one entry point; every flag takes a value.

    Args:
        name: entry point.
        command: its configuration class.
        catalogues: flat name -> names there are, for the help text of open-ended options.
    """
    parser = _OneLineParser(
        prog=f"python -m entry_points.{name}",
        description=command.__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    for parameter in parameters(command).values():
        choices = parameter.rule.choices or tuple(catalogues.get(parameter.name, ()))
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


def parse_flags(
    name: str, command: type[Config], argv: Sequence[str], catalogues: Mapping[str, Sequence[str]] | None = None
) -> Config:
    """A configuration from `--name value` flags.

    Raises:
        ValueError: an unknown flag (with the nearest known one), a flag without a value, or a value
            that is not allowed.
    """
    texts, extra = flag_parser(name, command, catalogues or {}).parse_known_args(argv)
    for word in extra:
        if word.startswith("--"):
            raise unknown_name("flag", word.split("=")[0], [f"--{known}" for known in parameters(command)])
    if extra:
        raise ValueError(f"{extra[0]!r}: every value belongs to a flag, as in --shift label_2080")
    return from_texts(command, vars(texts))
