"""Does the house keep its floors? Imports point down, and each heavy dependency has one home."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = {
    "lmc_mlflow": 0,
    "lmc_mlflow.contract": 0,
    "lmc_mlflow.config": 0,
    "lmc_mlflow.seeds": 0,
    "lmc_mlflow.weights": 0,
    "lmc_mlflow.manifest": 0,
    "lmc_mlflow.batches": 0,
    "lmc_mlflow.parallel": 0,
    "lmc_mlflow.data": 1,
    "lmc_mlflow.models": 1,
    "lmc_mlflow.models.registry": 2,
    "lmc_mlflow.predictions": 1,
    "lmc_mlflow.evaluation": 1,
    "lmc_mlflow.normalization": 1,
    "lmc_mlflow.alignment": 1,
    "lmc_mlflow.tracking": 1,
    "lmc_mlflow.data.datasets": 2,
    "lmc_mlflow.data.loading": 3,
    "lmc_mlflow.paths": 2,
    "lmc_mlflow.training": 2,
    "lmc_mlflow.star": 3,
    "lmc_mlflow.query": 3,
    "lmc_mlflow.bundles": 3,
    "lmc_mlflow.findings": 4,
    "lmc_mlflow.plots": 5,
    "lmc_mlflow.papers": 5,
    "lmc_mlflow.workflows": 6,
    "lmc_mlflow.sweeps": 7,
    "entry_points": 8,
}
HOMES = {
    "mlflow": ("lmc_mlflow.tracking", "lmc_mlflow.query", "lmc_mlflow.bundles", "lmc_mlflow.findings.boundaries"),
    "torchvision": (
        "lmc_mlflow.data.readers.downloads",
        "lmc_mlflow.data.readers.imagefolder",
        "lmc_mlflow.data.shifts.corruptions",
    ),
    "PIL": ("lmc_mlflow.data.readers.imagefolder", "lmc_mlflow.data.shifts.corruptions"),
    "rasterio": ("lmc_mlflow.data.readers.bigearthnet",),
    "lmdb": ("lmc_mlflow.data.readers.bigearthnet",),
    "timm": ("lmc_mlflow.models.registry",),
    "sklearn": (
        "lmc_mlflow.data.readers.digits",
        "lmc_mlflow.data.readers.moons",
        "lmc_mlflow.data.shifts.two_sample",
        "lmc_mlflow.predictions",
    ),
    "seaborn": ("lmc_mlflow.plots",),
    "matplotlib": ("lmc_mlflow.plots", "lmc_mlflow.tracking.run"),
    "ray": ("lmc_mlflow.sweeps",),
    "scipy": ("lmc_mlflow.alignment", "lmc_mlflow.paths.graph"),
}
FILES = sorted([*ROOT.glob("lmc_mlflow/**/*.py"), *ROOT.glob("entry_points/*.py")])


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def floor_of(module: str) -> int | None:
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in FLOORS:
            return FLOORS[".".join(parts[:end])]
    return None


def room_of(module: str) -> list[str]:
    return module.split(".")[: 1 if module.startswith("entry_points") else 2]


def imports_of(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_only_point_down(path: Path) -> None:
    module = module_of(path)
    floor = floor_of(module)
    assert floor is not None, f"{module} stands on no floor; give it one"
    for imported in imports_of(path):
        other = floor_of(imported)
        if other is not None:
            # On one floor a room may use itself, and the ground floors' small rooms may use each other.
            neighbours = room_of(imported) == room_of(module) or floor <= 1
            assert other < floor or (other == floor and neighbours), (
                f"{module} (floor {floor}) imports {imported} (floor {other})"
            )


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_heavy_dependency_stays_at_home(path: Path) -> None:
    module = module_of(path)
    for imported in imports_of(path):
        homes = HOMES.get(imported.split(".")[0])
        assert homes is None or module.startswith(homes), f"{module} imports {imported}; its home is {homes}"


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "entry_points"], ids=module_of)
def test_entry_points_are_short(path: Path) -> None:
    if path.stem not in ("command", "messages", "__init__"):
        assert len(path.read_text().splitlines()) < 25


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_file_says_which_question_it_answers_and_stays_short(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= 250


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name != "entry_points"], ids=module_of)
def test_functions_are_small(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 50, f"{path}:{node.lineno} {node.name}"
            assert len(node.args.args) + len(node.args.kwonlyargs) <= 7, f"{path}:{node.lineno} {node.name}"
