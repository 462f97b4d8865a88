"""Permute one logged network's units towards another: `python -m entry_points.align --run_a <id> --run_b <id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import align_lines
from lmc_mlflow.config.commands import AlignConfig
from lmc_mlflow.workflows.alignment.align import align


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("align", lambda config: align_lines(align(config)), argv, AlignConfig)


if __name__ == "__main__":
    sys.exit(main())
