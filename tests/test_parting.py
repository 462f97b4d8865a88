"""Barriers by the epoch of parting: k* by hand, both claims both ways, and the figure."""

from typing import Any

import pandas as pd
import pytest
from paper_frames import LOST, frames, paths

from lmc_mlflow.findings.parting import partings
from lmc_mlflow.findings.starts import has_start
from lmc_mlflow.findings.when_chosen import when_chosen
from lmc_mlflow.papers.claims import CLAIMS, judge_all
from lmc_mlflow.plots import barrier_by_parting, missing_command

EQUAL, UNEQUAL = {"shift": "label_5050"}, {"shift": "label_2080"}


def parted(shared: int, **more: Any) -> dict[str, Any]:
    return {"shared_epochs": shared, "shared_data": "both", "perturb": "", "start_digest": "", "freeze": ()} | more


PRETRAINED = parted(0) | {"start_digest": "digest of mnist", "start_head": "new"}


def falling(**more: Any) -> list[dict[str, Any]]:
    """Broken up to 2 shared epochs, connected from 5 on."""
    return [parted(k, **more, **(LOST if k < 5 else {})) for k in (0, 2, 5, 10)]


def answer(name: str, rows: pd.DataFrame) -> str:
    claims = [claim for claim in CLAIMS if claim.name == name]
    return judge_all(frames(rows), 2, claims)[name]["interpolate"].answer


def test_k_star_is_the_first_number_from_which_on_no_path_is_broken() -> None:
    (found,) = partings(paths(*falling()))
    assert found.connected_from().tolist() == [5, 5]
    assert found.estimate().interval() == (5, 5)
    late = [parted(0), parted(2, **LOST), parted(5)]  # a path that holds by chance before one that is broken
    (found,) = partings(paths(*late))
    assert found.connected_from().tolist() == [5, 5]
    (found,) = partings(paths(parted(0, **LOST), parted(5, **LOST)))
    assert found.connected_from().tolist() == [100, 100]  # the last epoch
    (found,) = partings(paths(parted(0), parted(5)))
    assert found.connected_from().tolist() == [0, 0]
    assert list(partings(paths(parted(0), parted(0, lr=0.1)))) == []


def test_seeds_that_differ_give_an_interval() -> None:
    rows = paths(*falling())
    rows.loc[(rows["seed"] == 20) & (rows["shared_epochs"] == 2), "connected"] = "yes"
    (found,) = partings(rows)
    assert found.connected_from().tolist() == [5, 2]
    assert found.estimate().value == 3.5
    low, high = found.estimate().interval()
    assert low < 2 < 5 < high  # two values: t of one degree of freedom


@pytest.mark.parametrize(
    ("name", "supporting", "contradicting"),
    [
        ("F-01", falling(), [parted(0, **LOST), parted(10, **LOST | {"test/barrier_in_basin": 2.0})]),
        (
            "F-02",
            [*falling(**UNEQUAL), parted(0, **EQUAL), parted(5, **EQUAL)],
            [*falling(**EQUAL), parted(0, **UNEQUAL), parted(5, **UNEQUAL)],
        ),
        ("F-03", [parted(0, **LOST), PRETRAINED], [parted(0), PRETRAINED | LOST]),
    ],
)
def test_all_claims_are_judged_both_ways(
    name: str, supporting: list[dict[str, Any]], contradicting: list[dict[str, Any]]
) -> None:
    assert answer(name, paths(*supporting)) == "supported"
    assert answer(name, paths(*contradicting)) == "contradicted"
    assert answer(name, paths(*supporting, seeds=(1,))) == "insufficient"


def test_what_starts_elsewhere_is_in_no_table_of_a_paper() -> None:
    found = frames(paths(*falling()))
    assert set(found.paths["shared_epochs"]) == {0}
    assert set(found.parted["shared_epochs"]) == {0, 2, 5, 10}
    rows = pd.DataFrame([parted(0), parted(1), parted(0, freeze=("a",)), parted(0, start_digest="x")])
    assert has_start(rows).tolist() == [False, True, True, True]
    assert not has_start(rows.drop(columns=rows.columns)).any()  # a table of an earlier version


def test_the_figure_has_a_line_for_each_shift_with_its_k_star() -> None:
    rows = paths(*falling(**UNEQUAL), parted(0, **EQUAL), parted(5, **EQUAL))
    figure = barrier_by_parting(rows)
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert any("label_2080" in text and "k* = 5.0 [5.0, 5.0]" in text for text in texts)
    assert any("label_5050" in text and "k* = 0.0" in text for text in texts)
    assert "grid=instability" in missing_command(barrier_by_parting(paths()))


def test_the_conclusion_is_computed_and_says_when_nothing_can_fall() -> None:
    assert "supported** by 1 condition" in when_chosen(paths(*falling()))
    assert "k* 5.0" in when_chosen(paths(*falling()))
    rising = [parted(0, **LOST), parted(10, **LOST | {"test/barrier_in_basin": 2.0})]
    assert "contradicted** by 1 condition" in when_chosen(paths(*rising))
    flat = [parted(0, **{"test/barrier_in_basin": 0.0}), parted(5, **{"test/barrier_in_basin": 0.0})]
    assert "nothing can fall" in when_chosen(paths(*flat))
    assert "not enough runs yet" in when_chosen(paths(*falling(), seeds=(1,)))
    assert "not enough runs yet" in when_chosen(pd.DataFrame())


def evidence(*rows: dict[str, Any]) -> tuple[str, list[str]]:
    claims = [claim for claim in CLAIMS if claim.name == "F-03"]
    verdict = judge_all(frames(paths(*rows)), 2, claims)["F-03"]["interpolate"]
    return verdict.answer, [str(line) for line in verdict.evidence]


def test_a_pretrained_start_is_held_against_random_starts_of_its_own_condition_alone() -> None:
    answer, lines = evidence(parted(0, **LOST), PRETRAINED)
    assert answer == "supported"
    assert "0.001 nats" in lines[0]
    assert "connected in 2 of 2 seeds" in lines[0]
    assert evidence(parted(0, lr=0.1, **LOST), PRETRAINED)[0] == "insufficient"  # no random start with this rate
    assert evidence(parted(2, **LOST), PRETRAINED)[0] == "insufficient"  # shared epochs are no random start
    assert evidence(parted(0, **LOST), PRETRAINED | {"start_epoch": 5})[0] == "insufficient"  # nor is a resumed one
    assert evidence(parted(0), PRETRAINED)[0] == "insufficient"  # random starts are connected as well
    half = PRETRAINED | {"connected": "no", "test/barrier_in_basin": 0.3}
    assert evidence(parted(0, **LOST), half)[0] == "contradicted"  # lower, and broken all the same


def test_two_pretrained_starts_are_two_comparisons() -> None:
    answer, lines = evidence(parted(0, **LOST), PRETRAINED, PRETRAINED | {"start_digest": "another"} | LOST)
    assert answer in ("undecided", "contradicted")
    assert len(lines) == 2
