"""Every claim is judged as its runs say: supported, contradicted or insufficient."""

from typing import Any

import pandas as pd
import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from paper_frames import ENSEMBLE, LOST, PATH, answers, frames, paths, runs

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.findings.condition_table import (
    POLICIES,
    Frames,
    prepare,
    with_overfitting,
)
from lmc_mlflow.findings.evidence import Evidence, Verdict
from lmc_mlflow.papers.claims import (
    CLAIMS,
    PAPER,
    claims_content,
    judge_all,
)
from lmc_mlflow.papers.hepburn.batch_norm_question import answer_batch_norm_question
from lmc_mlflow.papers.hepburn.tables import path_table
from lmc_mlflow.workflows.report.report import read_frames

RESNET = {"model": "resnet10", "batch_size": 1024}
PLAIN, NORMED = {"model": "mlp_l1_w126"}, {"model": "mlp_l1_w126_bn"}
SMALL, LARGE = {"batch_size": 32}, {"batch_size": 1024}
FAST, SLOW = {"lr": 0.01}, {"lr": 0.001}
EQUAL, UNEQUAL = {"shift": "label_5050"}, {"shift": "label_2080"}
CENTERED, UNIT = {"normalization": "centered"}, {"normalization": "unit"}
DEEP = {"model": "mlp_l3_w110_256_110"}
HIGH = {"test/barrier_in_basin": 0.5}
MILD = {"test/barrier": 0.5, "test/accuracy_delta": -0.03}
POOR = {"test/accuracy_delta": -0.10}
BANDS = {"shift": "bands_B02_B08", "dataset": "bigearthnet", "model": "vgg_like"}
WIDE, NARROW = {"angle_deg": 80.0, "angle_weights_deg": 85.0}, {"angle_deg": 60.0, "angle_weights_deg": 65.0}
HIDDEN = {"train_a/barrier_in_basin": 0.5}
BROKEN_RESNET = RESNET | LOST | {"angle_reference_deg": 42.0}

SUPPORTING: dict[str, list[dict[str, Any]]] = {
    "H-02a": [LOST],
    "H-02b": [RESNET | EQUAL, RESNET | UNEQUAL | LOST],
    "H-02c": [BANDS | LOST],
    "H-02d": [PLAIN | CENTERED, PLAIN | UNIT | LOST],
    "H-02e": [PLAIN | UNIT | LOST, NORMED | UNIT],
    "H-02f": [HIDDEN | {"connected": "apparent"}],
    "H-03a": [SMALL | HIGH, LARGE],
    "H-03b": [SMALL | POOR, LARGE],
    "H-03c": [FAST | HIGH, SLOW],
    "H-03d": [FAST | POOR, SLOW],
    "H-03e": [MILD | POOR],
    "H-03f": [MILD],
    "H-03g": [RESNET | EQUAL, RESNET | UNEQUAL | LOST, PLAIN | EQUAL, PLAIN | UNEQUAL],
    "H-03h": [PLAIN, DEEP | POOR],
    "H-04a": [SMALL | WIDE, LARGE | NARROW],
    "H-04b": [FAST | WIDE, SLOW | NARROW],
    "H-04c": [SMALL | WIDE, LARGE | NARROW],
    "H-04d": [FAST | WIDE, SLOW | NARROW],
    "H-04e": [PLAIN | WIDE],
    "H-04f": [BROKEN_RESNET | {"angle_deg": 30.0}],
}
CONTRADICTING: dict[str, list[dict[str, Any]]] = {
    "H-02a": [DEEP | SMALL],  # printed as lost in Table VI
    "H-02b": [RESNET | EQUAL, RESNET | UNEQUAL],
    "H-02c": [BANDS],
    "H-02d": [PLAIN | CENTERED, PLAIN | UNIT],
    "H-02e": [PLAIN | UNIT | LOST, NORMED | UNIT | LOST],
    "H-02f": [{}],
    "H-03a": [SMALL, LARGE | HIGH],
    "H-03b": [SMALL, LARGE | POOR],
    "H-03c": [FAST, SLOW | HIGH],
    "H-03d": [FAST, SLOW | POOR],
    "H-03e": [MILD],
    "H-03f": [MILD | {"test/accuracy_delta": -0.16}],
    "H-03g": [RESNET | EQUAL, RESNET | UNEQUAL, PLAIN | EQUAL, PLAIN | UNEQUAL | LOST],
    "H-03h": [PLAIN | POOR, DEEP],
    "H-04a": [SMALL | NARROW, LARGE | WIDE],
    "H-04b": [FAST | NARROW, SLOW | WIDE],
    "H-04c": [SMALL | NARROW, LARGE | WIDE],
    "H-04d": [FAST | NARROW, SLOW | WIDE],
    "H-04e": [PLAIN | WIDE | LOST],
    "H-04f": [BROKEN_RESNET | {"angle_deg": 42.0}, BROKEN_RESNET | SLOW | {"angle_deg": 50.0, "epochs": 50}],
}
KINDS = {
    "H-05a": ("wrong_agreement", 0.3, 0.2),
    "H-05b": ("wrong_disagreement", 0.1, 0.2),
    "H-05c": ("mean_prediction_accuracy", 0.50, 0.55),
    "H-05d": ("cost/train_seconds", 10.0, 50.0),
}
"""Claim -> score, and what paths and seeds have where it is true."""


