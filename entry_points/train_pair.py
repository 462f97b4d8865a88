"""Train two networks on the two sides of a data shift: `python -m entry_points.train_pair --shift label_2080`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import pair_lines
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.workflows.train_pair import train_pair


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    return run_command("train_pair", lambda config: pair_lines(train_pair(config)), argv, TrainPairConfig)


if __name__ == "__main__":
    sys.exit(main())
