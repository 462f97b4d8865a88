"""Pages of docs/results: which runs of the shipped store each is computed from, and what is computed."""

import functools
import importlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.result_pages import (
    batch_norm,
    batch_size,
    connected,
    doctor,
    ensembles,
    front,
    harder_data,
    optimizers,
    permutation,
    shift,
    slope,
    training_length,
    when,
    zoo,
)
from analysis.result_pages.index import index_parts
from analysis.result_pages.shipped_runs import ShippedRuns
from lmc_mlflow.papers.report.markdown import markdown_table
from lmc_mlflow.plots import png_bytes

TRACKING_URI = "MLFLOW_TRACKING_URI"
FOLDER = Path(__file__).parents[2] / "docs" / "results"
STORE = FOLDER / "store.zip"
IMAGES = FOLDER.parent / "images"
INDEX = "README.md"
Parts = Mapping[str, pd.DataFrame | str]
"""Name of a table or text of a page -> what stands there."""


@contextmanager
def shipped_store() -> Iterator[None]:
    """Import the shipped runs into a new store, which is the store of this process while the block lasts.

    Raises:
        ValueError: they were not imported.
    """
    before = os.environ.get(TRACKING_URI)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[TRACKING_URI] = f"sqlite:///{folder}/mlflow.db"
        try:
            with chdir(folder):  # artifacts go below the working directory
                if importlib.import_module("entry_points.import").main([f"--bundles={STORE}"]):
                    raise ValueError(f"{STORE}: not imported; see the line above")
            yield
        finally:
            del os.environ[TRACKING_URI]
            os.environ.update({TRACKING_URI: before} if before is not None else {})


@dataclass(frozen=True)
class Page:
    """A page: a question, and what its runs answer.

    Attributes:
        file: below docs/results.
        experiments: of the shipped store.
        parts: computes every table and every sentence with numbers.
        figures: file below docs/images -> draws it.
    """

    file: str
    experiments: tuple[str, ...]
    parts: Callable[[ShippedRuns], Parts]
    figures: Mapping[str, Callable[[ShippedRuns], Figure]] = field(default_factory=dict)


PAGES = (
    Page("connected.md", ("paper", "pairs", "training_length"), connected.parts, connected.FIGURES),
    Page("training_length.md", ("training_length",), training_length.parts, training_length.FIGURES),
    Page("shift.md", ("severity",), shift.parts, shift.FIGURES),
    Page("batch_size.md", ("paper", "breaks", "budgets", "training_length"), batch_size.parts, batch_size.FIGURES),
    Page("batch_norm.md", ("paper",), batch_norm.parts, batch_norm.FIGURES),
    Page("ensembles.md", ("pairs", "training_length"), ensembles.parts, ensembles.FIGURES),
    Page("optimizers.md", ("breaks",), optimizers.parts, optimizers.FIGURES),
    Page("slope.md", ("breaks",), slope.parts, slope.FIGURES),
    Page("harder_data.md", ("breaks",), harder_data.parts, harder_data.FIGURES),
    Page("permutation.md", ("permutations", "stars"), permutation.parts, permutation.FIGURES),
    Page("zoo.md", ("breaks",), zoo.parts, zoo.FIGURES),
    Page("when.md", ("when",), when.parts, when.FIGURES),
    Page("doctor.md", ("doctor",), doctor.parts),
    Page(INDEX, (), lambda _: index_parts(FOLDER, [page.file for page in PAGES if page.file != INDEX])),
)
"""The index comes last: it quotes the others."""
FRONT = Page("../../README.md", ("training_length", "when"), front.parts)
"""The front page of the project."""


def fill(page: str, parts: Parts) -> str:
    """Replace tables and texts of a page.

    Raises:
        ValueError: a part for which the page has no place, or a place for which there is no part.
    """
    empty = [name for name in re.findall(r"<!-- (?:text|table): (\w+) -->", page) if name not in parts]
    if empty:
        raise ValueError(f"{', '.join(empty)}: nothing computes this part of the page")
    for name, part in parts.items():
        is_text = isinstance(part, str)
        line = rf"<!-- {'text' if is_text else 'table'}: {name} -->"
        place = re.compile(rf"({line}\n\n)" + (r"(?!<!--)[^\n]+\n" if is_text else r"(\|[^\n]*\n)*"))
        found = place.findall(page)
        if len(found) != 1:
            raise ValueError(f"{name}: the page has {len(found)} lines {line}, not one")
        written = f"{part if isinstance(part, str) else markdown_table(part)}\n"
        page = place.sub(lambda match: f"{match[1]}{written}", page)  # noqa: B023 (called at once)
    return page


@functools.cache
def _runs_of(_store: str, experiments: tuple[str, ...]) -> ShippedRuns:
    """Read some experiments of a store that no longer changes: once for all pages that rest on them."""
    return ShippedRuns(*experiments)


def filled(page: Page) -> str:
    """Return the text of a page with its tables and sentences computed anew from the store of this process."""
    return fill((FOLDER / page.file).read_text(), page.parts(_runs_of(os.environ[TRACKING_URI], page.experiments)))


def draw(page: Page) -> None:
    """Draw the figures of a page into docs/images."""
    runs = _runs_of(os.environ[TRACKING_URI], page.experiments)
    for file, figure in page.figures.items():
        (IMAGES / file).write_bytes(png_bytes(figure(runs)))


def write_pages() -> None:
    """Write every page and its figures from the store of this process."""
    for page in (*PAGES, FRONT):
        (FOLDER / page.file).write_text(filled(page))
        draw(page)
