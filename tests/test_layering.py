"""Guards of the house: floors, circles, homes of heavy dependencies, contract strings, sizes and words."""

import ast
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = {
    "lmc_mlflow.contract": 0,
    "lmc_mlflow.errors": 0,
    "lmc_mlflow.own_code": 0,
    "lmc_mlflow.config": 1,
    "lmc_mlflow.precision": 0,
    "lmc_mlflow.schema": 0,
    "lmc_mlflow.stored_arrays": 1,
    "lmc_mlflow.seeds": 1,
    "lmc_mlflow.gpus": 1,
    "lmc_mlflow.weights": 1,
    "lmc_mlflow.manifest": 1,
    "lmc_mlflow.batches": 1,
    "lmc_mlflow.parallel": 1,
    "lmc_mlflow.predictions": 2,
    "lmc_mlflow.evaluation": 3,
    "lmc_mlflow.models": 2,
    "lmc_mlflow.models.registry": 3,
    "lmc_mlflow.models.libraries.timm_networks": 3,
    "lmc_mlflow.models.libraries.library_networks": 3,
    "lmc_mlflow.models.weight_files.fit": 3,
    "lmc_mlflow.models.families": 3,
    "lmc_mlflow.data": 2,
    "lmc_mlflow.data.loading": 3,
    "lmc_mlflow.data.other_tests": 3,
    "lmc_mlflow.normalization": 2,
    "lmc_mlflow.alignment": 3,
    "lmc_mlflow.tracking": 2,
    "lmc_mlflow.paths": 4,
    "lmc_mlflow.paths.curves": 2,
    "lmc_mlflow.diagnosis": 5,
    "lmc_mlflow.hessian": 4,
    "lmc_mlflow.training": 4,
    "lmc_mlflow.star_domains": 5,
    "lmc_mlflow.workers": 4,
    "lmc_mlflow.query": 5,
    "lmc_mlflow.terminal": 3,
    "lmc_mlflow.bundles": 5,
    "lmc_mlflow.findings": 6,
    "lmc_mlflow.plots": 7,
    "lmc_mlflow.papers": 7,
    "lmc_mlflow.workflows": 8,
    "lmc_mlflow.sweeps": 9,
    "lmc_mlflow.results": 8,
    "lmc_mlflow.calls": 9,
    "lmc_mlflow.api_paths": 10,
    "lmc_mlflow.api": 11,
    "lmc_mlflow.python_stub": 12,
    "entry_points": 10,
}
"""Every top-level module and folder; a module inside one may stand on a floor of its own."""
HOMES = {
    "mlflow": ("lmc_mlflow.tracking", "lmc_mlflow.query", "lmc_mlflow.bundles", "lmc_mlflow.findings.boundaries"),
    "torchvision": (
        "lmc_mlflow.data.readers.downloads",
        "lmc_mlflow.data.shifts.corruptions",
        "lmc_mlflow.models.libraries.torchvision_networks",
    ),
    "PIL": ("lmc_mlflow.data.readers.pictures", "lmc_mlflow.data.shifts.corruptions"),
    "rasterio": ("lmc_mlflow.data.readers.bigearthnet",),
    "lmdb": ("lmc_mlflow.data.readers.bigearthnet",),
    "transformers": ("lmc_mlflow.models.libraries.transformers_networks",),
    "timm": ("lmc_mlflow.models.libraries.timm_networks",),
    "sklearn": (
        "lmc_mlflow.data.readers.digits",
        "lmc_mlflow.data.readers.moons",
        "lmc_mlflow.data.shifts.two_sample",
        "lmc_mlflow.predictions",
        "lmc_mlflow.findings.forecast_model",
    ),
    "pydantic": ("lmc_mlflow.schema", "lmc_mlflow.models.graphs", "lmc_mlflow.bundles", "lmc_mlflow.query"),
    "seaborn": ("lmc_mlflow.plots",),
    "matplotlib": ("lmc_mlflow.plots", "lmc_mlflow.tracking.run", "lmc_mlflow.results"),
    "ray": ("lmc_mlflow.workers.ray_pool",),
    "scipy": (
        "lmc_mlflow.alignment",
        "lmc_mlflow.hessian",
        "lmc_mlflow.paths.graph",
        "lmc_mlflow.findings.differences",
        "lmc_mlflow.papers.starlight.claims",
        "lmc_mlflow.predictions",
    ),
}
"""Heavy dependency -> the rooms that may import it."""
NO_VERBS = frozenset(
    [
        "a",
        "all",
        "an",
        "and",
        "another",
        "any",
        "as",
        "at",
        "both",
        "by",
        "each",
        "either",
        "every",
        "few",
        "first",
        "for",
        "from",
        "half",
        "how",
        "if",
        "in",
        "instead",
        "into",
        "its",
        "it",
        "last",
        "many",
        "more",
        "most",
        "much",
        "no",
        "none",
        "not",
        "of",
        "on",
        "one",
        "only",
        "other",
        "same",
        "several",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "there",
        "these",
        "they",
        "this",
        "those",
        "three",
        "two",
        "under",
        "up",
        "what",
        "when",
        "where",
        "whether",
        "which",
        "who",
        "whole",
        "whose",
        "why",
        "with",
        "without",
        "within",
    ]
)
"""Words that begin a noun phrase or a question, never a sentence about what a function does."""
CONTRACT_STRING = re.compile(r"(?<![\w.])lmc\.[a-z_]+")
FILES = sorted([*ROOT.glob("lmc_mlflow/**/*.py"), *ROOT.glob("entry_points/*.py")])
PRODUCT = [path for path in FILES if path.parent.name != "entry_points"]


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def floor_of(module: str) -> int | None:
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in FLOORS:
            return FLOORS[".".join(parts[:end])]
    return None


