"""Measure the barrier between every two of many logged networks: `python -m entry_points.matrix --runs <id>,<id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import matrix_lines
from lmc_mlflow.config.commands import MatrixConfig
from lmc_mlflow.workflows.matrix.matrix import matrix


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("matrix", lambda config: matrix_lines(matrix(config)), argv, MatrixConfig)


if __name__ == "__main__":
    sys.exit(main())
