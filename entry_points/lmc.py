"""The console script `lmc`, which starts every command: `lmc train_pair shift=label_2080`."""

import importlib
import sys
from collections.abc import Sequence

from entry_points.command import catalogues, refuse, say
from lmc_mlflow import __version__
from lmc_mlflow.terminal.script import SCRIPT, complete, overview, split_words


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, or answer a question about the commands; return the exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    complete(catalogues)
    if not words or words[0] in ("-h", "--help", "--version"):
        say(f"{SCRIPT} {__version__}" if words[:1] == ["--version"] else overview())
        return 0
    try:
        command, flags = split_words(words)
    except ValueError as error:
        return refuse(SCRIPT, str(error))
    status: int = importlib.import_module(f"entry_points.{command}").main(flags)
    return status


if __name__ == "__main__":
    sys.exit(main())
