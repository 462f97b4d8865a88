"""Measures the plane through three networks: `python -m entry_points.plane --run_a <id> --run_b <id> --run_c <id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import PlaneConfig


def work(config: PlaneConfig) -> list[str]:
    """Measure the plane; return the lines to print."""
    from lmc_mlflow.workflows.plane.lines import plane_lines
    from lmc_mlflow.workflows.plane.plane import plane

    return plane_lines(plane(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("plane", work, argv)


if __name__ == "__main__":
    sys.exit(main())
