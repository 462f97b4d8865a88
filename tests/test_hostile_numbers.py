"""Numbers that no machine computes with, and values that no line can hold: each is refused before anything is made."""

import importlib
import json
import math

import pytest
from conftest import QUICK
from mlflow import MlflowClient

from entry_points.train_pair import main as train_pair
from lmc_mlflow import query
from lmc_mlflow.config.runtime import RuntimeConfig
from lmc_mlflow.errors import first_line, one_line, shortened
from lmc_mlflow.query.curves import _Table
from lmc_mlflow.schema import read_json, write_json
from lmc_mlflow.workflows.lifecycle.machine import prepare_machine

LARGEST_SEED = 2**64 - 1


@pytest.mark.parametrize(
    ("command", "flags", "reason"),
    [
        ("train_pair", "--lr=1e300", "lr: 1e+300 is more than 1e+30"),
        ("train_pair", "--weight_decay=1e31", "weight_decay: 1e+31 is more than 1e+30"),
        ("align", "--pair=x --method=sinkhorn --sinkhorn_lr=1e300", "sinkhorn_lr: 1e+300 is more than 1e+30"),
        ("train_pair", f"--seed={LARGEST_SEED + 1}", "seed: a number of 20 digits is more than 1.84467e+19"),
        ("train_pair", f"--noise_seed={10**30}", "noise_seed: a number of 31 digits is more than"),
        ("train_pair", "--threads=1000000", "threads=1000000: must be at most 1024"),
        ("ensemble", "--pair=x --num_resamples=1000000000", "num_resamples=1000000000: must be at most 100000"),
        ("interpolate", "--pair=x --num_resamples=1000000000", "num_resamples=1000000000: must be at most 100000"),
        ("ensemble", "--pair=x --num_orders=100000000", "num_orders=100000000: must be at most 10000"),
        ("train_pair", "--data_root=B\udce4r", r"data_root='B\udce4r': give it in UTF-8"),
        ("train_pair", "--model=" + "x" * 9000, "(9,0"),
        ("train_pair", "--lr=" + "x" * 9000, "give a number"),
        ("train_pair", "--seed=" + "9" * 9000, "give a whole number"),
        ("train_pair", f"--{'x' * 9000}=1", "(9,0"),
        ("repair", "--stale_minutes=1e300", "stale_minutes: 1e+300 is more than 1e+30"),
    ],
)
def test_what_no_machine_computes_with_is_refused_in_one_short_line(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], command: str, flags: str, reason: str
) -> None:
    assert importlib.import_module(f"entry_points.{command}").main(flags.split()) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert len(said) < 1200
    assert store.search_runs(["0"]) == []


def test_the_largest_seed_is_used_as_it_is(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--epochs=1", f"--seed={LARGEST_SEED}"]) == 0
    assert {run.data.tags["lmc.seed"] for run in store.search_runs(["0"])} == {str(LARGEST_SEED)}
    assert list(query.pairs()["seed"]) == [LARGEST_SEED]


def test_there_is_one_cpu() -> None:
    with pytest.raises(ValueError, match="device='cpu:99': choose auto, cpu"):
        prepare_machine(RuntimeConfig(device="cpu:99", threads=1))
    assert prepare_machine(RuntimeConfig(device="cpu:0", threads=1)).type == "cpu"


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert (
        one_line(ValueError(f"model {'x' * 9000} is\n unknown"))
        == f"model {'x' * 200}... (9,000 characters) is unknown"
    )
    words = one_line(ValueError("model " + "x " * 9000 + "is unknown; choose from a, b"))
    assert words.startswith("model x x")
    assert words.endswith("x x is unknown; choose from a, b")
    assert len(words) < 2100
    assert one_line(ValueError("a\n b")) == "a b"
    assert one_line(MemoryError()) == "MemoryError"
    assert shortened("short") == first_line(ValueError("short\nmore")) == "short"
    assert shortened("x" * 9000) == "x" * 200 + "... (9,000 characters)"


def test_json_has_null_where_there_is_no_number() -> None:
    written = write_json({"a": [1.0, math.nan, (math.inf, "nan")], "b": {"c": -math.inf, "d": None, "e": True}})
    assert json.loads(written, parse_constant=pytest.fail) == {
        "a": [1.0, None, [None, "nan"]],
        "b": {"c": None, "d": None, "e": True},
    }


def test_tables_of_earlier_versions_with_bare_nan_are_still_read() -> None:
    old = read_json(_Table, '{"columns": ["loss"], "data": [[NaN], [Infinity], [null], [1]]}')
    assert [str(row[0]) for row in old.data] == ["nan", "inf", "None", "1"]
