"""Aligned paths and paths between unlike ends never count as plain ones, and every label says what they are."""

import re
import shlex
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from conftest import runs_of_kind
from mlflow import MlflowClient
from paper_frames import frames, paths

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow import plots, query
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.findings import conclusions
from lmc_mlflow.findings.conditions import describe_all, distinguishing
from lmc_mlflow.findings.overview import path_conditions
from lmc_mlflow.findings.sentences import measured_last
from lmc_mlflow.papers.altintas.error_conditions import error_conditions
from lmc_mlflow.plots.groups import groups_of, titled
from lmc_mlflow.query.mixtures import mixtures

ALIGNED = {"align": "weights", "connected_unaligned": "no"}
UNLIKE = {"mixture_of": "epochs", "mixture": "epochs 100 and 15"}
NOTHING = {"align": "none", "mixture_of": "", "mixture": ""}
SEEDS = (1, 20, 100)


def walked(*rows: dict[str, Any]) -> pd.DataFrame:
    """Three seeds of each row, as `query.paths` gives them."""
    return paths(*(NOTHING | {"test/error_barrier": 0.0} | row for row in rows), seeds=SEEDS)


@pytest.mark.parametrize("strange", [ALIGNED, UNLIKE])
def test_no_verdict_counts_aligned_paths_or_unlike_ends(strange: dict[str, str]) -> None:
    other = {"same_initialization": False, "side_b": "A"}
    found = conclusions.pairs_and_paths(walked(strange | other))
    assert "different initializations are connected, in every seed: not enough runs yet" in found
    assert "3 of 3 paths connected" in found
    assert ("aligned by weights" if "align" in strange else "epochs 100 and 15") in found
    same = walked(strange)
    assert "supported" not in conclusions.pairs_and_paths(same)
    assert "supported" not in conclusions.similarity(same)
    sizes = walked(strange, strange | {"batch_size": 256, "test/barrier_in_basin": -5.0})
    assert "supported" not in conclusions.batch_size_and_learning_rate(sizes)
    assert conclusions.what_breaks(sizes).count("not enough runs yet") == 3


@pytest.mark.parametrize("strange", [ALIGNED, UNLIKE])
def test_claims_are_judged_on_plain_paths_alone(strange: dict[str, str]) -> None:
    lost = {"test/barrier_in_basin": 2.0, "connected": "no", "test/error_barrier": 0.5}
    tables = frames(walked({}, strange | lost))
    for conditions in (tables.conditions["interpolate"], error_conditions(tables, "interpolate")):
        assert conditions["n"].tolist() == [3]
        assert conditions["in_basin"].iloc[0] < 0.01


def test_plain_paths_beside_them_are_judged_as_if_alone() -> None:
    found = conclusions.pairs_and_paths(walked({}, ALIGNED | {"connected": "no"}))
    assert "Sides of one initialization stay connected, in every seed: supported** by 1 condition" in found


def test_a_label_keeps_the_alignment_that_follows_from_another_setting() -> None:
    table = walked({}, ALIGNED | {"same_initialization": False, "side_b": "A"})
    assert "align" in distinguishing(table)
    labels = [group.label for group in groups_of(table)]
    assert [label.split(", ")[-1] for label in labels] == ["aligned by weights", "not aligned"]


def test_a_table_of_aligned_paths_alone_says_so_in_its_title() -> None:
    table = walked(ALIGNED, ALIGNED | {"lr": 0.1})
    assert "aligned by weights" in titled("Paths", table)
    assert "aligned" not in titled("Paths", walked({}))
    assert "bn recalibrate" in titled("Paths", walked({"bn": "recalibrate"}))
    assert "aligned by weights" in conclusions.pairs_and_paths(table)


def test_a_path_between_100_and_15_epochs_is_never_called_by_one_of_the_two() -> None:
    table = walked(UNLIKE)
    assert "epochs 100 and 15" in titled("Paths", table)
    assert titled("Paths", table).count("epochs") == 1
    beside = walked({"epochs": 15}, UNLIKE, {})
    assert [group.label for group in groups_of(beside)] == ["epochs 15", "epochs 100", "epochs 100 and 15"]
    assert "epochs" not in titled("Paths", beside)
    assert describe_all(["epochs", "lr", *UNLIKE], [100, 0.1, *UNLIKE.values()]) == ["lr 0.1", "epochs 100 and 15"]


def test_groups_come_in_the_order_of_their_numbers() -> None:
    widths = [{"model": f"mlp_l1_w{width}", "lr": lr} for width in (16, 4, 256) for lr in (0.1, 0.01)]
    labels = [group.label.split(", ") for group in groups_of(walked(*widths))]
    assert labels == [[f"mlp_l1_w{width}", f"lr {lr}"] for width in (4, 16, 256) for lr in (0.01, 0.1)]


