"""A query takes networks of one kind, each once; what else it finds is refused, or left out with a line."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT, runs_of_kind, use_copy_of
from mlflow import MlflowClient

from lmc_mlflow import query
from lmc_mlflow.tracking.connection.store import open_store
from lmc_mlflow.workflows.networks.selection import OF_EPOCHS, find_runs, refuse_mixed

HERE = ["--device=cpu", "--threads=1"]
TRAINED = ["--model=mlp_l1_w8", "--c2st_samples=0", *HERE]
QUICK = {
    "ensemble": ["--num_resamples=0", "--num_orders=2", *HERE],
    "matrix": ["--num_alphas=3", *HERE],
    "star": ["--epochs=1", "--num_alphas=3", "--max_regular_pairs=0", "--batch_size=500", *HERE],
}
NAMES = {"ensemble": "query", "matrix": "query", "star": "source_query"}
SIDE_A = 'tags."lmc.side" = "A"'


def run(command: str, *flags: str) -> int:
    return importlib.import_module(f"entry_points.{command}").main([*flags, *QUICK.get(command, [])])


def sides_a(client: MlflowClient) -> list[str]:
    """Run ids of all networks of side A that `train_pair` made."""
    runs = [r for r in runs_of_kind(client, "endpoint") if r.data.tags["lmc.side"] == "A"]
    return [r.info.run_id for r in runs if not set(OF_EPOCHS) & set(r.data.tags)]


@pytest.fixture(scope="module")
def pool(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds 1 and 2 of two epochs, seed 1 again (bit-equal), seed 3 of one epoch, and two further epochs of seed 1."""
    folder = tmp_path_factory.mktemp("pool")
    with pytest.MonkeyPatch.context() as patch:
        client = use_copy_of(empty_store, folder, patch)
        for seed, force in ((1, "false"), (2, "false"), (1, "true")):
            assert run("train_pair", *TRAINED, "--epochs=2", f"--seed={seed}", f"--force={force}") == 0
        assert run("train_pair", *TRAINED, "--seed=3", "--epochs=1") == 0
        assert run("trajectory", f"--run={sides_a(client)[0]}", "--epochs=2", *HERE) == 0
    return folder


@pytest.fixture
def filled(pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """The pool, copied; its artifacts stay where they are."""
    return use_copy_of(pool / "mlflow.db", tmp_path, monkeypatch)


@pytest.mark.parametrize("command", sorted(NAMES))
def test_a_query_over_two_kinds_is_refused_and_names_the_filter_of_one(
    filled: MlflowClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, command: str
) -> None:
    assert run(command, f"--{NAMES[command]}={SIDE_A}") == 1
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "finds" in line]
    assert "finds 2 kinds of networks (epochs 2: 3; epochs 1: 1)" in told
    assert told.endswith("; for all of them give mixed=true")
    (added,) = re.findall("for the 3 of one kind add to it:( and .*?);", told)
    assert added == ' and params."optimization.epochs" = "2"'
    assert not runs_of_kind(filled, command)
    assert run(command, f"--{NAMES[command]}={SIDE_A}{added}") == 0
    (made,) = runs_of_kind(filled, command)
    first, second, twin, other = sides_a(filled)
    members = made.data.tags["lmc.sources" if command == "star" else "lmc.members"]
    assert members == f"{first},{second}"
    assert f"run {twin} is left out: its weights are, bit by bit, those of run {first}" in caplog.text
    assert "4 networks" not in caplog.text
    assert other not in members


@pytest.mark.parametrize("command", sorted(NAMES))
def test_a_mixture_is_taken_where_it_is_asked_for(filled: MlflowClient, command: str) -> None:
    assert run(command, f"--{NAMES[command]}={SIDE_A}", "--mixed=true") == 0
    (made,) = runs_of_kind(filled, command)
    first, second, _, other = sides_a(filled)
    members = made.data.tags["lmc.sources" if command == "star" else "lmc.members"]
    assert members == f"{first},{second},{other}"
    if command == "ensemble":
        (row,) = query.ensembles().to_dict("records")
        assert (row["mixture"], row["mixture_of"]) == ("epochs 2 and 1", "epochs")


