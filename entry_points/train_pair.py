"""Trains two networks on the two sides of a data shift: `python -m entry_points.train_pair --shift label_2080`."""

import sys
from collections.abc import Sequence

from entry_points.command import ignore, run_command, tell
from lmc_mlflow.config.commands import TrainPairConfig


def work(config: TrainPairConfig) -> list[str]:
    """Train one pair for each seed; return the lines to print."""
    from lmc_mlflow.workflows.pair.lines import pairs_lines
    from lmc_mlflow.workflows.pair.train_pair import train_seeds

    return pairs_lines(train_seeds(config, tell=ignore if config.terminal.quiet else tell))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("train_pair", work, argv)


if __name__ == "__main__":
    sys.exit(main())
