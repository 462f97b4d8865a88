"""Build and score an ensemble from logged networks: `python -m entry_points.ensemble --pair <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import ensemble_lines
from lmc_mlflow.config.commands import EnsembleConfig
from lmc_mlflow.workflows.ensemble.ensemble import ensemble


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("ensemble", lambda config: ensemble_lines(ensemble(config)), argv, EnsembleConfig)


if __name__ == "__main__":
    sys.exit(main())
