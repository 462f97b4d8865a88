"""Trains a logged network further and keeps every epoch: `python -m entry_points.trajectory --run <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import TrajectoryCommandConfig


def work(config: TrajectoryCommandConfig) -> list[str]:
    """Train on and average the epochs; return the lines to print."""
    from lmc_mlflow.workflows.trajectory.lines import trajectory_lines
    from lmc_mlflow.workflows.trajectory.trajectory import trajectory

    return trajectory_lines(trajectory(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("trajectory", work, argv)


if __name__ == "__main__":
    sys.exit(main())
