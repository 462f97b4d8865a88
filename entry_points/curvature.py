"""Measures how sharp the loss is: `python -m entry_points.curvature --pair <id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import CurvatureConfig


def work(config: CurvatureConfig) -> list[str]:
    """Measure the curvature; return the lines to print."""
    from lmc_mlflow.workflows.curvature.curvature import curvature
    from lmc_mlflow.workflows.curvature.lines import curvature_lines

    return curvature_lines(curvature(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("curvature", work, argv)


if __name__ == "__main__":
    sys.exit(main())
