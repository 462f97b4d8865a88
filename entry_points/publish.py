"""Publishes what a run holds as an MLflow model: `python -m entry_points.publish --run <run id>`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.commands import PublishCommandConfig


def work(config: PublishCommandConfig) -> list[str]:
    """Publish the model; return the lines to print."""
    from lmc_mlflow.workflows.publish.lines import publish_lines
    from lmc_mlflow.workflows.publish.publish import publish

    return publish_lines(publish(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("publish", work, argv)


if __name__ == "__main__":
    sys.exit(main())
