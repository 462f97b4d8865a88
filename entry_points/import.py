"""Merge exported runs into the store, under their own ids: `python -m entry_points.import --bundles runs.zip`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import ImportCommandConfig
from lmc_mlflow.workflows.bundle.import_runs import import_lines, import_runs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("import", lambda config: import_lines(import_runs(config)), argv, ImportCommandConfig)


if __name__ == "__main__":
    sys.exit(main())
