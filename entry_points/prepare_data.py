"""Converts a raw archive to a store that training reads fast: `python -m entry_points.prepare_data --bands B02,B08`."""

import sys
from collections.abc import Sequence

from entry_points.command import ignore, run_command, tell
from lmc_mlflow.config.commands import PrepareDataConfig


def work(config: PrepareDataConfig) -> list[str]:
    """Convert the archive, with a line for each estimate; return the lines to print."""
    from lmc_mlflow.workflows.prepare_data import prepare_data, prepare_lines

    return prepare_lines(prepare_data(config, ignore if config.terminal.quiet else tell))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("prepare_data", work, argv)


if __name__ == "__main__":
    sys.exit(main())
