"""Tests that a method of alignment is one function and two rows, which every command and flag then reads."""

import dataclasses

import numpy as np
import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.align import main as align
from entry_points.interpolate import main as interpolate
from entry_points.matrix import main as matrix
from entry_points.plane import main as plane
from entry_points.star import main as star
from entry_points.train_pair import main as train_pair
from lmc_mlflow.alignment import Matching, MatchingInputs, identity_permutations
from lmc_mlflow.alignment.methods.table import METHODS, Method
from lmc_mlflow.config.alignment import METHOD_OPTIONS, MatchingConfig
from lmc_mlflow.plots.per_run.alignment import NOT_ALIGNED, styles

HERE = ["--device=cpu", "--threads=1"]


def do_nothing(inputs: MatchingInputs) -> Matching:
    return Matching(identity_permutations(inputs.symmetry), (0.0,), True, "nothing")


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that leaves every unit where it is: these two rows are all that it takes."""
    monkeypatch.setitem(METHODS, "nothing", Method(do_nothing, needs_images=False, needs_statistics=False))
    monkeypatch.setitem(METHOD_OPTIONS, "nothing", ())


def test_the_options_and_the_calls_are_of_the_same_methods() -> None:
    assert list(METHOD_OPTIONS) == list(METHODS)
    fields = {field.name for field in dataclasses.fields(MatchingConfig)}
    assert fields == {name for options in METHOD_OPTIONS.values() for name in options}


@pytest.mark.usefixtures("nothing")
def test_a_new_method_is_a_choice_of_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (align, interpolate, matrix, plane, star):
        assert command(["--help"]) == 0
        assert "weights, activations, sinkhorn, nothing" in capsys.readouterr().out
    assert list(styles()) == [NOT_ALIGNED, "weights", "activations", "sinkhorn", "nothing"]
    assert interpolate(["--pair=x", "--align=nothing", "--max_sweeps=5"]) == 1
    assert "max_sweeps belongs to align=weights; leave it out with align=nothing" in capsys.readouterr().err


@pytest.mark.usefixtures("nothing")
def test_a_new_method_is_reached_by_every_command_that_aligns(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--epochs=1", "--init=different", "--shift=none", "--seeds=1,2"]) == 0
    a, b, c, _ = (run.info.run_id for run in runs_of_kind(store, "endpoint"))
    few = ["--num_alphas=3", *HERE]
    assert align([f"--run_a={a}", f"--run_b={b}", "--method=nothing", *HERE]) == 0
    assert interpolate([f"--run_a={a}", f"--run_b={b}", "--align=nothing", *few]) == 0
    assert matrix([f"--runs={a},{b},{c}", "--align=nothing", *few]) == 0
    assert plane([f"--run_a={a}", f"--run_b={b}", f"--run_c={c}", "--align=nothing", "--num_points=2", *HERE]) == 0
    assert star([f"--sources={a},{b}", "--match_method=nothing", "--star_seed=1", "--epochs=1", *few]) == 0
    (aligned,), (path,) = runs_of_kind(store, "alignment"), runs_of_kind(store, "path")
    assert (aligned.data.tags["lmc.method"], aligned.data.metrics["units_moved"]) == ("nothing", 0)
    assert path.data.tags["lmc.align"] == "nothing"
    assert path.data.metrics["test/barrier"] == path.data.metrics["unaligned/test/barrier"]
    (surface,) = runs_of_kind(store, "plane")
    assert surface.data.metrics["length_ab"] == surface.data.metrics["unaligned/length_ab"]
    (centre,) = runs_of_kind(store, "star")
    assert centre.data.metrics["star_source/distance"] == centre.data.metrics["star_source/distance_unaligned"]
    with np.load(store.download_artifacts(centre.info.run_id, "permutations.npz")) as orders:
        assert all((order == np.arange(len(order))).all() for order in orders.values())
