"""Commands print aligned tables, colours on terminals alone, and hints that work where they are printed."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient

from entry_points.interpolate import main as interpolate
from entry_points.train_pair import main as train_pair
from lmc_mlflow.config.canonical import fingerprint, to_params
from lmc_mlflow.config.commands import InterpolateConfig, TrainPairConfig
from lmc_mlflow.config.path import EndsConfig, PathConfig
from lmc_mlflow.config.runtime import TerminalConfig
from lmc_mlflow.paths.barriers import PathSummary
from lmc_mlflow.terminal.hints import launcher_words, next_command
from lmc_mlflow.terminal.streams import PatientStream, patient_streams, say
from lmc_mlflow.terminal.style import paint, strip_paint, table
from lmc_mlflow.workflows.path.lines import path_lines
from lmc_mlflow.workflows.path.log_paths import PathOutcome
from lmc_mlflow.workflows.path.names import path_run_name
from lmc_mlflow.workflows.path.verdicts import deciding_error, deciding_number

HERE = ["--device=cpu", "--threads=1"]


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def test_columns_are_as_wide_as_their_widest_cell_and_paint_takes_no_room() -> None:
    lines = table(["side", "loss"], [["A", paint("0.5", "red")], ["both sides", "12.25"]])
    assert [strip_paint(line) for line in lines] == [
        "  side         loss",
        "  A             0.5",
        "  both sides  12.25",
    ]


@pytest.mark.parametrize(
    ("stream", "settings", "expected"),
    [
        (Terminal(), {}, "\x1b[32myes\x1b[0m\n"),
        (Terminal(), {"NO_COLOR": "1"}, "yes\n"),
        (Terminal(), {"TERM": "dumb"}, "yes\n"),
        (io.StringIO(), {}, "yes\n"),
    ],
)
def test_a_terminal_gets_colours_and_a_pipe_gets_none(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, settings: dict[str, str], expected: str
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", stream)
    say(paint("yes", "green"))
    assert stream.getvalue() == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python /venv/bin/mlflow run . -e train_pair -P epochs=3", "mlflow run ."),
        (
            "mlflow run --env-manager local /here/lmc --experiment-name mine -P seed=1 --run-name x",
            "mlflow run /here/lmc --env-manager local --experiment-name mine",
        ),
        (
            "python -m mlflow run git@host:lmc.git -v main --env-manager=uv",
            "mlflow run git@host:lmc.git -v main --env-manager=uv",
        ),
        ("mlflow --env-file settings run . --build-image -e star", "mlflow run ."),
        ("mlflow server --port 5000", None),
        ("bash -c run", None),
    ],
)
def test_a_next_command_repeats_what_matters_of_mlflow_run(line: str, expected: str | None) -> None:
    words = launcher_words(shlex.split(line))
    assert (None if words is None else shlex.join(words)) == expected


def test_a_next_command_names_store_and_experiment_where_the_environment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///my store.db")
    told = next_command("interpolate", pair="abc")
    assert told.startswith("MLFLOW_TRACKING_URI='sqlite:///my store.db' ")
    assert told.endswith("-m entry_points.interpolate --pair abc")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert "MLFLOW_EXPERIMENT_NAME=mine " in next_command("interpolate", pair="abc")


def test_a_closed_pipe_takes_everything_and_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        stream = PatientStream(pipe)
        for _ in range(3):
            assert stream.write("x" * 100_000) == 100_000
            stream.flush()


def test_streams_are_as_before_after_the_block_and_a_quiet_one_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with patient_streams(quiet=True):
        assert not sys.stderr.isatty()
    assert sys.stderr is terminal
    with patient_streams():
        assert sys.stderr.isatty()


def test_quiet_is_no_param_and_no_part_of_a_fingerprint() -> None:
    quiet = TrainPairConfig(terminal=TerminalConfig(quiet=True))
    assert to_params(quiet) == to_params(TrainPairConfig())
    assert fingerprint(quiet) == fingerprint(TrainPairConfig())


def summary(**numbers: float) -> PathSummary:
    zeros = dict.fromkeys(PathSummary.__dataclass_fields__, 0.0)
    return PathSummary(**{**zeros, **numbers})


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"test": {}}, "test barrier in basin 0.0000, threshold 0.1"),
        ({"test": {"accuracy_delta": -0.07}}, "test accuracy delta -7.00%, threshold -6%"),
        ({"train_a": {"barrier_in_basin": 0.3}, "test": {}}, "train_a barrier in basin 0.3000, threshold 0.1"),
        (
            {"train_a": {"barrier_in_basin": 0.3}, "test": {"barrier_in_basin": 0.2}},
            "test barrier in basin 0.2000, threshold 0.1",
        ),
        ({"test": {"barrier_in_basin": float("nan")}}, "test barrier in basin nan, threshold 0.1"),
    ],
)
def test_the_split_and_the_number_that_decide_are_named(splits: dict[str, dict[str, float]], expected: str) -> None:
    found = {split: summary(**numbers) for split, numbers in splits.items()}
    assert deciding_number(found, PathConfig(), "accuracy") == expected


def test_a_pair_and_its_path_print_their_numbers_and_one_next_step_that_works(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert train_pair([*QUICK, "--c2st_samples=50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (pair,) = runs_of_kind(store, "pair")
    assert lines[1].split() == ["test", "accuracy", "test", "loss", "training", "loss", "run"]
    for line, run in zip(lines[2:4], runs_of_kind(store, "endpoint"), strict=True):
        shown = run.data.metrics
        assert f"{shown['test/accuracy']:.2%}  " in line
        assert f"  {shown['test/loss']:.4f}  " in line
    assert lines[4].startswith("  Labels diverge by ")
    assert [line for line in lines if line.startswith("next: ")] == ["next: measure the path between its two networks"]
    step = lines[lines.index("next: measure the path between its two networks") + 1]
    assert step.endswith(f"-m entry_points.interpolate --pair {pair.info.run_id}")
    typed = subprocess.run(
        f"{step.strip()} --num_alphas=3 --num_resamples=0 --device=cpu --quiet=true",
        shell=True, cwd=tmp_path, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    (path,) = runs_of_kind(store, "path")
    assert (
        typed.stdout == f"path {path.info.run_id}: {path.info.run_name}, connected: {path.data.tags['lmc.connected']}\n"
    )
    assert typed.stderr == ""
    assert interpolate([f"--pair={pair.info.run_id}", "--num_alphas=3", *HERE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"  connected: {path.data.tags['lmc.connected']} (")
    assert [line.split()[0] for line in lines[5:8]] == ["test", "train_a", "train_b"]
    assert f"{path.data.metrics['test/barrier']:.4f} (" in lines[5]


@pytest.mark.parametrize("closed", ["| true", ">&-", "2>&1 | true"])
def test_a_pipe_that_closes_early_leaves_no_run_running(store: MlflowClient, closed: str) -> None:
    words = shlex.join([sys.executable, "-m", "entry_points.train_pair", *QUICK])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} {closed}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {run.info.status for run in store.search_runs(["0"])} == {"FINISHED"}


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"test": 0.01, "train_a": 0.0}, "test error barrier 0.0100, threshold 0.02"),
        ({"train_a": 0.0, "test": 0.05}, "test error barrier 0.0500, threshold 0.02"),
        ({"test": 0.01, "train_a": 0.03, "train_b": 0.04}, "train_a error barrier 0.0300, threshold 0.02"),
        ({"test": float("nan"), "train_a": 0.03}, "test error barrier nan, threshold 0.02"),
    ],
)
def test_the_error_that_decides_is_told_with_its_threshold(errors: dict[str, float], said: str) -> None:
    assert deciding_error(errors, 0.02) == said


def test_the_name_of_a_path_says_that_an_end_was_aligned() -> None:
    config = InterpolateConfig(EndsConfig(run_a="a", run_b="b"))
    kinds = ("endpoint", "alignment")
    ends = [
        SimpleNamespace(
            config=TrainPairConfig(), side="A", run=SimpleNamespace(data=SimpleNamespace(tags={"lmc.kind": kind}))
        )
        for kind in kinds
    ]
    assert path_run_name((ends[0], ends[1]), config).startswith("s1 A-A aligned e100")  # type: ignore[arg-type]
    assert path_run_name((ends[0], ends[0]), config).startswith("s1 A-A e100")  # type: ignore[arg-type]


def test_the_step_after_a_path_with_a_barrier_is_its_diagnosis() -> None:
    metrics = {"test/barrier": 1.0, "test/accuracy_delta": -0.2, "angle_deg": 90.0, "angle_reference_deg": 90.0}
    metrics |= dict.fromkeys(("test/barrier_in_basin", "test/error_barrier"), 1.0)
    for connected, pair, step in (
        ("no", "pair1", "diagnose pair=pair1"),
        ("apparent", "", "diagnose run_a=run1 run_b=run2"),
        ("yes", "pair1", "ensemble pair=pair1"),
        ("yes", "", "report"),
    ):
        decided = (connected, "no", "", "", "", pair, "run1", "run2")
        lines = path_lines(PathOutcome("path1", "s1 A-B", "measured", metrics, "0", *decided))
        step_line = lines[next(i for i, line in enumerate(lines) if line.startswith("next: ")) + 1]
        words = strip_paint(step_line).replace("--", "").replace("=", " ")
        assert words.endswith(step.replace("=", " ")), step_line
