"""The table of the zoos counts networks and compares them with the printed values."""

from typing import Any

import pandas as pd
import pytest
from paper_frames import SETTINGS, frames, runs

from lmc_mlflow.findings.condition_table import Frames, prepare
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
