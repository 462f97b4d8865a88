"""List, and with `--apply true` end, runs that a dead process left RUNNING."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import repair_lines
from lmc_mlflow.config.commands import RepairCommandConfig
from lmc_mlflow.workflows.repair import repair


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("repair", lambda config: repair_lines(repair(config)), argv, RepairCommandConfig)


if __name__ == "__main__":
    sys.exit(main())
