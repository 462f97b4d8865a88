"""Commands that a conclusion proposes name the runs and settings of the store, and are accepted."""

import re
import shlex

import pandas as pd
import pytest

from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.findings import conclusions
from lmc_mlflow.findings.next_command import aligned_path, another_value, ensemble_of_seeds
from lmc_mlflow.terminal.hints import retyped

CONDITION = {"dataset": "digits", "model": "mlp_l1_w64", "shift": "label_2080", "epochs": 50, "batch_size": 64}
A, B, C = ("a" * 32, "b" * 32, "c" * 32)


def parsed(command: str):
    words = shlex.split(command)
    name = words[words.index("-e") + 1]
    return parse_flags(name, COMMANDS[name].config, [f"--{words[i + 1]}" for i, w in enumerate(words) if w == "-P"])


def test_another_value_keeps_the_other_settings() -> None:
    config = parsed(another_value(pd.DataFrame([CONDITION]), "batch_size", 256))
    assert (config.optimization.batch_size, config.optimization.epochs) == (256, 50)
    assert config.together.seeds == (1, 20)


def test_the_path_to_align_joins_two_initializations_and_is_not_aligned_yet() -> None:
    path = {"align": "none", "same_initialization": False}
    paths = pd.DataFrame(
        [
            path | {"run_a": A, "run_b": B, "same_initialization": True},
            path | {"run_a": A, "run_b": C},
            path | {"run_a": C, "run_b": A, "align": "weights"},
            path | {"run_a": B, "run_b": C},
        ]
    )
    config = parsed(aligned_path(paths))
    assert (config.ends.run_a, config.ends.run_b, config.aligning.align) == (B, C, "weights")
    assert "<run id>" in aligned_path(paths.iloc[:3])


def test_the_ensemble_of_seeds_asks_for_one_condition() -> None:
    config = parsed(ensemble_of_seeds(pd.DataFrame([CONDITION])))
    expected = 'tags."lmc.side" = "A" and tags."lmc.dataset" = "digits" and tags."lmc.model" = "mlp_l1_w64"'
    assert config.members.query == f'{expected} and tags."lmc.shift" = "label_2080"'
    text = conclusions.ensembles(
        pd.DataFrame([CONDITION | {"sampling": "lmc", "num_members": 5, "mean_prediction_accuracy": 0.9}])
    )
    assert "ensembles of one kind only, lmc: `mlflow run" in text


def test_a_zoo_without_alignment_names_its_networks() -> None:
    row = {"run_id": "m", "dataset": "moons", "model": "mlp_l1_w8", "shift": "none", "bn": "interpolate"}
    row |= {"split": "test", "align": "none", "constant": False, "mean_barrier": 0.1}
    pairs = pd.DataFrame(
        [row | {"run_a": A, "run_b": B, "connected": True, "good_average": True, "barrier_over_chord": 0.0}]
    )
    networks = pd.DataFrame([row | {"network": name} for name in (A, B)])
    (command,) = set(re.findall(r"`(mlflow run [^`]*-P align=weights)`", conclusions.model_zoo(pairs, networks)))
    config = parsed(command)
    assert (config.surveyed.runs, config.pairwise.align) == ((A, B), "weights")


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        (
            "make it: mlflow run . --env-manager local -e prepare_data -P data_root=/x/y -P bands=B02,B08",
            "make it: python -m entry_points.prepare_data --data_root /x/y --bands B02,B08",
        ),
        (
            '`mlflow run . --env-manager local -e ensemble -P query=\'tags."lmc.side" = "A"\'`, then more',
            '`python -m entry_points.ensemble --query \'tags."lmc.side" = "A"\'`, then more',
        ),
        (
            "mlflow run . --env-manager local -e interpolate -P pair=<pair run id>",
            "python -m entry_points.interpolate --pair '<pair run id>'",
        ),
    ],
)
def test_commands_in_messages_are_typed_as_the_present_one_was(
    monkeypatch: pytest.MonkeyPatch, written: str, typed: str
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    assert retyped(written).replace("python3 ", "python ") == typed
