"""Lists the runs that a dead process left RUNNING; `python -m entry_points.repair --apply true` ends them."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import RepairCommandConfig


def work(config: RepairCommandConfig) -> list[str]:
    """List the dead runs, and end them on request; return the lines to print."""
    from lmc_mlflow.workflows.repair import repair, repair_lines

    return repair_lines(repair(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("repair", work, argv)


if __name__ == "__main__":
    sys.exit(main())
