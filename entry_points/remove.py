"""Removes a run with what hangs on it: `python -m entry_points.remove --run <id> --apply true`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import RemoveCommandConfig


def work(config: RemoveCommandConfig) -> list[str]:
    """List the runs, and delete them on request; return the lines to print."""
    from lmc_mlflow.workflows.remove import remove, remove_lines

    return remove_lines(remove(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("remove", work, argv)


if __name__ == "__main__":
    sys.exit(main())
