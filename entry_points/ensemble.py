"""Scores an ensemble of logged networks: `python -m entry_points.ensemble --pair <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import EnsembleConfig


def work(config: EnsembleConfig) -> list[str]:
    """Score the ensemble; return the lines to print."""
    from lmc_mlflow.workflows.ensemble.ensemble import ensemble
    from lmc_mlflow.workflows.ensemble.lines import ensemble_lines

    return ensemble_lines(ensemble(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("ensemble", work, argv)


if __name__ == "__main__":
    sys.exit(main())
