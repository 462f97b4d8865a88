"""Every claim is judged as its runs say: supported, contradicted, undecided or insufficient."""

from typing import Any

import pandas as pd
import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from paper_frames import ENSEMBLE, LOST, answers, frames, paths, runs

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.findings.comparisons import holds
from lmc_mlflow.findings.condition_table import (
    POLICIES,
    Frames,
    prepare,
    with_overfitting,
)
from lmc_mlflow.findings.evidence import Evidence, Verdict
from lmc_mlflow.findings.thresholds import breaks
from lmc_mlflow.papers.claims import (
    CLAIMS,
    PAPER,
    claims_content,
    judge_all,
)
from lmc_mlflow.papers.hepburn.claims import printed_conditions
from lmc_mlflow.workflows.report.report import read_frames

RESNET = {"model": "resnet10", "batch_size": 1024}
PLAIN, NORMED = {"model": "mlp_l1_w126"}, {"model": "mlp_l1_w126_bn"}
SMALL, LARGE = {"batch_size": 32}, {"batch_size": 1024}
FAST, SLOW = {"lr": 0.01}, {"lr": 0.001}
EQUAL, UNEQUAL = {"shift": "label_5050"}, {"shift": "label_2080"}
CENTERED, UNIT = {"normalization": "centered"}, {"normalization": "unit"}
DEEP = {"model": "mlp_l3_w110_256_110"}
HIGH = {"test/barrier_in_basin": 0.5}
MILD = {"test/barrier_in_basin": 0.5, "test/accuracy_delta": -0.03}
POOR = {"test/accuracy_delta": -0.11}
BANDS = {"shift": "bands_B02_B08", "dataset": "bigearthnet", "model": "vgg_like"}
WIDE, NARROW = {"angle_deg": 80.0, "angle_weights_deg": 85.0}, {"angle_deg": 60.0, "angle_weights_deg": 65.0}
HIDDEN = {"train_a/barrier_in_basin": 0.5}
VGG = {"model": "vgg11"}
LOW_LOSS = {"train/loss": 0.1}
APPENDIX_G = LARGE | {"epochs": 400}
THREE_SEEDS = {"H-62a", "H-62b"}
"""Claims that need three seeds: a number is no different from a printed one."""
BROKEN_RESNET = RESNET | LOST | {"angle_reference_deg": 42.0}

