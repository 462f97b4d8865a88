"""The same images are an input under one name in every kind of run, with the source that they come from."""

import json
from collections import defaultdict

import mlflow.data
import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient
from mlflow.entities import Run

from entry_points.align import main as align
from entry_points.ensemble import main as ensemble
from entry_points.interpolate import main as interpolate
from entry_points.matrix import main as matrix
from entry_points.star import main as star
from entry_points.train_pair import main as train_pair

HERE = ["--device=cpu", "--threads=1"]
FEW = [*HERE, "--num_resamples=2", "--num_orders=1"]


def inputs(run: Run) -> dict[str, str]:
    """Context -> name of the data set."""
    return {item.tags[0].value: item.dataset.name for item in run.inputs.dataset_inputs}


@pytest.fixture
def pair(store: MlflowClient) -> str:
    assert train_pair([*QUICK, "--epochs=1", "--model=mlp_l1_w8_bn"]) == 0
    return runs_of_kind(store, "pair")[0].info.run_id


def sides_a(store: MlflowClient) -> list[str]:
    return [run.info.run_id for run in runs_of_kind(store, "endpoint") if run.data.tags["lmc.side"] == "A"]


def test_the_same_images_have_one_name_in_every_kind_of_run(store: MlflowClient, pair: str) -> None:
    assert train_pair([*QUICK, "--epochs=1", "--model=mlp_l1_w8_bn", "--seed=2"]) == 0
    two = sides_a(store)
    assert interpolate([f"--pair={pair}", "--num_alphas=3", *HERE]) == 0
    between = [f"--run_a={two[0]}", f"--run_b={two[1]}", "--num_alphas=3"]
    assert interpolate([*between, "--splits=test,train_a,train_b,unseen", *HERE]) == 0
    assert align([*between[:2], *HERE]) == 0
    assert matrix([f"--runs={','.join(two)}", "--split=train", "--num_alphas=3", *HERE]) == 0
    assert star([f"--sources={','.join(two)}", "--epochs=1", *HERE]) == 0
    assert ensemble([f"--pair={pair}", "--num_alphas=3", "--bn=recalibrate", *FEW]) == 0
    names = defaultdict(set)
    kinds = ("pair", "endpoint", "path", "alignment", "matrix", "star", "ensemble")
    for kind in kinds:
        runs = runs_of_kind(store, kind)
        assert runs, kind
        for run in runs:
            assert run.inputs.dataset_inputs, kind
            for item in run.inputs.dataset_inputs:
                names[item.dataset.digest].add(item.dataset.name)
    sides = [[f"digits label_5050 {part}"] for part in ("both sides", "side A", "side B")]
    assert sorted(map(sorted, names.values())) == [*sides, ["digits test"]]
    inside, outside = (inputs(run) for run in runs_of_kind(store, "path"))
    assert inside == {
        "train_a": "digits label_5050 side A",
        "train_b": "digits label_5050 side B",
        "test": "digits test",
    }
    assert outside == {
        "train_a,train_b": "digits label_5050 side A",  # MLflow keeps one input of one name and digest
        "unseen": "digits label_5050 side B",
        "test": "digits test",
    }


def test_an_ensemble_has_the_images_that_its_predictions_depend_on_as_inputs(store: MlflowClient, pair: str) -> None:
    assert train_pair([*QUICK, "--epochs=1", "--model=mlp_l1_w8_bn", "--seed=2"]) == 0
    assert ensemble([f"--pair={pair}", "--num_alphas=3", *FEW]) == 0
    assert ensemble([f"--pair={pair}", "--num_alphas=3", "--bn=recalibrate", *FEW]) == 0
    assert ensemble([f"--runs={','.join(sides_a(store))}", *FEW]) == 0
    plain, recalibrated, seeds = (inputs(run) for run in runs_of_kind(store, "ensemble"))
    assert plain == seeds == {"test": "digits test"}
    assert recalibrated == {
        "train_a": "digits label_5050 side A",
        "train_b": "digits label_5050 side B",
        "test": "digits test",
    }


@pytest.mark.parametrize(
    ("dataset", "made_by"), [("digits", "sklearn.datasets.load_digits"), ("moons", "sklearn.datasets.make_moons")]
)
def test_the_source_of_images_that_need_no_files_is_the_function_that_makes_them(
    store: MlflowClient, dataset: str, made_by: str
) -> None:
    assert train_pair([*QUICK, "--epochs=1", f"--dataset={dataset}", "--data_root=/nowhere"]) == 0
    for item in runs_of_kind(store, "pair")[0].inputs.dataset_inputs:
        assert item.dataset.source_type == "code"
        assert json.loads(item.dataset.source) == {"tags": {"mlflow.source.name": made_by}}
        assert mlflow.data.get_source(item.dataset).to_dict() == json.loads(item.dataset.source)
