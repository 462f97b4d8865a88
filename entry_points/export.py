"""Write runs with their metrics, artifacts and digests to one file: `python -m entry_points.export --out runs.zip`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import ExportCommandConfig
from lmc_mlflow.workflows.bundle.export_runs import export_lines, export_runs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("export", lambda config: export_lines(export_runs(config)), argv, ExportCommandConfig)


if __name__ == "__main__":
    sys.exit(main())
