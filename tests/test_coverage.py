"""Does docs/coverage.md hold every row of the paper's list, each with what produces it?"""

import re

from conftest import ROOT

LINES = (ROOT / "docs" / "coverage.md").read_text().splitlines()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if line.startswith("| H-")]


def test_no_row_is_missing() -> None:
    assert [row[0] for row in ROWS] == [f"H-{number:02d}" for number in range(1, 73)]


def test_no_row_of_altintas_et_al_is_missing_and_their_states_are_counted() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if line.startswith("| D-")]
    assert [row[0] for row in rows] == [f"D-{number:02d}" for number in range(1, 23)]
    states = [row[3] for row in rows]
    assert set(states) <= {"done", "partly", "not yet"}
    counted = f"{states.count('done')} done, {states.count('partly')} partly, {states.count('not yet')} not yet"
    assert counted in " ".join(LINES)


def test_every_row_has_a_state_and_what_is_done_has_a_way() -> None:
    for row in ROWS:
        name, what, how, state = row
        assert what, name
        assert state in ("done", "partly", "not yet"), name
        assert (how == "none") == (state == "not yet"), name
        assert how == "none" or re.search(r"`|\]\(", how), name


def test_the_states_are_counted_as_they_are() -> None:
    states = [row[3] for row in ROWS]
    counted = f"{states.count('done')} done, {states.count('partly')} partly, {states.count('not yet')} not yet"
    assert counted in " ".join(LINES)


def test_the_tests_it_names_exist() -> None:
    for path in re.findall(r"`(tests/\w+\.py)`", "\n".join(LINES)):
        assert (ROOT / path).is_file()
