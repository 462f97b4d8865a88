"""Measures the barrier between every two logged networks: `python -m entry_points.matrix --runs <id>,<id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import MatrixConfig


def work(config: MatrixConfig) -> list[str]:
    """Measure all pairs of networks; return the lines to print."""
    from lmc_mlflow.workflows.matrix.lines import matrix_lines
    from lmc_mlflow.workflows.matrix.matrix import matrix

    return matrix_lines(matrix(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("matrix", work, argv)


if __name__ == "__main__":
    sys.exit(main())
