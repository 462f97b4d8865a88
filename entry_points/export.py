"""Writes runs to one file: `python -m entry_points.export --out runs.zip`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import ExportCommandConfig


def work(config: ExportCommandConfig) -> list[str]:
    """Write the bundle; return the lines to print."""
    from lmc_mlflow.workflows.bundle.export_runs import export_lines, export_runs

    return export_lines(export_runs(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("export", work, argv)


if __name__ == "__main__":
    sys.exit(main())
