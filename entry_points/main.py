"""The one-minute story: a path inside a pair beside a path between two initializations."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import story_lines
from lmc_mlflow.config.commands import MainConfig
from lmc_mlflow.workflows.experiment import tell_story


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("main", lambda config: story_lines(tell_story(config)), argv, MainConfig)


if __name__ == "__main__":
    sys.exit(main())