def room_of(module: str) -> str:
    return ".".join(module.split(".")[: 1 if module.startswith("entry_points") else 2])


def imports_of(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def ours(imported: str, modules: Mapping[str, object]) -> str | None:
    """The module of the project that an import reads, or None."""
    for name in (imported, imported.rpartition(".")[0]):
        if name in modules:
            return name
    return None


def circles(sources: Mapping[str, str]) -> list[list[str]]:
    """Groups of modules that import one another, whatever the floor (Tarjan's strongly connected components)."""
    graph = {
        module: {other for name in imports_of(source) if (other := ours(name, sources)) not in (None, module)}
        for module, source in sources.items()
    }
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module]:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in index:
            visit(module)
    return found


def upward_imports(module: str, source: str) -> list[str]:
    """Imports of a module that do not point down; within a room the rule is that there are no circles."""
    floor = floor_of(module)
    assert floor is not None, f"{module} stands on no floor; give it one in FLOORS"
    wrong = []
    for imported in imports_of(source):
        if not imported.startswith(("lmc_mlflow.", "entry_points.")) or imported == "lmc_mlflow.__version__":
            continue
        other = floor_of(imported)
        assert other is not None, f"{imported} stands on no floor"
        if other >= floor and room_of(imported) != room_of(module):
            wrong.append(imported)
    return wrong


def contract_strings(path: Path) -> Iterator[str]:
    """String tokens, docstrings apart, that hold a name of the contract."""
    source = path.read_text()
    docstrings = {
        node.body[0].value.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
    }
    with path.open() as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.STRING and token.start[0] not in docstrings:
                yield from CONTRACT_STRING.findall(token.string)


def public_functions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Yields functions and methods that others may call, properties (which name a value) and stubs apart."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if not any("property" in name or name in ("overload", "override") for name in decorators):
                yield node


def wrong_words(source: str) -> list[str]:
    """Docstrings that do not say in a plain sentence what a module or a public function does."""
    tree = ast.parse(source)
    opening = (ast.get_docstring(tree) or "").splitlines()[:1]
    wrong = [] if opening and opening[0].endswith(".") and "?" not in opening[0] else [f"module: {opening}"]
    for function in public_functions(tree):
        text = ast.get_docstring(function) or ""
        first = re.split(r"[^\w-]", text, maxsplit=1)[0] if text else ""
        if not first or first.lower() in NO_VERBS or not first[0].isupper() or "?" in text.splitlines()[0]:
            wrong.append(f"{function.name}: {text.splitlines()[:1]}")
    return wrong


