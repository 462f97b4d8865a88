"""Compares a path inside a pair with a path between two initializations: `python -m entry_points.main`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import MainConfig


def work(config: MainConfig) -> list[str]:
    """Train two pairs and measure two paths; return the lines to print."""
    from lmc_mlflow.workflows.experiment import experiment_lines, run_experiment

    return experiment_lines(run_experiment(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("main", work, argv)


if __name__ == "__main__":
    sys.exit(main())
