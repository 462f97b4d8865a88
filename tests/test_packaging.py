"""The project's own files agree with each other: pyproject, conda.yaml, MLproject, README and docs."""

import importlib
import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from lmc_mlflow.config.alignment import METHOD_OPTIONS
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.flags import parse_flags
from lmc_mlflow.config.mlproject import render
from lmc_mlflow.config.path import BN_OF_OTHER_CODE, BN_POLICIES
from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.data.datasets import DATASETS
from lmc_mlflow.data.shifts.registry import SHIFTS
from lmc_mlflow.models.families import NETWORKS
from lmc_mlflow.paths.measures import MEASURES

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA = yaml.safe_load((ROOT / "conda.yaml").read_text())


def test_conda_and_pyproject_list_the_same_packages() -> None:
    pip = next(item["pip"] for item in CONDA["dependencies"] if isinstance(item, dict))
    assert pip == PYPROJECT["project"]["dependencies"]


def test_conda_yaml_never_names_the_project_itself() -> None:
    # MLflow keys environments by this text: with "." in it, a new commit would run the old code.
    assert not re.search(r"-\s+(-e\s+)?\.", (ROOT / "conda.yaml").read_text())


def test_conda_asks_for_a_python_the_project_takes() -> None:
    assert "python=3.11" in CONDA["dependencies"]
    assert PYPROJECT["project"]["requires-python"] == ">=3.11"


def test_every_floor_has_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = lines.index("dependencies = [")
    for line in lines[start + 1 : lines.index("]", start)]:
        assert re.search(r">=.*#\s*\w", line), line


def test_mlproject_is_what_the_configurations_say() -> None:
    assert (ROOT / "MLproject").read_text() == render(), "run `python -m lmc_mlflow.config.mlproject`"


def test_no_root_uv_lock() -> None:
    assert not (ROOT / "uv.lock").exists()  # it breaks MLflow's uv environment manager


def test_every_command_has_its_entry_point() -> None:
    found = {path.stem for path in ROOT.glob("entry_points/*.py")} - {"__init__", "command", "lmc"}
    assert found == set(COMMANDS)


def named_placeholders(line: str) -> str:
    """`<run id>,<run id>` -> `x0,x1`: each its own name."""
    numbers = itertools.count()
    return re.sub(r"<[^>]*>", lambda _: f"x{next(numbers)}", line)


def commands_in(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return re.findall(r"(?:mlflow run \.|python -m entry_points\.)[^`\n|&#]*", joined)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_command_in_the_documents_parses(path) -> None:
    for line in commands_in(path.read_text()):
        words = shlex.split(named_placeholders(line))
        if words[0] == "mlflow":
            name = words[words.index("-e") + 1] if "-e" in words else "main"
            flags = [f"--{words[i + 1]}" for i, word in enumerate(words) if word == "-P"]
        else:
            name, flags = words[2].removeprefix("entry_points."), words[3:]
        if "--help" not in flags and not name.startswith("x"):
            assert isinstance(parse_flags(name, COMMANDS[name].config, flags), COMMANDS[name].config)


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        assert f"`{name}`" in text, name


def test_the_documents_name_every_data_set_shift_and_network() -> None:
    text = (ROOT / "docs" / "choices.md").read_text()
    for name in [*DATASETS, *(family.form for family in SHIFTS.values()), *NETWORKS]:
        assert f"`{name}`" in text, name


@pytest.mark.parametrize(
    ("page", "names"), [("measures", [*MEASURES, *BN_POLICIES, *BN_OF_OTHER_CODE]), ("alignment", list(METHOD_OPTIONS))]
)
def test_the_documents_name_every_measure_batch_norm_policy_and_alignment_method(page: str, names: list[str]) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_readme_fits_two_screens_and_keeps_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 110
    assert "pip install -e . && mlflow run . --env-manager local -e train_pair -P shift=label_2080" in text
    assert "pip install -e '.[test]' && pytest" in text


def test_the_index_leads_to_every_page_and_every_command() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    for folder in (ROOT / "docs", ROOT / "docs" / "results"):
        index = (folder / "README.md").read_text()
        for page in folder.glob("*.md"):
            assert page.name == "README.md" or f"]({page.name}" in index, page
    assert "](results/README.md)" in text
    for name in COMMANDS:
        assert f"`-e {name}" in text, name


def test_the_contract_page_names_every_tag_and_kind_of_run() -> None:
    text = (ROOT / "docs" / "tracking.md").read_text()
    for table in (Tag, Kind):
        for name in [value for key, value in vars(table).items() if key.isupper()]:
            assert f"`{name}`" in text, name


def test_the_architecture_page_names_the_folders_that_there_are() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    tree = text[text.index("```\n") : text.index("entry_points/")]
    named, parents = set(), [""]
    for indent, folder in re.findall(r"^( *)(\w+)/(?=\s)", tree, re.MULTILINE):
        parents[len(indent) // 2 + 1 :] = [f"{parents[len(indent) // 2]}{folder}/"]
        named.add(parents[-1])
    there = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in ROOT.glob("lmc_mlflow/**/__init__.py")}
    assert named == there


def anchors_of(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_local_links_in_the_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", path.read_text()):
            if not target.startswith("http"):
                page = path.parent / target if target else path
                assert page.exists(), f"{path.name}: {target}"
                assert not anchor or anchor in anchors_of(page.read_text()), f"{path.name}: {target}#{anchor}"


def is_there(name: str) -> bool:
    """Whether `lmc_mlflow.a.b`, or `lmc_mlflow/a/b.py`, is a folder, a module, or a name in one."""
    parts = re.split(r"[./]", name.removesuffix(".py").rstrip("./"))
    for number in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:number])
        if path.is_dir() or path.with_suffix(".py").is_file():
            module = importlib.import_module(".".join(parts[:number]))
            return number == len(parts) or hasattr(module, parts[number])
    return False


def test_a_module_that_there_is_not_is_recognized() -> None:
    assert is_there("lmc_mlflow/seeds.py")
    assert is_there("lmc_mlflow.query.paths")
    assert not is_there("lmc_mlflow.interpolation")
    assert not is_there("lmc_mlflow/paths/stations.py")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_the_modules_that_the_documents_name_exist(path: Path) -> None:
    groups = re.compile(
        r"lmc_mlflow\.(models|datasets|shifts|measures)\b"
    )  # of entry points, held by tests/test_plugins.py
    text = groups.sub("", path.read_text()) if path.name == "bring-your-own.md" else path.read_text()
    if path.name in ("CONTRIBUTING.md", "architecture.md"):  # here paths begin below lmc_mlflow/
        below = re.findall(r"`((?:\w+/)+\w+\.py)`", text)
        text += " ".join(f"lmc_mlflow/{name}" for name in below if not (ROOT / name).exists())
    names = set(re.findall(r"lmc_mlflow[./][a-z_][\w./]*", text))
    assert [
        name for name in sorted(names) if not is_there(name) and not name.removesuffix(".py").endswith("clips")
    ] == []