def judged(name: str, found: Frames) -> Verdict:
    """One claim's verdict under the first policy."""
    return judge_all(found, 2, [claim for claim in CLAIMS if claim.name == name])[name]["interpolate"]


def ensembles(score: str, lmc: float, seeds: float) -> pd.DataFrame:
    hair = [0.0, 0.0001]
    rows: list[dict[str, Any]] = [
        {"sampling": "lmc", "pair": f"p{i}", "seed": str(i), score: lmc + h} for i, h in enumerate(hair)
    ]
    rows += [{"sampling": "seeds", "side": "AB"[i], "seed": "1, 20", score: seeds + h} for i, h in enumerate(hair)]
    return runs(ENSEMBLE, *rows)


def test_every_claim_is_tried_both_ways() -> None:
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    of_hepburn = {name for name in names if name.startswith("H")}  # the others: test_disentangling.py
    assert {*SUPPORTING, *KINDS, "H-05e"} == of_hepburn
    assert {*CONTRADICTING, *KINDS, "H-05e"} == of_hepburn


@pytest.mark.parametrize("policy", POLICIES)
def test_an_empty_store_decides_nothing_and_names_commands(policy: str) -> None:
    verdicts = judge_all(frames(), 2)
    assert set(answers(verdicts, policy).values()) == {"insufficient"}
    for found in verdicts.values():
        assert found[policy].sentence.startswith("no data yet: `mlflow run . --env-manager local -e ")
        assert found[policy].run_ids == ()


@pytest.mark.parametrize("name", SUPPORTING)
def test_a_store_that_shows_a_claim_supports_it(name: str) -> None:
    verdict = judged(name, frames(paths(*SUPPORTING[name])))
    assert verdict.answer == "supported", verdict
    assert "(n = 2)" in verdict.sentence
    assert verdict.run_ids


@pytest.mark.parametrize("name", CONTRADICTING)
def test_a_store_built_against_a_claim_contradicts_it(name: str) -> None:
    verdict = judged(name, frames(paths(*CONTRADICTING[name])))
    assert verdict.answer == "contradicted", verdict
    assert "against: " in verdict.sentence


@pytest.mark.parametrize("name", KINDS)
def test_claims_about_ensembles_answer_both_ways(name: str) -> None:
    score, lmc, seeds = KINDS[name]
    assert judged(name, frames(ensembles=ensembles(score, lmc, seeds))).answer == "supported"
    assert judged(name, frames(ensembles=ensembles(score, seeds, lmc))).answer == "contradicted"


def test_an_ensemble_is_held_against_its_own_members() -> None:
    for gain, said in ((0.05, "supported"), (-0.05, "contradicted")):
        made = ensembles("mean_prediction_accuracy", 0.4 + gain, 0.4)
        assert judged("H-05e", frames(ensembles=made)).answer == said


def test_one_seed_decides_nothing() -> None:
    every = [row for rows in CONTRADICTING.values() for row in rows]
    found = answers(judge_all(frames(paths(*every, seeds=(1,))), 2))
    assert set(found.values()) == {"insufficient"}


def test_equal_numbers_decide_nothing() -> None:
    found = answers(judge_all(frames(paths(SMALL, LARGE, SMALL | FAST)), 2))
    assert {found[name] for name in ("H-03a", "H-03b", "H-03c", "H-03d", "H-04a", "H-04b")} == {"insufficient"}


def test_conditions_that_differ_in_two_things_are_not_compared() -> None:
    rows = paths(SMALL | HIGH | {"epochs": 50}, LARGE | {"epochs": 100})
    assert answers(judge_all(frames(rows), 2))["H-03a"] == "insufficient"


