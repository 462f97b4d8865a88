"""The shipped runs are judged alike alone and together in one store (docs/results)."""

from collections.abc import Iterator

import pytest

from analysis.result_pages.pages import shipped_store
from analysis.result_pages.shipped_runs import STAND_INS
from lmc_mlflow.findings.condition_table import Frames, prepare, with_overfitting
from lmc_mlflow.papers.claims import Verdicts, judge_all
from lmc_mlflow.papers.hepburn.claims import HEPBURN_CLAIMS
from lmc_mlflow.workflows.report.report import read_frames

HEADLINE = ("H-03a", "H-03b", "H-03c", "H-03d", "H-03h")
DECIDED = ("supported", "contradicted")
ALONE = ("paper", "breaks")


@pytest.fixture(scope="module")
def imported() -> Iterator[None]:
    with shipped_store():
        yield


def judged(found: Frames) -> Verdicts:
    return judge_all(with_overfitting(prepare(found, STAND_INS)), 2, HEPBURN_CLAIMS)


@pytest.mark.slow
@pytest.mark.usefixtures("imported")
def test_no_verdict_on_shifts_is_worse_together_than_alone() -> None:
    together, alone = judged(read_frames(ALONE)), [judged(read_frames((name,))) for name in ALONE]
    for claim, verdicts in together.items():
        before = {one[claim]["interpolate"].answer for one in alone} & set(DECIDED)
        assert verdicts["interpolate"].answer in (before or {"insufficient", "undecided"}), claim
    assert {together[claim]["interpolate"].answer for claim in HEADLINE} == {"supported"}


@pytest.mark.slow
@pytest.mark.usefixtures("imported")
def test_further_series_leave_the_headline_verdicts_as_they_are() -> None:
    together = judged(read_frames(()))
    assert {together[claim]["interpolate"].answer for claim in HEADLINE} == {"supported"}