@pytest.mark.parametrize("command", sorted(NAMES))
def test_mixed_belongs_to_a_query(store: MlflowClient, capsys: pytest.CaptureFixture[str], command: str) -> None:
    runs = "sources" if command == "star" else "runs"
    assert run(command, f"--{runs}=a,b", "--mixed=true") == 1
    assert f"mixed belongs to {NAMES[command]}=<MLflow filter>" in capsys.readouterr().err


def test_sides_are_two_kinds_of_members_and_one_kind_of_networks(
    filled: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    both = 'params."optimization.epochs" = "2"'
    assert run("ensemble", f"--query={both}") == 1
    assert "2 kinds of networks (side A: 3; side B: 3)" in capsys.readouterr().err
    found = find_runs(open_store(), both)
    refuse_mixed(found, both, mixed=False)
    with pytest.raises(ValueError, match="2 kinds of networks"):
        refuse_mixed(found, both, mixed=False, sides=True)


def test_networks_of_a_trajectory_join_only_where_they_are_asked_for(
    filled: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    (trajectory,) = (r.info.run_id for r in runs_of_kind(filled, "trajectory"))
    plain = f'--query={SIDE_A} and params."optimization.epochs" = "2"'
    assert run("ensemble", plain) == 0
    assert runs_of_kind(filled, "ensemble")[0].data.metrics["num_members"] == 2
    asked = f"--query=tags.\"lmc.trajectory\" = '{trajectory}'"
    caplog.clear()
    assert run("ensemble", asked) == 0
    assert runs_of_kind(filled, "ensemble")[-1].data.metrics["num_members"] == 3  # two epochs and their average
    assert "left out" not in caplog.text
    everything = "--query=tags.\"lmc.dataset\" = 'digits'"
    assert run("prune", everything, "--heat_maps=false", *HERE) == 0
    assert len(runs_of_kind(filled, "pruned")) == 8
    assert '3 networks of trajectories are left out; name tags."lmc.trajectory" in it' in caplog.text


def test_an_ensemble_of_named_runs_counts_equal_weights_once(
    filled: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, twin, _ = sides_a(filled)
    assert run("ensemble", f"--runs={first},{twin},{second}") == 0
    assert runs_of_kind(filled, "ensemble")[0].data.tags["lmc.members"] == f"{first},{second}"
    assert run("ensemble", f"--runs={first},{twin}") == 1
    assert "all 2 networks have the same weights" in capsys.readouterr().err


def test_the_matrix_of_the_documentation_runs_in_the_store_of_the_first_command(store: MlflowClient) -> None:
    pages = [(ROOT / page).read_text() for page in ("README.md", "docs/matrix.md")]
    lines = [line for page in pages for line in page.splitlines() if "-e matrix" in line and "query=" in line]
    assert lines
    for command in ("main", "train_pair"):  # the README's first two
        assert run(command, "--shift=label_2080", "--epochs=1", "--c2st_samples=0", *HERE) == 0
    for line in lines:
        command = line[line.index("mlflow run") :].split("`")[0]
        words = shlex.split(command)
        given = [f"--{words[i + 1]}" for i, word in enumerate(words) if word == "-P"]
        assert run("matrix", *given) == 0
        assert runs_of_kind(store, "matrix")[-1].data.metrics["num_runs"] == 4


def test_a_user_s_own_runs_with_our_tags_are_not_found(store: MlflowClient) -> None:
    for kind in ("endpoint", "my own", "pruned", ""):
        tags = {"lmc.side": "A"} | ({"lmc.kind": kind} if kind else {})
        store.set_terminated(store.create_run("0", tags=tags, run_name=kind).info.run_id)
    opened = open_store()
    assert [run.info.run_name for run in find_runs(opened, 'tags."lmc.side" = "A"', any_kind=True)] == ["endpoint"]
    found = find_runs(opened, 'tags."lmc.kind" != "pair"', any_kind=True)
    assert [run.info.run_name for run in found] == ["endpoint", "pruned"]