SUPPORTING: dict[str, list[dict[str, Any]]] = {
    "H-02a": [LOST],
    "H-02b": [RESNET | EQUAL, RESNET | UNEQUAL | LOST],
    "H-02c": [BANDS | LOST],
    "H-02d": [PLAIN | CENTERED, PLAIN | UNIT | LOST],
    "H-02e": [PLAIN | UNIT | LOST, NORMED | UNIT],
    "H-02f": [DEEP | HIDDEN],
    "H-02g": [HIDDEN | {"connected": "apparent"}],
    "H-03a": [SMALL | HIGH, LARGE],
    "H-03b": [SMALL | POOR, LARGE],
    "H-03c": [FAST | HIGH, SLOW],
    "H-03d": [FAST | POOR, SLOW],
    "H-03e": [MILD | POOR],
    "H-03f": [MILD | POOR],
    "H-03g": [RESNET | EQUAL, RESNET | UNEQUAL | LOST, PLAIN | EQUAL, PLAIN | UNEQUAL],
    "H-03h": [PLAIN, DEEP | POOR],
    "H-03i": [SMALL | HIGH | {"epochs": 10}, {"batch_size": 256, "epochs": 80}],
    "H-50": [SMALL | HIGH | FAST, LARGE | FAST | {"test/barrier_in_basin": 0.2}, LARGE | SLOW],
    "H-51a": [SMALL | LOW_LOSS, LARGE, VGG | SMALL, VGG | LARGE | LOW_LOSS],
    "H-51b": [FAST | LOW_LOSS, SLOW, VGG | FAST, VGG | SLOW | LOW_LOSS],
    "H-62a": [APPENDIX_G | {"train/accuracy": 0.98}],
    "H-62b": [APPENDIX_G | UNIT | {"train/accuracy": 0.60}],
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
    "H-02f": [DEEP | HIDDEN | {"test/barrier_in_basin": 0.5}],  # not flat on test data: the paper's case is another
    "H-02g": [{}],
    "H-03a": [SMALL, LARGE | HIGH],
    "H-03b": [SMALL, LARGE | POOR],
    "H-03c": [FAST, SLOW | HIGH],
    "H-03d": [FAST, SLOW | POOR],
    "H-03e": [MILD],
    "H-03f": [MILD],
    "H-03g": [RESNET | EQUAL, RESNET | UNEQUAL, PLAIN | EQUAL, PLAIN | UNEQUAL | LOST],
    "H-03h": [PLAIN | POOR, DEEP],
    "H-03i": [SMALL | {"epochs": 10}, HIGH | {"batch_size": 256, "epochs": 80}],
    "H-50": [SMALL | FAST, LARGE | FAST | {"test/barrier_in_basin": 0.2}, LARGE | SLOW | HIGH],
    "H-51a": [SMALL | LOW_LOSS, LARGE, VGG | SMALL | LOW_LOSS, VGG | LARGE],
    "H-51b": [FAST | LOW_LOSS, SLOW, VGG | FAST | LOW_LOSS, VGG | SLOW],
    "H-62a": [APPENDIX_G | {"train/accuracy": 0.62, "epochs": 21}],
    "H-62b": [APPENDIX_G | UNIT | {"train/accuracy": 0.45, "epochs": 21}],
    "H-04a": [SMALL | NARROW, LARGE | WIDE],
    "H-04b": [FAST | NARROW, SLOW | WIDE],
    "H-04c": [SMALL | NARROW, LARGE | WIDE],
    "H-04d": [FAST | NARROW, SLOW | WIDE],
    "H-04e": [PLAIN | WIDE | LOST],
    "H-04f": [BROKEN_RESNET | {"angle_deg": 50.0}],
}
KINDS = {
    "H-05a": ("wrong_agreement", 0.3, 0.2),
    "H-05b": ("wrong_disagreement", 0.1, 0.2),
    "H-05c": ("mean_prediction_accuracy", 0.50, 0.55),
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
    assert {*SUPPORTING, *KINDS, "H-05d", "H-05e"} == of_hepburn
    assert {*CONTRADICTING, *KINDS, "H-05d", "H-05e"} == of_hepburn


@pytest.mark.parametrize("policy", POLICIES)
def test_an_empty_store_decides_nothing_and_names_commands(policy: str) -> None:
    verdicts = judge_all(frames(), 2)
    assert set(answers(verdicts, policy).values()) == {"insufficient"}
    for found in verdicts.values():
        assert found[policy].sentence.startswith("no data yet: ")
        assert "`mlflow run . --env-manager local -e " in found[policy].sentence
        assert found[policy].run_ids == ()


@pytest.mark.parametrize("name", SUPPORTING)
def test_a_store_that_shows_a_claim_supports_it(name: str) -> None:
    seeds = (1, 20, 100) if name in THREE_SEEDS else (1, 20)
    verdict = judged(name, frames(paths(*SUPPORTING[name], seeds=seeds)))
    assert verdict.answer == "supported", verdict
    assert f"(n = {len(seeds)})" in verdict.sentence
    assert "[" in verdict.sentence  # an interval
    assert verdict.run_ids


@pytest.mark.parametrize("name", CONTRADICTING)
def test_a_store_built_against_a_claim_contradicts_it(name: str) -> None:
    seeds = (1, 20, 100) if name in THREE_SEEDS else (1, 20)
    verdict = judged(name, frames(paths(*CONTRADICTING[name], seeds=seeds)))
    assert verdict.answer == "contradicted", verdict
    assert "against: " in verdict.sentence


@pytest.mark.parametrize("name", KINDS)
def test_claims_about_ensembles_answer_both_ways(name: str) -> None:
    score, lmc, seeds = KINDS[name]
    assert judged(name, frames(ensembles=ensembles(score, lmc, seeds))).answer == "supported"
    assert judged(name, frames(ensembles=ensembles(score, seeds, lmc))).answer == "contradicted"


def test_a_path_is_compared_with_the_two_seeds_that_cost_as_much() -> None:
    for gain, said in ((0.0, "supported"), (-0.02, "contradicted"), (-0.005, "undecided")):
        made = ensembles("mean_prediction_accuracy", 0.5 + gain, 0.5)
        made["num_members"] = made["num_members"].mask(made["sampling"] == "seeds", 2)
        verdict = judged("H-05d", frames(ensembles=made))
        assert verdict.answer == said, verdict
    assert "margin -0.005" in verdict.sentence
    assert judged("H-05d", frames(ensembles=ensembles("mean_prediction_accuracy", 0.5, 0.5))).answer == "insufficient"


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
    assert {found[name] for name in ("H-03a", "H-03b", "H-03c", "H-03d", "H-04a", "H-04b")} == {"undecided"}


def test_conditions_that_differ_in_two_things_are_not_compared() -> None:
    rows = paths(SMALL | HIGH | {"epochs": 50}, LARGE | {"epochs": 100})
    assert answers(judge_all(frames(rows), 2))["H-03a"] == "insufficient"


def test_claims_on_shifts_leave_out_unshifted_pairs_linear_networks_and_those_that_have_not_learnt() -> None:
    honest = [PLAIN | SMALL | HIGH, PLAIN | LARGE]
    against = [PLAIN | SMALL, PLAIN | LARGE | HIGH]
    left_out = {
        "without a shift": [row | {"shift": "none", "noise": "different"} for row in against],
        "linear": [row | {"model": "linear_l8_w128"} for row in against],
        "at chance": [row | {"lr": 0.1, "test/accuracy": 0.1} for row in against],
    }
    for rows in left_out.values():
        verdict = judged("H-03a", frames(paths(*honest, *rows)))
        assert verdict.answer == "supported", verdict
        assert verdict.sentence.startswith("1 for, 0 against, 0 neither, of 1 comparison;")
    learnt = [row | {"lr": 0.1} for row in against]
    assert judged("H-03a", frames(paths(*honest, *learnt))).answer == "contradicted"


def test_halves_that_hold_where_the_paper_prints_no_break_stand_beside() -> None:
    verdict = judged("H-02a", frames(paths(LOST, DEEP | SMALL, RESNET | SLOW, PLAIN | LARGE)))
    assert verdict.answer == "supported"
    # DEEP | SMALL and the ResNet are printed as broken; the plain MLP at B 1024 is not.
    assert verdict.sentence.startswith("1 for, 2 against, 0 neither, of 3 comparisons (1 more beside);")
    verdict = judged("H-02a", frames(paths(PLAIN | LARGE)))
    assert (verdict.answer, len(verdict.evidence)) == ("insufficient", 1)
    assert verdict.sentence.startswith("no data yet that decides it, 1 beside: ")


def test_claims_on_shifts_say_how_large_the_shift_is() -> None:
    seen = {"shift/c2st_accuracy": 0.504, "shift/c2st_accuracy_low": 0.474, "shift/c2st_accuracy_high": 0.534}
    rows = paths(LOST | seen | {"shift/label_divergence": 0.0})
    assert (
        "C2ST accuracy 0.504 [0.474, 0.534] (no shift seen), labels diverge by 0.000 bits"
        in judged("H-02a", frames(rows)).sentence
    )
    assert "size of the shift not logged" in judged("H-02a", frames(paths(LOST))).sentence
    claim = next(claim for claim in CLAIMS if claim.name == "H-02a")
    assert "two samples of one distribution" in claim.sentence


def test_comparisons_at_equal_epochs_say_what_is_confounded() -> None:
    assert (
        "confounded: B 32 takes 32 times as many steps" in judged("H-03a", frames(paths(SMALL | HIGH, LARGE))).sentence
    )
    assert (
        "confounded: steps are 10 times as long at the higher rate"
        in judged("H-03c", frames(paths(FAST | HIGH, SLOW))).sentence
    )
    equal = judged("H-03i", frames(paths(*SUPPORTING["H-03i"]))).sentence
    assert equal.endswith("equal numbers of steps of equal length")
    # 32 / 10 and 1024 / 320 are equal; 32 / 21 and 1024 / 21 are not, and are no comparison at equal steps.
    assert judged("H-03i", frames(paths(SMALL | HIGH, LARGE))).answer == "insufficient"


def test_trainings_of_equal_steps_are_compared_whatever_their_epochs_are() -> None:
    small, large = {"batch_size": 16, "epochs": 12, "steps": 500}, {"batch_size": 256, "epochs": 167, "steps": 500}
    found = judged("H-03i", frames(paths(small, large | HIGH)))
    assert found.answer == "contradicted"
    assert found.sentence.endswith("equal numbers of steps of equal length")
    other = large | {"steps": 900}
    assert judged("H-03i", frames(paths(small, other | HIGH))).answer == "insufficient"
    assert judged("H-03a", frames(paths(small | HIGH, large | {"epochs": 12}))).answer == "insufficient"


def test_trainings_that_end_at_a_loss_are_none_of_equal_epochs() -> None:
    until = [row | {"until_train_loss": 0.1} for row in (SMALL | HIGH, LARGE)]
    assert judged("H-03a", frames(paths(SMALL | HIGH, LARGE))).answer == "supported"
    assert judged("H-03a", frames(paths(*until))).answer == "insufficient"
    assert (
        judged("H-03i", frames(paths(*(row | {"epochs": row["batch_size"]} for row in until)))).answer == "insufficient"
    )
    scales = [SMALL | FAST | HIGH, LARGE | FAST, LARGE | SLOW]
    assert judged("H-50", frames(paths(*(row | {"until_train_loss": 0.1} for row in scales)))).answer == "insufficient"


def test_a_bump_between_two_noise_scales_is_no_trend() -> None:
    bump = [SMALL | FAST, LARGE | FAST | HIGH, LARGE | SLOW]
    assert judged("H-50", frames(paths(*bump))).answer == "undecided"


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
        *("H-02a", "H-02b", "H-02d", "H-03b", "H-03c", "H-03d", "H-03e", "H-03f", "H-03g")
    }
    # L3 with batch norm on [0, 1]: the printed barrier 0.95 breaks it, whatever the accuracy (-4.5 points) says.
    assert {name for name, said in found.items() if said == "undecided"} == {"H-02e", "H-03a", "H-03h", "H-50"}


