"""The console script `lmc`, which starts every command: `lmc train_pair shift=label_2080`."""

import importlib
import sys
from collections.abc import Sequence

from entry_points.command import run_words


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names and return its exit status."""
    return run_words(argv, lambda command: importlib.import_module(f"entry_points.{command}").main)


if __name__ == "__main__":
    sys.exit(main())
