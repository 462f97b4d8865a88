"""Runs a grid of experiments: `python -m entry_points.sweep --grid quickstart`."""

import sys
from collections.abc import Sequence

from entry_points.command import ignore, run_command, tell
from lmc_mlflow.config.commands import SweepConfig


def work(config: SweepConfig) -> list[str]:
    """Run the grid, with a line for each finished cell; return the lines to print."""
    from lmc_mlflow.sweeps.lines import sweep_lines
    from lmc_mlflow.sweeps.sweep import sweep

    return sweep_lines(sweep(config, ignore if config.terminal.quiet else tell))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("sweep", work, argv)


if __name__ == "__main__":
    sys.exit(main())
