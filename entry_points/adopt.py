"""Logs a network that was trained elsewhere: `python -m entry_points.adopt --model models:/m-... --dataset digits`."""

import sys
from collections.abc import Sequence

from entry_points.command import run_command
from lmc_mlflow.config.adopting import AdoptConfig


def work(config: AdoptConfig) -> list[str]:
    """Adopt the network; return the lines to print."""
    from lmc_mlflow.workflows.adopt.adopt import adopt
    from lmc_mlflow.workflows.adopt.lines import adopt_lines

    return adopt_lines(adopt(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("adopt", work, argv)


if __name__ == "__main__":
    sys.exit(main())
