"""What a report has no data for, and the commands that make them: text that can be copied."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.contract import Tag
from lmc_mlflow.papers.commands import GRIDS, sweep_command
from lmc_mlflow.papers.report.content import TABLE_TITLES, Content, with_data

PRINTED_ALONE = ("table_v", "altintas_table_3")
"""Tables of parameters, which need no runs."""
_OTHER_COMMANDS = {
    "table_i": f"{RUN} ensemble -P pair=<pair run id>",
    "starlight_table_2": f"{RUN} star -P sources=<run id>,<run id>",
    "model_zoo": f"{RUN} sweep -P grid=moons_zoo",
    "reduced_zoo": f'{RUN} prune -P query=\'tags."{Tag.DATASET}" = "moons"\' -P heat_maps=false',
}


def table_command(name: str, table: pd.DataFrame) -> str:
    """Write the command that fills a table: its grid, or the first command of its empty cells."""
    if name in GRIDS:
        return sweep_command(name)
    return _OTHER_COMMANDS.get(name, next(iter(table.get("command", [])), ""))


def names_with_data(content: Content) -> list[str]:
    """List the tables that have runs behind some cell, in the order of the page."""
    return [name for name in TABLE_TITLES if len(with_data(content.tables[name]))]


def empty_tables(content: Content) -> dict[str, str]:
    """Map the title of each table without data to the command that fills it."""
    full = {*names_with_data(content), *PRINTED_ALONE}
    return {TABLE_TITLES[name]: table_command(name, content.tables[name]) for name in TABLE_TITLES if name not in full}


def by_command(commands: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Group titles by the command that they share, so that each command is written once."""
    found: dict[str, list[str]] = {}
    for titles in commands:
        for title, command in titles.items():
            found.setdefault(command, []).append(title)
    return found
