"""Train a logged network on and keep it after every epoch: `python -m entry_points.trajectory --run <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import trajectory_lines
from lmc_mlflow.config.commands import TrajectoryCommandConfig
from lmc_mlflow.workflows.trajectory.trajectory import trajectory


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("trajectory", lambda config: trajectory_lines(trajectory(config)), argv, TrajectoryCommandConfig)


if __name__ == "__main__":
    sys.exit(main())