def test_figures_draw_aligned_and_plain_paths_of_a_pair_apart() -> None:
    table = walked({}, ALIGNED)
    table["pair"] = [f"pair {i % len(SEEDS)}" for i in range(len(table))]
    for draw in (plots.barrier_by_model, plots.angle_of_connected):
        figure = draw(table)
        text = " ".join(label.get_text() for panel in figure.axes for label in panel.get_yticklabels())
        assert "aligned by weights (n = 3 seeds" in text
        assert "not aligned (n = 3 seeds" in text
        plt.close(figure)


@pytest.mark.parametrize("conclude", [conclusions.pairs_and_paths, conclusions.similarity])
def test_a_conclusion_from_one_seed_names_the_command_of_another_of_its_own_condition(
    conclude: Callable[[pd.DataFrame], str],
) -> None:
    settings = {"dataset": "moons", "model": "mlp_l1_w8", "epochs": 15, "lr": 0.01, "shift": "label_2080"}
    table = paths(NOTHING | settings | {"normalization": "unit"}, seeds=(1,))
    command = re.search("needed: `(mlflow run [^`]*)`", conclude(table)).group(1)
    words = shlex.split(command)
    given = [f"--{words[i + 1]}" for i, word in enumerate(words) if word == "-P"]
    config = parse_flags("train_pair", COMMANDS["train_pair"].config, given)
    assert (config.data.dataset, config.data.shift, config.data.normalization) == ("moons", "label_2080", "unit")
    assert (config.model.model, config.optimization.epochs, config.optimization.lr) == ("mlp_l1_w8", 15, 0.01)
    assert config.model.seed == 20


def test_networks_are_compared_in_all_settings_but_their_seeds() -> None:
    known = pd.DataFrame(
        {
            "side": ["A", "B", "A", "A", "A"],
            "seed": [1, 2, 3, 4, 5],
            "epochs": [100, 100, 15, 100, 100],
            "lr": [0.1, 0.1, 0.001, 0.1, 0.1],
            "made_by": [*["train_pair"] * 3, "prune", "prune"],
        },
        index=list("abcde"),
    )
    found = mixtures([["a", "b"], ["a", "c"], ["a", "d"], ["d", "e"], ["a", "gone"], []], known)
    assert found.to_numpy().tolist() == [
        ["", ""],
        ["epochs,lr", "epochs 100 and 15, lr 0.1 and 0.001"],
        ["made_by", "made by train_pair and prune"],
        ["", "made by prune"],
        ["", ""],
        ["", ""],
    ]


def test_a_logged_path_knows_that_its_ends_differ(store: MlflowClient) -> None:
    quick = ["--model=mlp_l1_w8", "--device=cpu", "--threads=1", "--c2st_samples=0"]
    for epochs in (1, 2):
        assert train_pair([*quick, f"--epochs={epochs}", f"--seed={epochs}"]) == 0
    a = [r.info.run_id for r in runs_of_kind(store, "endpoint") if r.data.tags["lmc.side"] == "A"]
    pair = runs_of_kind(store, "pair")[0].info.run_id
    here = ["--num_alphas=3", "--device=cpu", "--threads=1"]
    assert interpolate([f"--run_a={a[0]}", f"--run_b={a[1]}", *here]) == 0
    assert interpolate([f"--pair={pair}", *here]) == 0
    assert interpolate([f"--run_a={a[0]}", f"--run_b={a[1]}", "--align=weights", *here]) == 0
    found = query.paths()
    assert found["mixture"].tolist() == ["epochs 1 and 2", "", "epochs 1 and 2"]
    assert found["mixture_of"].tolist() == ["epochs", "", "epochs"]
    assert query.path_curves(found, unaligned=True)["align"].unique().tolist() == ["none"]


def test_a_path_that_was_measured_again_counts_once_as_it_was_measured_last() -> None:
    one = {"run_a": "a", "run_b": "b", "align": "none", "bn": "interpolate"}
    rows = [
        one | {"run_id": "new", "start_time": 2},
        one | {"run_id": "old", "start_time": 1},
        one | {"run_id": "aligned", "align": "weights", "start_time": 1},
        one | {"run_id": "other", "run_b": "c", "start_time": 1},
    ]
    assert list(measured_last(pd.DataFrame(rows))["run_id"]) == ["new", "aligned", "other"]
    again = walked({"run_a": "a", "run_b": "b", "start_time": 1})
    assert "1 of 1 paths connected" in conclusions.pairs_and_paths(again)
    assert [one.connected_text for one in path_conditions(again.assign(run_id=["1", "2", "3"]))] == ["1 of 1 connected"]