def test_printed_cells_and_ours_are_judged_by_one_rule() -> None:
    cell = {"test/barrier": 0.95, "test/barrier_in_basin": 0.95, "test/accuracy_delta": -0.0451, "connected": "yes"}
    (ours,) = (
        frames(paths(DEEP | UNIT | LARGE | cell, seeds=(1, 20, 100, 500, 1500)))
        .conditions["interpolate"]
        .to_dict("records")
    )
    printed = printed_conditions()
    same = printed["model"].eq("mlp_l3_w110_256_110_bn") & printed["normalization"].eq("unit")
    assert holds(printed[same].iloc[0]) is holds(ours) is False
    assert [breaks(0.1, -6), breaks(0.11, 0), breaks(0, -6.1)] == [False, True, True]
    flat = {"in_basin": 0.0, "in_basin_sd": 0.0, "delta": -3.65, "delta_sd": 1.3, "n": 5}
    assert [holds(flat), holds(flat | {"delta": -6.0}), holds(flat | {"delta": -9.0})] == [True, None, False]


@pytest.mark.parametrize(
    ("kind", "ways", "said"),
    [
        ("can", [1, -1, 0], "supported"),
        ("can", [-1, -1], "contradicted"),
        ("can", [-1, 0], "undecided"),
        ("can", [0], "undecided"),
        ("can", [], "insufficient"),
        ("always", [1, 1, -1], "contradicted"),
        ("always", [1, 1], "supported"),
        ("always", [1, 0], "undecided"),
        ("mostly", [1, 1, 0], "supported"),
        ("mostly", [1, 1, -1], "undecided"),
        ("mostly", [1, -1], "contradicted"),
        ("mostly", [-1, 0, 0, 0, 0], "undecided"),
        ("mostly", [-1, 0, 0, 0], "contradicted"),
    ],
)
def test_what_decides_each_kind_of_claim(kind: str, ways: list[int], said: str) -> None:
    evidence = Evidence(kind)
    for i, way in enumerate(ways):
        evidence.add(way, f"case {i}", [])
    verdict = evidence.verdict("more")
    assert (verdict.answer, verdict.kind) == (said, kind)