def test_policies_are_judged_apart() -> None:
    rows = [
        RESNET | shift | {"bn": bn} | (LOST if shift is UNEQUAL and bn != "recalibrate" else {})
        for shift in (EQUAL, UNEQUAL)
        for bn in POLICIES
    ]
    verdicts = judge_all(frames(paths(*rows)), 2)
    found = [verdicts["H-02b"][policy].answer for policy in POLICIES]
    assert found == ["supported", "contradicted", "supported"]


def test_a_network_without_batch_norm_counts_under_every_policy() -> None:
    verdicts = judge_all(frames(paths(PLAIN | CENTERED, PLAIN | UNIT | LOST)), 2)
    assert {verdicts["H-02d"][policy].answer for policy in POLICIES} == {"supported"}


def test_on_its_own_tables_the_paper_says_what_it_claims_but_for_the_bound() -> None:
    found = {name: said for name, said in answers(judge_all(frames(), 2), PAPER).items() if name.startswith("H")}
    assert {name for name, said in found.items() if said == "supported"} == {
        *("H-02a", "H-02b", "H-02d", "H-02e", "H-03b", "H-03c", "H-03e", "H-03g")
    }
    # L3 with batch norm, batch size 32: barrier 0.61, 18.2 points lost; VGG19: 0.27, 24.6.
    assert {name for name, said in found.items() if said == "contradicted"} == {"H-03f"}


@pytest.mark.parametrize(
    ("kind", "ways", "said"),
    [
        ("can", [1, -1, -1], "supported"),
        ("can", [-1, 0], "contradicted"),
        ("can", [0], "insufficient"),
        ("always", [1, 1, -1], "contradicted"),
        ("always", [1, 0], "supported"),
        ("mostly", [1, 1, 0], "supported"),
        ("mostly", [1, 1, -1], "insufficient"),
        ("mostly", [1, -1], "contradicted"),
        ("mostly", [-1, 0, 0, 0, 0], "insufficient"),
        ("mostly", [-1, 0, 0, 0], "contradicted"),
    ],
)
def test_what_decides_each_kind_of_claim(kind: str, ways: list[int], said: str) -> None:
    evidence = Evidence(kind)
    for i, way in enumerate(ways):
        evidence.add(way, f"case {i}", [])
    assert evidence.verdict("more").answer == said


def test_the_claims_are_logged_with_evidence_and_runs() -> None:
    content = claims_content(judge_all(frames(paths(*SUPPORTING["H-02b"])), 2))
    entry = next(entry for entry in content if entry["claim"] == "H-02b")
    verdict = entry["verdicts"]["interpolate"]
    assert verdict["answer"] == "supported"
    assert verdict["run_ids"] == ["run000", "run001", "run002", "run003"]
    assert len(verdict["evidence"]) == 1


def resnets(heights: dict[str, float]) -> str:
    rows = [
        PATH | RESNET | UNEQUAL | {"bn": bn, "test/barrier": height, "test/accuracy_delta": -height / 10}
        for bn, height in heights.items()
    ]
    return answer_batch_norm_question(path_table(frames(paths(*rows)), "table_vii", 2))


def test_the_question_of_the_first_screen_is_answered_with_numbers() -> None:
    said = resnets({"interpolate": 2.0, "recalibrate": 0.05, "nearest": 3.0})
    assert "1 of 8 cells" in said
    assert "interpolate 2.00 (delta -20.0 points; vanished in 0 of 1)" in said
    assert "recalibrate 0.05 (delta -0.5 points; vanished in 1 of 1)" in said
    assert "the paper's 3.86 (-39.5 points)" in said
    assert said.endswith("it is one of running statistics, not of basins.")


def test_the_other_answers_of_the_first_screen() -> None:
    assert resnets({"interpolate": 2.0, "recalibrate": 2.0, "nearest": 2.0}).endswith("not of running statistics.")
    assert resnets({"interpolate": 2.0, "recalibrate": 0.0}).startswith("No data yet: none of 8 cells")


def test_tracked_runs_on_digits_contradict_a_claim(store: MlflowClient) -> None:
    # Three epochs at a small rate leave both sides next to their initialization: [0, 1] scaling breaks nothing.
    for scaling in ("centered", "unit"):
        assert train_pair([*QUICK, f"--normalization={scaling}", "--seeds=1,20"]) == 0
    for run in runs_of_kind(store, "pair"):
        assert interpolate([f"--pair={run.info.run_id}", "--num_alphas=3", "--device=cpu", "--threads=1"]) == 0
    verdict = judged("H-02d", with_overfitting(prepare(read_frames(()), {})))
    assert verdict.answer == "contradicted"
    assert "digits mlp_l1_w16 label_5050" in verdict.sentence
    assert set(verdict.run_ids) == {run.info.run_id for run in runs_of_kind(store, "path")}
