"""Measures the path between two logged networks: `python -m entry_points.interpolate --pair <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import InterpolateConfig


def work(config: InterpolateConfig) -> list[str]:
    """Measure the path, or one for each kept epoch; return the lines to print."""
    from lmc_mlflow.workflows.path.lines import measured_lines

    return measured_lines(config)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("interpolate", work, argv)


if __name__ == "__main__":
    sys.exit(main())
