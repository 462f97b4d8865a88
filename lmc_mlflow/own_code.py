"""Finds functions of users' own modules and of installed plug-ins by name, and digests their source files."""

import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORM = "<module>:<function>"
_NAME = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")
LIBRARIES = ("timm:", "torchvision:", "transformers:")
"""Beginnings of names that look the same and mean the networks of a library."""
GRAPH = "graph:"
"""Beginning of the names of networks that torch.export has traced; the digest of their graph follows."""
_DIGESTS: dict[str, str] = {}
"""Module -> digest of its source as it was imported: a notebook edits a module that is loaded."""
LONGEST = 200
"""Characters of a user's error that a message repeats."""
MOST_CHANGES = 3
"""Changed lines that a warning repeats."""


@dataclass(frozen=True)
class Plugin:
    """What an installed package adds to a table.

    Attributes:
        name: in the table.
        target: `<module>:<function>`.
        package: that brings it.
        version: of the package.
    """

    name: str
    target: str
    package: str
    version: str

    @property
    def origin(self) -> str:
        """The package and its version."""
        return f"{self.package} {self.version}"


@functools.cache
def plugins(what: str) -> Mapping[str, Plugin]:
    """Find what installed packages add to the table of models, datasets, shifts or measures.

    Args:
        what: the option: model, dataset, shift, or measure; the entry-point group is `lmc_mlflow.<what>s`.
    """
    found = {}
    for point in importlib.metadata.entry_points(group=f"lmc_mlflow.{what}s"):
        package = point.dist.name if point.dist is not None else "unknown"
        version = point.dist.version if point.dist is not None else "0"
        found[point.name] = Plugin(point.name, point.value.replace(" ", ""), package, version)
    return found


def is_own(what: str, name: str) -> bool:
    """Tell whether a name is that of a function in a module, or of a plug-in."""
    return (bool(_NAME.fullmatch(name)) and not name.startswith((*LIBRARIES, GRAPH))) or name in plugins(what)


def make_importable(folder: str = "") -> None:
    """Put a folder on Python's search path, before all others; none: the current folder, after all others.

    Raises:
        ValueError: there is no such folder.
    """
    if folder and not Path(folder).is_dir():
        raise ValueError(f"code={folder!r}: there is no such folder; give the folder that your modules lie in")
    place = str(Path(folder).absolute())
    if folder and place not in sys.path:
        sys.path.insert(0, place)
    elif place not in sys.path and "" not in sys.path:
        sys.path.append(place)


def own_function(what: str, name: str) -> Callable[..., Any]:
    """Import the function of a name; a module whose source has changed since it was imported is imported again.

    Args:
        what: the option, for messages: model, dataset or shift.
        name: as `is_own` says.

    Raises:
        ValueError: the module or the function is missing, is Python's own, or the module cannot be imported.
    """
    module_name, function_name = _parts(what, name)
    digest = source_digest(what, name)
    try:
        module = importlib.import_module(module_name)
        if _DIGESTS.setdefault(module_name, digest) != digest:
            module = importlib.reload(module)
            _DIGESTS[module_name] = digest
    except Exception as error:  # noqa: BLE001 (it is the user's code, which may raise anything)
        kind = type(error).__name__
        raise ValueError(f"{what} {name!r}: {module_name} cannot be imported: {kind}: {_line(error)}") from None
    function = getattr(module, function_name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = difflib.get_close_matches(function_name, there, n=1)
        hint = f" (did you mean {module_name}:{near[0]}?)" if near else ""
        raise ValueError(f"{what} {name!r}: {module_name} has no function {function_name!r}{hint}")
    found: Callable[..., Any] = function
    return found


def call_own(what: str, name: str, *values: Any, **options: Any) -> Any:
    """Call the function of a name; whatever it raises becomes one line.

    Raises:
        ValueError: it cannot be found, or has raised an error.
    """
    function = own_function(what, name)
    try:
        return function(*values, **options)
    except Exception as error:  # noqa: BLE001 (as above)
        kind = type(error).__name__
        raise ValueError(f"{what} {name!r} raised {kind}: {_line(error)}{_where(error)}") from None


def source_file(what: str, name: str) -> Path:
    """Find the source file of the module of a name; the module itself is not imported.

    Raises:
        ValueError: there is no such module, or it is no user's.
    """
    module_name, _ = _parts(what, name)
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(f"{what} {name!r}: {module_name} is a module of Python; name one of your own")
    spec = None
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(module_name)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ValueError(
            f"{what} {name!r}: there is no module {module_name} here; start the command in the folder that it lies in, "
            f"or give code=<that folder>, or PYTHONPATH=<that folder>"
        )
    return Path(spec.origin)


def source_digest(what: str, name: str) -> str:
    """Compute the sha256 of the source file of a name, in hexadecimal; of a plug-in with its package and version.

    Errors as in `source_file`.
    """
    plugin = plugins(what).get(name)
    origin = plugin.origin.encode() if plugin is not None else b""
    return hashlib.sha256(origin + source_file(what, name).read_bytes()).hexdigest()


def changed_lines(before: str, now: str) -> str:
    """Write the first lines in which two sources differ, in one line."""
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="", n=0)
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "; ".join(line[:LONGEST] for line in changed[:MOST_CHANGES]) + (
        "; ..." if len(changed) > MOST_CHANGES else ""
    )


def name_of(function: Callable[..., Any]) -> str:
    """Name a function so that it can be imported again.

    Raises:
        ValueError: it is a lambda, lies in another function, or in a script or notebook.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not isinstance(function, types.FunctionType) or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ValueError(f"{name or function!r} cannot be imported by a name; give a function on a module's top level")
    if module in (None, "__main__"):
        raise ValueError(
            f"{name}: a function of a script or notebook cannot be imported again; move it to a file of its own, "
            f"such as nets.py, and give nets.{name}"
        )
    return f"{module}:{name}"


def _parts(what: str, name: str) -> tuple[str, str]:
    plugin = plugins(what).get(name)
    found = _NAME.fullmatch(name if plugin is None else plugin.target)
    if not found:
        raise ValueError(f"{what} {name!r}: write it as {FORM}, as in mypkg.nets:build")
    return found["module"], found["function"]


def _line(error: BaseException) -> str:
    """Return the beginning of the first line of an error's text."""
    return str(error).strip().partition("\n")[0][:LONGEST]


def _where(error: BaseException) -> str:
    """Name the file and line of the user's code in which an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename == __file__:
        return ""
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
