"""`import lmc_mlflow as lmc`: the commands as functions, with the same options, runs and errors."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch
from conftest import QUICK, ROOT, runs_of_kind
from matplotlib.figure import Figure
from mlflow import MlflowClient

import lmc_mlflow as lmc
from entry_points.train_pair import main as train_pair
from lmc_mlflow import calls, python_stub
from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.query.networks import load_network
from lmc_mlflow.results.networks import Pair
from lmc_mlflow.results.result import as_value

SMALL = {"model": "mlp_l1_w16", "epochs": 3, "device": "cpu", "threads": 1, "c2st_samples": 0}
"""The options of `QUICK`."""
NOT_HERE = {
    *("star/test/average_precision", "star_held_out/test/barrier_over_chord_max"),
    *(f"test/average_precision_{when}" for when in ("start", "last", "swa")),
}
"""Metrics that results show, of several labels and of networks that were held out: no run of these tests has them."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> str:
    """Give the URI of a store that no setting names."""
    folder = tmp_path_factory.mktemp("python")
    with pytest.MonkeyPatch.context() as patch:
        from conftest import use_copy_of

        use_copy_of(empty_store, folder, patch)
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="module")
def pair(place: str) -> Pair:
    return lmc.train_pair(uri=place, shift="label_2080", **SMALL)


def test_importing_loads_neither_torch_nor_mlflow() -> None:
    code = "import sys, lmc_mlflow; dir(lmc_mlflow); print({'torch', 'mlflow', 'pandas'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "set()"


def test_every_name_that_is_promised_is_there() -> None:
    for name in lmc.__all__:
        assert getattr(lmc, name) is not None
    assert set(lmc.FUNCTIONS) <= set(dir(lmc))
    with pytest.raises(AttributeError, match="has no attribute 'trian_pair'"):
        lmc.trian_pair  # noqa: B018


def test_the_stub_that_editors_read_is_the_one_that_the_tables_give() -> None:
    assert (ROOT / "lmc_mlflow" / "__init__.pyi").read_text() == python_stub.render()


def test_the_stub_has_every_option_of_every_command() -> None:
    stub = python_stub.render()
    for name in (*({*COMMANDS} & {*lmc.FUNCTIONS} - {"train_pair"}), "train_pairs"):
        own = stub[stub.index(f"def {name}(") :].partition("\ndef ")[0]
        command = COMMANDS[python_stub.COMMAND_OF.get(name, name)].config
        left_out = python_stub.LEFT_OUT.get(name, ())
        for option, p in parameters(command).items():
            assert (f"\n    {option}: " in own) == (p.section != "terminal" and option not in left_out)


