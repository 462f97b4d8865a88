"""Renders the file MLproject from the table of commands: `python -m lmc_mlflow.config.mlproject`."""

from pathlib import Path

import yaml

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.options import write_value

HEADER = "# Rendered by `python -m lmc_mlflow.config.mlproject`; change lmc_mlflow/config/ and render again.\n"


def render() -> str:
    """Return the text of MLproject: every command with every parameter, all of MLflow's type `string`.

    MLflow checks nothing about a value, so types and choices are checked by the entry point, which
    answers in one line.
    """
    entry_points = {}
    for name, command in COMMANDS.items():
        known = parameters(command.config)
        entry_points[name] = {
            "parameters": {p.name: {"type": "string", "default": write_value(p.default)} for p in known.values()},
            "command": f"python -m entry_points.{name} " + " ".join(f"--{p} {{{p}}}" for p in known),
        }
    project = {"name": "lmc_mlflow", "conda_env": "conda.yaml", "entry_points": entry_points}
    return HEADER + yaml.safe_dump(project, sort_keys=False, width=10_000)


if __name__ == "__main__":
    Path("MLproject").write_text(render())
