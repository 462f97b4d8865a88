"""Train a network whose segments to several others stay low: `python -m entry_points.star --sources <id>,<id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import star_lines
from lmc_mlflow.config.commands import StarConfig
from lmc_mlflow.workflows.star.star import star


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("star", lambda config: star_lines(star(config)), argv, StarConfig)


if __name__ == "__main__":
    sys.exit(main())
