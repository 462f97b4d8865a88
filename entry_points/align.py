"""Permutes one logged network's units towards another: `python -m entry_points.align --run_a <id> --run_b <id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import AlignConfig


def work(config: AlignConfig) -> list[str]:
    """Align one network with another; return the lines to print."""
    from lmc_mlflow.workflows.alignment.align import align
    from lmc_mlflow.workflows.alignment.lines import align_lines

    return align_lines(align(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("align", work, argv)


if __name__ == "__main__":
    sys.exit(main())
