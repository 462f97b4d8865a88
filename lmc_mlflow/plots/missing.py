"""Figures without data, which name the command that produces the data."""

import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from lmc_mlflow.config.commands import RUN
from lmc_mlflow.findings.condition_table import without_auto
from lmc_mlflow.plots.style import grid_of_panels, house_style

CHARACTERS = 84
"""That fit in a line of a figure without data."""
PAIRS = f"No trained networks with this in the store yet: {RUN} train_pair -P seed=1"
PATHS = f"No path with this in the store yet: {RUN} interpolate -P pair=<pair run id>"
ALIGNED = (
    f"No path with this in the store yet: {RUN} interpolate -P run_a=<run id> "
    "-P run_b=<run id of another seed> -P align=weights"
)
STARS = f"No star with this in the store yet: {RUN} star -P source_query=<filter>"
MATRICES = f"No matrix with this in the store yet: {RUN} matrix -P runs=<run id>,<run id>"
CURVATURES = f"No pair with this in the store yet: {RUN} curvature -P pair=<pair run id>"
ENSEMBLES = f"No ensemble with this in the store yet: {RUN} ensemble -P pair=<pair run id>"


def rows_with(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Select the rows with a value in each of these columns; none where the table lacks a column.

    Settings `auto` are replaced by what they stand for: equal trainings make one group, however they were asked for.
    """
    if any(name not in frame for name in columns):
        return frame.iloc[:0]
    return without_auto(frame.dropna(subset=list(columns)))


def blank_figure(title: str, sentence: str) -> Figure:
    """Draw a figure that holds one sentence instead of data.

    Args:
        title: that of the figure with data.
        sentence: names the command that produces the data.
    """
    with house_style():
        figure, ((panel,),) = grid_of_panels(1, 1, title, width=7.5, height=1.8)
        panel.set_axis_off()
        said, _, command = sentence.partition(": ")
        lines = textwrap.wrap(command, CHARACTERS, break_long_words=False, break_on_hyphens=False)
        text = "\n".join([f"{said}:", *lines])
        panel.text(0.5, 0.5, text, ha="center", va="center", transform=panel.transAxes, gid="missing")
    return figure


def missing_command(figure: Figure) -> str:
    """Return the command that a figure without data names; empty for a figure with data."""
    texts = [text.get_text() for panel in figure.axes for text in panel.texts if text.get_gid() == "missing"]
    return texts[0].partition(":\n")[2].replace("\n", " ") if texts else ""
