"""The table of the slides counts networks correctly and compares them with the printed values."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from paper_frames import SETTINGS, frames, runs

from lmc_mlflow.findings.condition_table import Frames, prepare
from lmc_mlflow.papers.permutation.init_table import init_table
from lmc_mlflow.papers.permutation.reduced_table import reduced_table
from lmc_mlflow.papers.permutation.zoo_table import zoo_table

NETWORK = SETTINGS | {"shift": "none", "init": "different", "dataset": "moons", "model": "mlp_l1_w8", "seed": 1}


def store_of(*rows: dict[str, Any]) -> Frames:
    ends = runs(NETWORK | {"test/loss": 0.124, "test/accuracy": 0.941}, *rows)
    none = frames()
    return prepare(Frames(none.pairs, ends, none.paths, none.ensembles), {})


def row(table: pd.DataFrame, width: int, measure: str) -> Any:
    return table[(table["dataset"] == "moons") & (table["width"] == width) & (table["measure"] == measure)].iloc[0]


def test_both_sides_of_a_pair_are_two_networks() -> None:
    table = zoo_table(store_of({"side": "A", "test/loss": 0.1}, {"side": "B", "test/loss": 0.2}), 2)
    assert len(table) == 2 * 2 * 9
    found = row(table, 8, "test loss")
    assert (found["networks"], found["mean"], found["printed_mean"]) == (2, pytest.approx(0.15), 0.124)
    assert (found["mark"], found["command"]) == ("agrees", "")
    assert found["run_ids"] == "run000 run001"
    assert "grid=moons_zoo" in row(table, 16, "test loss")["command"]


def test_the_condition_with_most_networks_counts_and_shifted_or_shared_starts_do_not() -> None:
    rows = [{"epochs": 100}, {"epochs": 100}, {"epochs": 5, "test/loss": 9.0}]
    rows += [{"shift": "label_5050", "test/loss": 9.0}, {"init": "same", "test/loss": 9.0}]
    found = row(zoo_table(store_of(*rows), 2), 8, "test loss")
    assert (found["networks"], found["mean"]) == (2, pytest.approx(0.124))
    assert found["condition"].startswith("100 epochs")


def test_far_off_values_differ_and_few_networks_are_no_data() -> None:
    rows = [{"test/accuracy": 0.5}, {"test/accuracy": 0.51}]
    assert row(zoo_table(store_of(*rows), 2), 8, "test accuracy")["mark"] == "differs"
    assert row(zoo_table(store_of(*rows), 3), 8, "test accuracy")["mark"] == "no data yet"
    assert set(zoo_table(frames(), 2)["mark"]) == {"no data yet"}


PRUNED = NETWORK | {"merge_cosine": 0.95, "merge_to": "strongest", "drop_below": 0.01, "drop_dead": True}
PRUNED |= {"units/layer_1": 7.0, "test/loss": 0.148, "test/accuracy": 0.934}


def pruned(*rows: dict[str, Any]) -> Frames:
    found = runs(PRUNED, *rows)
    endpoints = [row.get("endpoint", f"network {number}") for number, row in enumerate(rows)]
    return prepare(replace(frames(), pruned=found.assign(endpoint=endpoints)), {})


def test_reduced_widths_stand_beside_the_printed_ones() -> None:
    table = reduced_table(pruned({}, {"units/layer_1": 8.0}), 2)
    assert len(table) == 3 * 9
    found = {line["measure"]: line for line in table[table["width_before"] == 8].to_dict("records")}
    width = found["width"]
    assert (width["networks"], width["mean"], width["printed_mean"], width["printed_sd"]) == (2, 7.5, 7.18, 0.865)
    assert (width["mark"], width["rules"], width["command"]) == ("agrees", "default", "")
    assert found["test loss"]["mark"] == found["test accuracy"]["mark"] == "agrees"
    other = table[table["width_before"] == 16].iloc[0]
    assert (other["networks"], other["mark"]) == (0, "no data yet")
    assert "grid=moons_zoo -P only=model=mlp_l1_w16 && " in other["command"]
    assert 'e prune -P query=\'tags."lmc.model" = "mlp_l1_w16"\'' in other["command"]
    assert set(reduced_table(frames(), 2)["mark"]) == {"no data yet"}


def test_networks_pruned_by_other_rules_are_not_pooled_and_none_counts_twice() -> None:
    strict = {"merge_cosine": 0.99, "units/layer_1": 3.0}
    table = reduced_table(pruned(strict, strict | {"units/layer_1": 4.0}, strict, {}, {}), 2)
    first = table[table["width_before"] == 8].iloc[0]
    assert (first["networks"], first["rules"], first["mark"]) == (3, "merge_cosine 0.99", "differs")
    again = reduced_table(pruned({"endpoint": "a"}, {"endpoint": "a", "place": "front"}, {"endpoint": "b"}), 2)
    assert again[again["width_before"] == 8].iloc[0]["networks"] == 2


def test_initialization_times_optimizer_is_a_table() -> None:
    usual = {"model": "mlp_l1_w512", "weights_init": "normal", "optimizer": "adamw"}
    rows = [usual, usual | {"test/accuracy": 0.951}, usual | {"optimizer": "sgd"}, usual | {"weights_init": "default"}]
    table = init_table(store_of(*rows), 2).set_index(["weights_init", "optimizer"])
    assert len(table) == 2 * 3
    full = table.loc[("normal", "adamw")]
    assert (full["networks"], full["command"], full["run_ids"]) == (2, "", "run000 run001")
    assert full["test_accuracy"] == pytest.approx(0.946)
    assert full["test_accuracy_sd"] == pytest.approx(0.01 / 2**0.5)
    assert table.loc[("normal", "sgd"), "networks"] == 1
    assert "-P only=weights_init=uniform,optimizer=rmsprop" in table.loc[("uniform", "rmsprop"), "command"]
    assert table.loc[("normal", "sgd"), "command"].endswith("optimizer=sgd")
    assert init_table(frames(), 2)["networks"].sum() == 0