def test_the_claims_are_logged_with_evidence_and_runs() -> None:
    content = claims_content(judge_all(frames(paths(*SUPPORTING["H-02b"])), 2))
    entry = next(entry for entry in content if entry["claim"] == "H-02b")
    verdict = entry["verdicts"]["interpolate"]
    assert verdict["answer"] == "supported"
    assert verdict["counts"] == {"for": 1, "against": 0, "neither": 0, "beside": 0}
    assert verdict["kind"] == "can"
    assert "`mlflow run " in entry["need"]
    assert verdict["run_ids"] == ["run000", "run001", "run002", "run003"]
    assert len(verdict["evidence"]) == 1


def test_tracked_runs_on_digits_are_judged(store: MlflowClient) -> None:
    # Three epochs: the barriers of two seeds, 0 and 0.08, are too far apart to tell on which side of 0.1 the mean is.
    assert train_pair([*QUICK, "--seeds=1,20", "--c2st_samples=100"]) == 0
    for run in runs_of_kind(store, "pair"):
        assert interpolate([f"--pair={run.info.run_id}", "--num_alphas=3", "--device=cpu", "--threads=1"]) == 0
    verdict = judged("H-02a", with_overfitting(prepare(read_frames(()), {})))
    assert verdict.answer == "undecided"
    assert "digits mlp_l1_w16 label_5050" in verdict.sentence
    assert "C2ST accuracy" in verdict.sentence
    assert set(verdict.run_ids) == {run.info.run_id for run in runs_of_kind(store, "path")}