def test_a_call_gives_the_run_that_the_command_gives(
    store: MlflowClient, pair: Pair, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train_pair([*QUICK, "--shift=label_2080"]) == 0
    (by_command,) = runs_of_kind(store, "pair")
    by_call = MlflowClient(place).get_run(pair.run_id)
    for name in ("lmc.fingerprint", "lmc.data_digest", "mlflow.runName"):
        assert by_call.data.tags[name] == by_command.data.tags[name]
    side_a = runs_of_kind(store, "endpoint")[0].info.run_id
    called, commanded = load_network(MlflowClient(place), pair.a.run_id).state, load_network(store, side_a).state
    assert all(torch.equal(called[name], commanded[name]) for name in called)


def test_a_pair_has_its_networks_its_curves_and_its_figure(pair: Pair) -> None:
    assert pair.how == "trained"
    assert set(pair.frame()["side"]) == {"A", "B"}
    assert len(pair.frame()) == 2 * 2 * SMALL["epochs"]
    assert isinstance(pair.figure(), Figure)
    assert lmc.network(pair.a)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert "test/accuracy" in pair._repr_html_()
    assert pair.link.endswith(f"{pair.run_id}?workflowType=machine_learning")


def test_the_same_call_gives_the_finished_pair(pair: Pair, place: str) -> None:
    again = lmc.train_pair(uri=place, shift="label_2080", **SMALL)
    assert (again.run_id, again.how, again.a.how) == (pair.run_id, "finished before", "finished before")


def test_a_path_of_a_pair_or_of_two_networks(pair: Pair, place: str) -> None:
    path = lmc.interpolate(pair, bn="recalibrate", num_alphas=5, uri=place)
    other = lmc.interpolate(pair.a, pair.b.run_id, bn="recalibrate", num_alphas=5, uri=place)
    assert path.metrics["test/barrier_in_basin"] == other.metrics["test/barrier_in_basin"]
    assert path.connected == (path.verdict == "yes")
    assert list(path.frame()["alpha"].unique()) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert path.decided_by in path._repr_html_()
    assert isinstance(path.figure(), Figure)
    other_pair = lmc.train_pair(uri=place, seed=2, **SMALL)
    aligned = lmc.interpolate(pair.a, other_pair.a, align="weights", num_alphas=3, uri=place)
    assert aligned.verdict_by_intervals in ("yes", "no", "apparent", "undecided")
    assert not aligned.frame().equals(aligned.frame(unaligned=True))
    assert isinstance(aligned.figure(), Figure)


def test_everything_else_takes_the_results(pair: Pair, place: str) -> None:
    aligned = lmc.align(pair.a, pair.b, method="weights", uri=place)
    by_list, by_pair = lmc.ensemble([pair.a, pair.b], uri=place), lmc.ensemble(pair, num_alphas=3, uri=place)
    assert (by_list.num_members, by_pair.num_members) == (2, 3)
    matrix = lmc.matrix([pair.a, pair.b, aligned], num_alphas=3, uri=place)
    assert len(matrix.frame()) == 3
    star = lmc.star([pair.a, pair.b], epochs=1, uri=place)
    assert lmc.ensemble(star, num_samples=2, uri=place).num_members == 2
    plane = lmc.plane(pair.a, pair.b, star, num_points=3, uri=place)
    assert len(plane.frame()) == 9
    (pruned,) = lmc.prune(pair.a, uri=place)
    assert lmc.network(pruned) is not None
    trajectory = lmc.trajectory(pair.a, epochs=1, uri=place)
    assert lmc.network(trajectory.average) is not None
    for result in (by_list, by_pair, matrix, star, plane, trajectory):
        assert isinstance(result.frame(), pd.DataFrame)
        assert isinstance(result.figure(), Figure)
        assert set(result.shown) - set(result.metrics) <= NOT_HERE
        assert set(result.shown) & set(result.metrics)
    for result in (pair.a, aligned):
        assert result.summary()
    with pytest.raises(ValueError, match="a network has no figure of its own"):
        aligned.figure()


def test_several_seeds_train_together(place: str) -> None:
    pairs = lmc.train_pairs(seeds=[3, 4], uri=place, **SMALL)
    assert [one.name.split()[0] for one in pairs] == ["s3", "s4"]
    with pytest.raises(ValueError, match=r"call train_pairs\(seeds=...\)"):
        lmc.train_pair(seeds=[3, 4], uri=place)


def test_an_experiment_is_made_by_its_name_and_nothing_of_the_process_changes(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)  # as under `mlflow run`: it is the script's, not ours
    before, threads = dict(os.environ), torch.get_num_threads()
    uri, active = mlflow.get_tracking_uri(), mlflow.active_run()
    made = lmc.train_pair(uri=place, experiment="of mine", seed=5, deterministic=True, **SMALL)
    assert MlflowClient(place).get_experiment(made.experiment_id).name == "of mine"
    assert dict(os.environ).items() >= before.items()
    assert set(os.environ) - set(before) <= {"CUBLAS_WORKSPACE_CONFIG"}
    assert (mlflow.get_tracking_uri(), mlflow.active_run()) == (uri, active)
    assert torch.get_num_threads() == threads
    assert torch.get_deterministic_debug_mode() == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shfit": "label_2080"}, r"parameter 'shfit' is unknown \(did you mean 'shift'\?\)"),
        ({"epochs": "many"}, "epochs='many': give a whole number"),
        ({"epochs": -1}, "epochs=-1: must be at least"),
        ({"model": object()}, "model: a object is no value of an option"),
        ({"engine": "slow"}, "engine 'slow' is unknown"),
        ({"quiet": True}, "quiet is about what a command prints in a terminal; leave it out"),
        ({"lr": torch.tensor([[0.1, 0.2]])}, "lr: a Tensor is no value of an option"),
        ({"model": torch.nn.Sequential(torch.nn.Linear(2, 2))}, "a Sequential in memory is no option"),
        ({"model_options": {"a": object()}}, "model_options: Object of type object is not JSON"),
        ({"uri": Path("x.db")}, "uri=.* is a PosixPath; give a text, such as 'sqlite"),
        ({"experiment": 3}, "experiment=3 is a int; give a text"),
        ({"experiment": " "}, "experiment is empty; give a name"),
    ],
)
def test_a_wrong_option_is_one_line(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        lmc.train_pair(**given)
    assert "\n" not in str(error.value)


def test_a_network_is_given_once(pair: Pair) -> None:
    with pytest.raises(ValueError, match="run_a is given twice"):
        lmc.interpolate(pair.a, pair.b, run_a=pair.a)
    with pytest.raises(ValueError, match="runs: one of them is None"):
        lmc.ensemble(["abc", None])
    with pytest.raises(ValueError, match="give either pair"):
        lmc.interpolate(run_a=None)
    with pytest.raises(ValueError, match="give either pair"):
        lmc.interpolate()


def test_a_network_that_is_not_there_is_sought_in_the_store_of_the_call(pair: Pair, place: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with pytest.raises(ValueError, match=r"does not exist in sqlite.*other\.db"):
        lmc.network(pair.a, uri=other)
    with pytest.raises(ValueError, match="too short; give at least 3 characters"):
        lmc.network(pair.a.run_id[:2], uri=place)  # whichever characters it begins with, a number among them
    for wrong in (None, 3, [pair.a, pair.b]):
        with pytest.raises(ValueError, match="run"):
            lmc.network(wrong, uri=place)


def test_results_are_keys(pair: Pair) -> None:
    assert {pair: 1}[pair] == 1
    assert len({pair.a, pair.b}) == 2


def test_numbers_of_numpy_are_numbers() -> None:
    assert calls.as_text("alphas", torch.tensor(3)) == "3"
    assert calls.as_text("lr", pd.Series([0.5])[0]) == "0.5"
    assert calls.as_text("deterministic", True) == "true"
    for several in (range(1, 3), torch.tensor([1, 2]), pd.Series([1, 2]), pd.Series([1, 2]).to_numpy()):
        assert calls.as_text("seeds", as_value(several)) == "1,2"
    assert calls.as_text("model_options", {"b": 1, "a": 2}) == '{"a": 2, "b": 1}'


def test_options_are_a_table() -> None:
    table = lmc.options("interpolate").set_index("option")
    assert table.loc["num_alphas", "default"] == "21"
    assert "quiet" not in table.index
    assert "recalibrate" in table.loc["bn", "choices"]
    with pytest.raises(ValueError, match="did you mean 'interpolate'"):
        lmc.options("interpolat")


def test_every_function_says_what_it_does() -> None:
    for name in lmc.FUNCTIONS:
        assert inspect.getdoc(getattr(lmc, name))


def test_a_result_that_is_no_network_is_refused_where_a_network_is_named(pair: Pair) -> None:
    for call in (lambda: lmc.interpolate(pair, pair.a), lambda: lmc.matrix([pair, pair.a]), lambda: lmc.prune(pair)):
        with pytest.raises(ValueError, match=r"a pair is no network; give one, such as pair.a"):
            call()


def test_an_experiment_chosen_for_one_store_says_nothing_of_another(
    place: str, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", store.create_experiment("of the first store alone"))
    assert lmc.train_pair(uri=place, seed=7, **SMALL).experiment_id == "0"
    assert lmc.train_pair(seed=7, **SMALL).experiment_id == "1"
