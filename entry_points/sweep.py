"""Work through a grid of pairs and what follows them: `python -m entry_points.sweep --grid quickstart`."""

import functools
import sys
from collections.abc import Sequence

from entry_points.command import run_command
from entry_points.messages import sweep_lines
from lmc_mlflow.config.commands import SweepConfig
from lmc_mlflow.sweeps.sweep import sweep


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    tell = functools.partial(print, flush=True)
    return run_command("sweep", lambda config: sweep_lines(sweep(config, tell)), argv, SweepConfig)


if __name__ == "__main__":
    sys.exit(main())
