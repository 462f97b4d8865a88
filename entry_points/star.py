"""Trains a network connected to several others: `python -m entry_points.star --sources <id>,<id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import StarConfig


def work(config: StarConfig) -> list[str]:
    """Train and verify the star; return the lines to print."""
    from lmc_mlflow.workflows.star.lines import star_lines
    from lmc_mlflow.workflows.star.star import star

    return star_lines(star(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("star", work, argv)


if __name__ == "__main__":
    sys.exit(main())
