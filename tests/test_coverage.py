"""docs/coverage.md has every row of the papers' lists, each with the command that produces it."""

import re

import pytest
from conftest import ROOT

LINES = (ROOT / "docs" / "coverage.md").read_text().splitlines()
NUMBERS = {"H": range(1, 75), "D": range(1, 24), "S": range(1, 24), "P": range(1, 27), "F": range(1, 4)}
"""Paper -> its rows."""
ROWS = {
    paper: [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if line.startswith(f"| {paper}-")]
    for paper in NUMBERS
}
SECTIONS = {
    rows[0][0][:1]: section
    for section in "\n".join(LINES).split("\n## ")
    for rows in ROWS.values()
    if f"| {rows[0][0]} |" in section
}


@pytest.mark.parametrize("paper", NUMBERS)
def test_no_row_is_missing(paper: str) -> None:
    assert [row[0] for row in ROWS[paper]] == [f"{paper}-{number:02d}" for number in NUMBERS[paper]]


@pytest.mark.parametrize("paper", NUMBERS)
def test_every_row_has_a_state_and_what_is_done_has_a_way(paper: str) -> None:
    for row in ROWS[paper]:
        name, what, how, state = row
        assert what, name
        assert state in ("done", "partly", "not yet"), name
        assert (how == "none") == (state == "not yet"), name
        assert how == "none" or re.search(r"`|\]\(", how), name


@pytest.mark.parametrize("paper", NUMBERS)
def test_the_states_are_counted_as_they_are(paper: str) -> None:
    states = [row[3] for row in ROWS[paper]]
    counted = f"{states.count('done')} done, {states.count('partly')} partly, {states.count('not yet')} not yet"
    assert counted in " ".join(SECTIONS[paper].split())


def test_the_tests_it_names_exist() -> None:
    for path in re.findall(r"`(tests/\w+\.py)`", "\n".join(LINES)):
        assert (ROOT / path).is_file()
