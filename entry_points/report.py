"""Compares the store with the papers on one page: `python -m entry_points.report --out <folder>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import ReportCommandConfig


def work(config: ReportCommandConfig) -> list[str]:
    """Write the report; return the lines to print."""
    from lmc_mlflow.workflows.report.lines import report_lines
    from lmc_mlflow.workflows.report.report import report

    return report_lines(report(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("report", work, argv)


if __name__ == "__main__":
    sys.exit(main())
