"""Set the store's tables and claims beside the paper's, on one page: `python -m entry_points.report --out <folder>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import report_lines
from lmc_mlflow.config.commands import ReportCommandConfig
from lmc_mlflow.workflows.report.report import report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("report", lambda config: report_lines(report(config)), argv, ReportCommandConfig)


if __name__ == "__main__":
    sys.exit(main())
