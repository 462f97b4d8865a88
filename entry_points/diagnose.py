"""Diagnoses the barrier between two logged networks: `python -m entry_points.diagnose --pair <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import DiagnoseConfig


def work(config: DiagnoseConfig) -> list[str]:
    """Find the causes; return the lines to print."""
    from lmc_mlflow.workflows.diagnose.diagnose import diagnose
    from lmc_mlflow.workflows.diagnose.lines import diagnosis_lines

    return diagnosis_lines(diagnose(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("diagnose", work, argv)


if __name__ == "__main__":
    sys.exit(main())
