"""Train two networks on the two sides of a data shift: `python -m entry_points.train_pair --shift label_2080`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import pairs_lines
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.workflows.pair.train_pair import train_seeds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("train_pair", lambda config: pairs_lines(train_seeds(config)), argv, TrainPairConfig)


if __name__ == "__main__":
    sys.exit(main())
