"""The shipped runs are judged alike alone and together in one store (docs/results)."""

import importlib

import pytest
from conftest import ROOT
from mlflow import MlflowClient

from lmc_mlflow.findings.condition_table import Frames, prepare, with_overfitting
from lmc_mlflow.papers.claims import Verdicts, judge_all
from lmc_mlflow.papers.hepburn.claims import HEPBURN_CLAIMS
from lmc_mlflow.workflows.report.report import read_frames

STAND_INS = {"imagefolder": "cifar10", "resnet10_s222": "resnet10"}
HEADLINE = ("H-03a", "H-03b", "H-03c", "H-03d", "H-03h")
DECIDED = ("supported", "contradicted")


def judged(found: Frames) -> Verdicts:
    return judge_all(with_overfitting(prepare(found, STAND_INS)), 2, HEPBURN_CLAIMS)


@pytest.mark.slow
def test_no_verdict_on_shifts_is_worse_together_than_alone(store: MlflowClient) -> None:
    bundles = ",".join(str(ROOT / "docs" / "results" / name / "runs.zip") for name in ("paper", "breaks"))
    assert importlib.import_module("entry_points.import").main([f"--bundles={bundles}"]) == 0
    found = read_frames(())
    together, alone = judged(found), []
    for home in found.pairs["experiment_id"].unique():
        tables = [table[table["experiment_id"] == home] if len(table) else table for table in found.tables()]
        alone.append(judged(Frames(*tables)))
    assert len(alone) == 2
    for claim, verdicts in together.items():
        before = {one[claim]["interpolate"].answer for one in alone} & set(DECIDED)
        assert verdicts["interpolate"].answer in (before or {"insufficient", "undecided"}), claim
    assert {together[claim]["interpolate"].answer for claim in HEADLINE} == {"supported"}
