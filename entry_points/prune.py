"""Removes redundant units from trained MLPs: `python -m entry_points.prune --run <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import PruneCommandConfig


def work(config: PruneCommandConfig) -> list[str]:
    """Prune the networks; return the lines to print."""
    from lmc_mlflow.workflows.prune.lines import prune_lines
    from lmc_mlflow.workflows.prune.prune import prune_runs

    return prune_lines(prune_runs(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("prune", work, argv)


if __name__ == "__main__":
    sys.exit(main())
