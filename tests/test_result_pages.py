"""Every table and report in docs/results is what the bundles beside it give."""

import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.result_pages.numbers import shipped_content
from analysis.result_pages.pages import FOLDER, REPORTS, SOURCES, Source, fill, filled, store_of_bundles
from lmc_mlflow.papers.report.markdown import markdown

PAGES = sorted(FOLDER.glob("*.md"))


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.tables.__name__)
def test_the_tables_of_a_page_are_what_its_bundles_give(source: Source) -> None:
    assert filled(source) == (FOLDER / source.page).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("folder", REPORTS)
def test_a_shipped_report_is_what_its_bundle_gives(folder: str) -> None:
    with store_of_bundles((f"{folder}/runs.zip",)):
        assert markdown(shipped_content(REPORTS[folder])) == (FOLDER / folder / "report.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_table_of_a_page_is_computed(page: Path) -> None:
    written = re.findall(r"(?:<!-- table: (\w+) -->\n\n|\n\n)(?=\|)", page.read_text())
    assert written
    assert all(written)
    assert {source.page for source in SOURCES} >= {page.name}


def test_a_wrong_number_of_a_page_is_replaced_and_its_text_is_not() -> None:
    page = "Text.\n\n<!-- table: widths -->\n\n| width |\n|---|\n| 5 |\n\nMore | text.\n"
    right = fill(page, {"widths": pd.DataFrame({"width": [4, 16]})})
    assert right == page.replace("| 5 |", "| 4 |\n| 16 |")
    with pytest.raises(ValueError, match="stars: the page has 0 lines"):
        fill(page, {"stars": pd.DataFrame({"width": [4]})})
