"""Merges exported runs into the store under their own ids: `python -m entry_points.import --bundles runs.zip`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import ImportCommandConfig


def work(config: ImportCommandConfig) -> list[str]:
    """Merge the bundles; return the lines to print."""
    from lmc_mlflow.workflows.bundle.import_runs import import_lines, import_runs

    return import_lines(import_runs(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("import", work, argv)


if __name__ == "__main__":
    sys.exit(main())
