"""Turn a raw archive into a store that training reads fast: `python -m entry_points.prepare_data --bands B02,B08`."""

import functools
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    # Imported here: every converting process imports this module again, and needs neither torch nor mlflow.
    from entry_points.command import run_command
    from lmc_mlflow.config.commands import PrepareDataConfig
    from lmc_mlflow.workflows.prepare_data import prepare_data, prepare_lines

    tell = functools.partial(print, flush=True)
    return run_command(
        "prepare_data", lambda config: prepare_lines(prepare_data(config, tell)), argv, PrepareDataConfig
    )


if __name__ == "__main__":
    sys.exit(main())
