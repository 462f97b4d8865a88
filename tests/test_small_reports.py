"""Tables and reports work on any small store: runs of few kinds, deleted runs, missing tags, params and metrics."""

from importlib import import_module
from pathlib import Path

import pytest
from campaign.small_stores import SmallStores
from conftest import ROOT
from mlflow import MlflowClient

from entry_points.interpolate import main as interpolate
from entry_points.report import main as report
from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.papers.report.content import report_content
from lmc_mlflow.papers.report.markdown import markdown
from lmc_mlflow.workflows.report.report import read_frames

IMPORTED = f"--bundles={ROOT / 'tests' / 'data' / 'store_of_34125ca.zip'}"


def test_random_small_stores_have_tables_and_reports(store: MlflowClient, tmp_path: Path) -> None:
    assert import_module("entry_points.import").main([IMPORTED]) == 0
    stores = SmallStores(tmp_path / "mlflow.db")
    for seed in (8, 11, 35):  # among the first forty these, and one more, ended in a traceback once
        stores.make(seed)
        for table in (query.alignments, query.stars, query.matrices, query.pruned):
            table()
        assert markdown(report_content(read_frames(()), {}, 1))


@pytest.mark.slow
def test_the_simplest_store_with_batch_norm_has_a_report(store: MlflowClient) -> None:
    assert train_pair(["--model=mlp_l1_w8_bn", "--epochs=1", "--c2st_samples=0", "--device=cpu", "--threads=1"]) == 0
    (pair,) = query.pairs()["run_id"]
    assert interpolate([f"--pair={pair}", "--num_alphas=3", "--device=cpu", "--threads=1"]) == 0
    assert report([]) == 0
