"""Walk the straight line between any two logged networks: `python -m entry_points.interpolate --pair <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import path_lines
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.workflows.path.interpolate import interpolate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("interpolate", lambda config: path_lines(interpolate(config)), argv, InterpolateConfig)


if __name__ == "__main__":
    sys.exit(main())
