"""Take the redundant units out of trained MLPs: `python -m entry_points.prune --run <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import prune_lines
from lmc_mlflow.config.commands import PruneCommandConfig
from lmc_mlflow.workflows.prune.prune import prune_runs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("prune", lambda config: prune_lines(prune_runs(config)), argv, PruneCommandConfig)


if __name__ == "__main__":
    sys.exit(main())
