"""The one-minute story: a path inside a pair beside a path between two initializations."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import experiment_lines
from lmc_mlflow.config.commands import MainConfig
from lmc_mlflow.workflows.experiment import run_experiment


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("main", lambda config: experiment_lines(run_experiment(config)), argv, MainConfig)


if __name__ == "__main__":
    sys.exit(main())
