"""The console script `lmc`: its words, its help, its completion, and the commands that it prints."""

import argparse
import subprocess
import sys

import pytest
from conftest import QUICK, runs_of_kind
from mlflow import MlflowClient

from entry_points.command import catalogues
from entry_points.lmc import main
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import flag_parser
from lmc_mlflow.terminal import hints, script


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["shift=label_2080"], ["--shift=label_2080"]),
        (["--shift", "label_2080", "epochs=3"], ["--shift", "label_2080", "--epochs=3"]),
        (["--override", "epochs=1"], ["--override", "epochs=1"]),
        (["--override=epochs=1", "only=seed=1"], ["--override=epochs=1", "--only=seed=1"]),
        (['query=tags."lmc.side" = "A"'], ['--query=tags."lmc.side" = "A"']),
        (["--help"], ["--help"]),
        (["stray"], ["stray"]),
    ],
)
def test_name_value_means_a_flag_but_a_value_of_a_flag_stays(words: list[str], flags: list[str]) -> None:
    assert script.split_words(["train_pair", *words]) == ("train_pair", flags)


def test_the_script_trains_and_measures_by_either_form(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train_pair", "shift=label_2080", *QUICK]) == 0
    (pair,) = runs_of_kind(store, "pair")
    assert main(["interpolate", "--pair", pair.info.run_id, "num_alphas=3", "device=cpu"]) == 0
    assert len(runs_of_kind(store, "path")) == 1


def test_a_wrong_word_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian_pair"]) == 1
    assert capsys.readouterr().err.startswith("lmc: command 'trian_pair' is unknown (did you mean 'train_pair'?)")
    assert main(["train_pair", "shfit=label_2080"]) == 1
    assert "did you mean '--shift'" in capsys.readouterr().err


def test_help_lists_every_command_once_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert text.count(f"\n  {name} ") == 1
        assert command.description in text
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("lmc ")


def test_commands_are_printed_as_the_script_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/lmc", "train_pair"])
    for name in hints.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert hints.next_command("interpolate", pair="abc") == "lmc interpolate pair=abc"
    assert hints.retyped("see `mlflow run . --env-manager local -e report`") == "see `lmc report`"
    assert hints.retyped("mlflow run . --env-manager local -e star -P sources=a,b") == "lmc star sources=a,b"
    assert flag_parser("plane", COMMANDS["plane"].config, prog=hints.how_started("plane")).prog == "lmc plane"


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("eng", ["engine="]),
        ("engine=", ["engine=exact", "engine=fast"]),
        ("engine=f", ["engine=fast"]),
        ("force=t", ["force=true"]),
        ("dataset=dig", ["dataset=digits"]),
        ("model=resnet1", ["model=resnet10", "model=resnet10_s222"]),
        ("nothing=", []),
    ],
)
def test_options_and_their_choices_complete(prefix: str, found: list[str]) -> None:
    given = argparse.Namespace(command="train_pair")
    assert list(script.completions(catalogues(), prefix, given)) == found


def test_a_shell_that_asks_gets_words_and_no_command_runs() -> None:
    line = "lmc train_pair engine=f"
    code = "import os; os.dup2(1, 8); from entry_points.lmc import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            "PYTHONPATH": ":".join(sys.path),
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_SHELL": "bash",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        },
    )
    assert found.stdout.strip() in ("engine=fast", "fast")
