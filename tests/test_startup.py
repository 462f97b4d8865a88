"""Tests that a command answers `--help` and a misspelt flag without loading what only its work needs."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import QUICK, ROOT, runs_of_kind
from mlflow import MlflowClient

from entry_points.train_pair import main as train_pair
from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.commands import COMMANDS, GROUPS
from lmc_mlflow.data.datasets import DATASETS
from lmc_mlflow.data.shifts.registry import SHIFTS
from lmc_mlflow.models.families import MODEL_FORMS
from lmc_mlflow.seeds import set_determinism

HEAVY = {
    "PIL",
    "lmdb",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "rasterio",
    "ray",
    "requests",
    "safetensors",
    "scipy",
    "seaborn",
    "sklearn",
    "sqlalchemy",
    "timm",
    "torch",
    "torchvision",
    "transformers",
}
TABLES_NEED = {"numpy", "PIL"}
"""What the tables of data sets and shifts load, a third of a second: help lists their names."""
TYPED = {
    name: next((p.name for p in parameters(row.config).values() if p.kind in (bool, int, float)), None)
    for name, row in COMMANDS.items()
}
"""Command -> an option of it whose value is more than a text."""
CHANGES = ("clear", "pop", "popitem", "setdefault", "update")
WRITERS = {
    "lmc_mlflow.seeds": "cuBLAS's workspace has no other switch",
    "lmc_mlflow.workers": "a worker's process is its own, and Ray reads a setting as it is imported",
    "lmc_mlflow.tracking.launcher_run": "the run of `mlflow run` is taken once",
    "lmc_mlflow.tracking.connection.client": "MLflow's number of retries has no other switch; it is restored",
}


def modules_after(code: str, *argv: str) -> tuple[set[str], int, str]:
    """Run code in a fresh process; the modules it has then, its exit status and what it printed as errors."""
    program = (
        "import sys\n"
        f"sys.argv[1:] = {list(argv)!r}\n"
        f"try:\n    {code}\n    status = 0\n"
        "except SystemExit as end:\n    status = end.code\n"
        "sys.stdout.write('\\nmodules: ' + ' '.join(sys.modules))\n"
        "sys.exit(status)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert "\nmodules: " in done.stdout, done.stderr
    return set(done.stdout.rpartition("\nmodules: ")[2].split()), done.returncode, done.stderr


def heavy_after(name: str, *flags: str) -> tuple[set[str], int, str]:
    """Start a command as `python -m` does; the heavy packages it has loaded, its exit status and its errors."""
    code = f"import runpy; runpy.run_module('entry_points.{name}', run_name='__main__')"
    modules, status, errors = modules_after(code, *flags)
    assert "lmc_mlflow.config.commands" in modules
    return modules & HEAVY, status, errors


@pytest.mark.parametrize("package", ["lmc_mlflow", "lmc_mlflow.config.commands"])
def test_importing_the_package_and_its_table_of_commands_loads_nothing_heavy(package: str) -> None:
    modules, status, _ = modules_after(f"import {package}")
    assert status == 0
    assert package in modules
    assert modules & HEAVY == set()


def test_what_one_command_prints_loads_no_other_command_s_workflow() -> None:
    modules, _, _ = modules_after("import lmc_mlflow.workflows.pair.lines")
    assert "lmc_mlflow.workflows.pair.pair_outcome" in modules
    others = ("star", "matrix", "plane", "ensemble", "prune", "trajectory", "report", "alignment", "bundle")
    rooms = ("lmc_mlflow.sweeps", *(f"lmc_mlflow.workflows.{room}." for room in others))
    assert [name for name in modules if name.startswith(rooms)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loads_nothing_heavy(name: str) -> None:
    heavy, status, errors = heavy_after(name, "--help")
    assert (heavy - TABLES_NEED, status, errors) == (set(), 0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misspelt_flag_is_refused_in_one_line_before_anything_heavy_is_loaded(name: str) -> None:
    heavy, status, errors = heavy_after(name, "--nonsens", "1")
    assert (heavy, status) == (set(), 1)
    assert errors.startswith(f"{name}: flag '--nonsens' is unknown")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(("name", "option"), [(name, option) for name, option in TYPED.items() if option])
def test_a_misspelt_value_is_refused_in_one_line_before_anything_heavy_is_loaded(name: str, option: str) -> None:
    heavy, status, errors = heavy_after(name, f"--{option}", "nonsens")
    assert (heavy, status) == (set(), 1)
    assert errors.startswith(f"{name}: {option}='nonsens': give ")
    assert errors.count("\n") == 1


def test_a_misspelt_choice_is_refused_before_anything_heavy_is_loaded() -> None:
    heavy, status, errors = heavy_after("train_pair", "--noise=sam")
    assert (heavy, status) == (set(), 1)
    assert errors == "train_pair: noise 'sam' is unknown (did you mean 'same'?); choose from different, same\n"


def test_without_flags_a_command_that_needs_some_says_so_before_anything_heavy_is_loaded() -> None:
    assert heavy_after("import") == (set(), 1, "import: bundles: name at least one, as in bundles=runs.zip\n")


@pytest.mark.slow
def test_the_run_that_mlflow_run_opened_for_a_misspelt_flag_ends_failed(store: MlflowClient) -> None:
    launched = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"]
    done = subprocess.run(
        [*launched, "-e", "train_pair", "-P", "shfit=label_2080"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "flag '--shfit' is unknown (did you mean '--shift'?)" in done.stderr
    assert [run.info.status for run in store.search_runs(["0"])] == ["FAILED"]


def test_a_command_that_trains_nothing_leaves_the_compiler_alone(store: MlflowClient) -> None:
    assert train_pair([*QUICK, "--epochs=1"]) == 0
    (pair,) = runs_of_kind(store, "pair")
    code = "from entry_points.interpolate import main; status = main(sys.argv[1:]); assert status == 0"
    modules, status, errors = modules_after(code, f"--pair={pair.info.run_id}", "--num_alphas=3", *QUICK[2:4])
    assert status == 0, errors
    assert "torch" in modules
    assert "torch._inductor" not in modules


@pytest.mark.parametrize("before", ["default", "warn", "error"])
@pytest.mark.parametrize(("deterministic", "after"), [(True, 2), (False, 0)])
def test_determinism_is_what_was_asked_for_whatever_it_was(
    monkeypatch: pytest.MonkeyPatch, before: str, deterministic: bool, after: int
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    usual = torch.get_deterministic_debug_mode()
    try:
        torch.set_deterministic_debug_mode(before)
        set_determinism(deterministic)
        assert torch.get_deterministic_debug_mode() == after
    finally:
        torch.set_deterministic_debug_mode(usual)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_entry_point_works_with_the_configuration_of_its_row(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module = importlib.import_module(f"entry_points.{name}")
    assert inspect.signature(module.work).parameters["config"].annotation is COMMANDS[name].config
    monkeypatch.setattr(module, "run_command", lambda *given: given)
    assert module.main(["--flag=1"]) == (name, module.work, ["--flag=1"])


def test_every_command_is_described_in_one_line_and_has_a_group() -> None:
    assert {row.group for row in COMMANDS.values()} == set(GROUPS)
    for row in COMMANDS.values():
        assert row.description[0].isupper()
        assert row.description.endswith(".")
        assert "\n" not in row.description


def test_help_lists_every_data_set_shift_and_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train_pair(["--help"]) == 0
    text = capsys.readouterr().out
    for name in (*DATASETS, *(family.form for family in SHIFTS.values()), *MODEL_FORMS):
        assert name in text


ALLOWED = ("lmc_mlflow.config.", "lmc_mlflow.contract", "lmc_mlflow.own_code")


@pytest.mark.parametrize("path", sorted(ROOT.glob("lmc_mlflow/config/*.py")), ids=lambda path: path.stem)
def test_configurations_import_nothing_of_the_project_but_what_is_allowed(
    path: Path,
) -> None:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node.module for node in nodes if node.module is not None and node.module.startswith("lmc_mlflow")]
    assert [name for name in ours if not name.startswith(ALLOWED)] == []


def is_environment(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def writes_environment(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and is_environment(node.value) and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.Attribute) and is_environment(node.value) and node.attr in CHANGES:
            return True
        if isinstance(node, ast.Attribute) and node.attr in ("putenv", "unsetenv"):
            return True
    return False


@pytest.mark.parametrize(
    ("line", "writes"),
    [
        ("os.environ['A'] = '1'", True),
        ("del os.environ['A']", True),
        ("os.environ.setdefault('A', '1')", True),
        ("os.putenv('A', '1')", True),
        ("os.environ['A']", False),
        ("os.environ.get('A')", False),
    ],
)
def test_a_line_that_writes_the_environment_is_recognized(line: str, writes: bool) -> None:
    assert writes_environment(ast.parse(line)) == writes


def modules_that_write_the_environment(paths: Sequence[Path]) -> list[str]:
    writing = [path for path in paths if writes_environment(ast.parse(path.read_text()))]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in writing]


def test_the_library_writes_the_environment_only_where_nothing_else_is_listened_to() -> None:
    found = modules_that_write_the_environment(sorted(ROOT.glob("lmc_mlflow/**/*.py")))
    assert [module for module in found if not module.startswith(tuple(WRITERS))] == []
