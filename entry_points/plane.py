"""Measure the plane through three logged networks: `python -m entry_points.plane --run_a <id> --run_b <id> ...`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import plane_lines
from lmc_mlflow.config.commands import PlaneConfig
from lmc_mlflow.workflows.plane.plane import plane


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("plane", lambda config: plane_lines(plane(config)), argv, PlaneConfig)


if __name__ == "__main__":
    sys.exit(main())
