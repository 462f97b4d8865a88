"""Pages of docs/results, and the bundles that their tables are computed from."""

import importlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from analysis.result_pages.breaks import breaks_tables
from analysis.result_pages.doctor import doctor_tables
from analysis.result_pages.numbers import Tables
from analysis.result_pages.pairs_and_ensembles import ensembles_tables, pairs_tables
from analysis.result_pages.paper import STAND_INS, paper_tables
from analysis.result_pages.permutation import permutation_tables
from analysis.result_pages.when import when_tables
from lmc_mlflow.papers.report.markdown import markdown_table

TRACKING_URI = "MLFLOW_TRACKING_URI"
FOLDER = Path(__file__).parents[2] / "docs" / "results"


@contextmanager
def store_of_bundles(names: tuple[str, ...]) -> Iterator[None]:
    """Import bundles of docs/results into a new store, which is the store of this process while the block lasts.

    Raises:
        ValueError: a bundle was not imported.
    """
    before = os.environ.get(TRACKING_URI)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[TRACKING_URI] = f"sqlite:///{folder}/mlflow.db"
        try:
            with chdir(folder):  # artifacts go below the working directory
                bundles = ",".join(str(FOLDER / name) for name in names)
                if importlib.import_module("entry_points.import").main([f"--bundles={bundles}"]):
                    raise ValueError(f"{bundles}: not imported; see the line above")
            yield
        finally:
            del os.environ[TRACKING_URI]
            os.environ.update({TRACKING_URI: before} if before is not None else {})


@dataclass(frozen=True)
class Source:
    """Bundles whose runs some tables of a page are computed from, in one store of their own."""

    page: str
    bundles: tuple[str, ...]
    tables: Callable[[], Tables]


SOURCES = (
    Source("paper.md", ("paper/runs.zip",), paper_tables),
    Source("breaks.md", ("breaks/runs.zip",), breaks_tables),
    Source("permutation.md", ("permutation.zip",), permutation_tables),
    Source("pairs.md", ("pairs.zip",), pairs_tables),
    Source("ensembles.md", ("pairs.zip",), ensembles_tables),
    Source("doctor.md", ("doctor.zip",), doctor_tables),
    Source("when.md", ("when.zip",), when_tables),
)

REPORTS = {"paper": STAND_INS, "breaks": {}}
"""Folder with a shipped report and its bundle -> the stand-ins of the report."""


def fill(page: str, tables: Tables) -> str:
    """Replace tables of a page.

    Raises:
        ValueError: a table for which the page has no place.
    """
    for name, table in tables.items():
        place = re.compile(rf"(<!-- table: {name} -->\n\n)(\|[^\n]*\n)*")
        found = place.findall(page)
        if len(found) != 1:
            raise ValueError(f"{name}: the page has {len(found)} lines <!-- table: {name} -->, not one")
        rows = markdown_table(table)
        page = place.sub(lambda match: f"{match[1]}{rows}\n", page)  # noqa: B023 (called at once)
    return page


def filled(source: Source) -> str:
    """Return the text of a page with the tables of a source computed anew."""
    with store_of_bundles(source.bundles):
        return fill((FOLDER / source.page).read_text(), source.tables())