def test_every_top_level_module_and_folder_has_a_floor_by_its_own_name() -> None:
    rooms = {room_of(module_of(path)) for path in FILES} - {"lmc_mlflow"}
    assert rooms - set(FLOORS) == set()
    assert {name for name in FLOORS if name.count(".") < 2} - rooms == set(), "floors of rooms that are gone"


def test_a_planted_unknown_module_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"lmc_mlflow\.helpers stands on no floor"):
        upward_imports("lmc_mlflow.helpers", "import math")
    with pytest.raises(AssertionError, match=r"lmc_mlflow\.helpers\.x stands on no floor"):
        upward_imports("lmc_mlflow.paths.walk", "from lmc_mlflow.helpers import x")


@pytest.mark.parametrize("path", [p for p in FILES if module_of(p) != "lmc_mlflow"], ids=module_of)
def test_imports_only_point_down(path: Path) -> None:
    assert upward_imports(module_of(path), path.read_text()) == []


def test_a_planted_import_that_points_up_is_refused() -> None:
    source = "from lmc_mlflow.workflows.path.interpolate import interpolate"
    assert upward_imports("lmc_mlflow.paths.walk", source) == ["lmc_mlflow.workflows.path.interpolate.interpolate"]


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circles({module_of(path): path.read_text() for path in FILES}) == []


def test_planted_circles_are_found_within_one_floor() -> None:
    two = {"lmc_mlflow.paths.x": "from lmc_mlflow.paths.y import f", "lmc_mlflow.paths.y": "import lmc_mlflow.paths.x"}
    assert circles(two) == [["lmc_mlflow.paths.x", "lmc_mlflow.paths.y"]]
    three = {"a": "import b", "b": "def f():\n    from c import g", "c": "import a", "d": "import a"}
    assert circles(three) == [["a", "b", "c"]]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_heavy_dependency_stays_at_home(path: Path) -> None:
    module = module_of(path)
    for imported in imports_of(path.read_text()):
        homes = HOMES.get(imported.split(".")[0])
        assert homes is None or module.startswith(homes), f"{module} imports {imported}; its home is {homes}"


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "contract.py"], ids=module_of)
def test_contract_strings_are_written_in_contract_alone(path: Path) -> None:
    assert list(contract_strings(path)) == []


def test_a_planted_contract_string_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text('"""Reads `lmc.kind`."""\nwhere = f"tags.`lmc.kind` = \'{kind}\'"\nname = "lmc.side"\n')
    assert list(contract_strings(planted)) == ["lmc.kind", "lmc.side"]


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "entry_points"], ids=module_of)
def test_entry_points_are_short(path: Path) -> None:
    if path.stem not in ("command", "lmc", "__init__"):
        assert len(path.read_text().splitlines()) < 25


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_docstrings_are_statements_and_functions_begin_with_a_verb(path: Path) -> None:
    assert wrong_words(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What is a path?"""', ["module: ['What is a path?']"]),
        ('"""A path"""', ["module: ['A path']"]),
        ('"""Walks."""\ndef f():\n    """The height."""', ["f: ['The height.']"]),
        ('"""Walks."""\ndef f():\n    """whether it holds."""', ["f: ['whether it holds.']"]),
        ('"""Walks."""\ndef f():\n    pass', ["f: []"]),
        ('"""Walks."""\ndef f():\n    """Measure the height."""', []),
    ],
)
def test_planted_riddles_are_found(source: str, found: list[str]) -> None:
    assert wrong_words(source) == found


@pytest.mark.parametrize("path", PRODUCT, ids=module_of)
def test_functions_are_small(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 50, f"{path}:{node.lineno} {node.name}"
            assert len(node.args.args) + len(node.args.kwonlyargs) <= 7, f"{path}:{node.lineno} {node.name}"
