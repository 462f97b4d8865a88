"""Renders `lmc_mlflow/__init__.pyi`, which editors read: `python -m lmc_mlflow.python_stub`."""

import inspect
import json
import textwrap
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import lmc_mlflow
from lmc_mlflow.calls import OF_OUR_LOOP
from lmc_mlflow.config.canonical import Parameter, parameters
from lmc_mlflow.config.commands import COMMANDS

HEADER = """# Rendered by `python -m lmc_mlflow.python_stub`; change lmc_mlflow/config/ or api.py.
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path as _FilePath
from typing import Literal

import pandas as pd
from torch import nn

from lmc_mlflow import plots as plots
from lmc_mlflow import query as query
from lmc_mlflow.results.diagnosis import Diagnosis
from lmc_mlflow.results.measurements import Curvature, Ensemble, Matrix, Path, PathByEpoch, Plane
from lmc_mlflow.results.networks import Network, Pair, Star, Trajectory
from lmc_mlflow.results.path_by_layer import PathByLayer
from lmc_mlflow.results.published_model import PublishedModel
from lmc_mlflow.results.result import Result
from lmc_mlflow.workflows.pair.own_loop.own_pair import OwnPair

__version__: str
FUNCTIONS: tuple[str, ...]
ROOMS: tuple[str, ...]
_Run = str | Result
_Runs = Sequence[_Run]
"""
COMMAND_OF = {"train_pairs": "train_pair", "pair": "train_pair"} | dict.fromkeys(
    ("interpolate_epochs", "interpolate_layers"), "interpolate"
)
"""Functions that are called otherwise than their command."""
LEFT_OUT: Mapping[str, Collection[str]] = {
    "train_pair": ("seeds",),
    "pair": OF_OUR_LOOP,
    "interpolate": ("epochs", "layers", "layer_groups"),
    "interpolate_epochs": ("pair", "run_a", "run_b", "align", "layers", "layer_groups"),
    "interpolate_layers": ("epochs", "keep_samples", "calibrate", "alphas", "alpha_tolerance"),
}
"""Options of a function's command that it does not take."""
NETWORKS = ("run_a", "run_b", "run_c", "pair", "path", "run", "star", "reference", "start")
LISTS_OF_NETWORKS = ("runs", "sources", "held_out")
TYPES = {bool: "bool", int: "int", float: "float", str: "str"}


def render() -> str:
    """Return the text of the stub: every function of `api.py`, with every option of its command."""
    return HEADER + "".join(f"\n{_function(name, getattr(lmc_mlflow, name))}" for name in lmc_mlflow.FUNCTIONS)


def _function(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    command = COMMAND_OF.get(name, name)
    lines = []
    for given in signature.parameters.values():
        if given.kind is given.POSITIONAL_ONLY:
            default = "" if given.default is given.empty else f" = {given.default}"
            lines.append(f"    {given.name}: {_of_position(name, given.name)}{default},")
        elif given.kind is given.POSITIONAL_OR_KEYWORD:
            lines.append(f"    {given.name}: {given.annotation},")
        elif given.kind is given.KEYWORD_ONLY:
            lines.append(f"    {given.name}: {given.annotation} = {given.default},")
        else:
            lines += [f"    {p.name}: {_type(p)} = {_quoted(p.default)}," for p in _options(name, command)]
    first_keyword = next((i for i, p in enumerate(signature.parameters.values()) if p.kind is p.KEYWORD_ONLY), None)
    if first_keyword is not None:
        lines.insert(first_keyword, "    *,")
    positional = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY]
    if positional:
        lines.insert(len(positional), "    /,")
    returns = str(signature.return_annotation).replace("Iterator[", "AbstractContextManager[")
    inside, says = "\n".join(lines), textwrap.indent(inspect.getdoc(function) or "", "    ").strip()
    end = "\n    " if "\n" in says else ""
    return f'def {name}(\n{inside}\n) -> {returns}:\n    """{says}{end}"""\n'


def _options(name: str, command: str) -> list[Parameter]:
    left_out = LEFT_OUT.get(name, ())
    return [
        p for p in parameters(COMMANDS[command].config).values() if p.section != "terminal" and p.name not in left_out
    ]


def _of_position(function: str, argument: str) -> str:
    if function == "ensemble":
        return "_Run | _Runs | None"
    if argument == "model_uri":
        return "str | None"
    if function == "publish" or argument in ("a", "b", "c", "network", "pair"):
        return "_Run | None"
    return "_Run" if argument == "run" else "_Runs | None"


def _type(parameter: Parameter) -> str:
    """Write the type of an option: what a flag takes as text is taken as text too."""
    if parameter.name in NETWORKS:
        return "_Run"
    if parameter.name in LISTS_OF_NETWORKS:
        return "_Runs"
    kind, ending = parameter.kind, ""
    if isinstance(kind, types.UnionType):
        kind, ending = next(k for k in typing.get_args(kind) if k is not type(None)), " | None"
    choices = parameter.rule.choices
    if typing.get_origin(kind) is tuple:
        inner = TYPES[typing.get_args(kind)[0]]
        return f"Sequence[{_literal(choices) if choices else inner}] | str{ending}"
    if choices:
        return f"{_literal(choices)}{ending}"
    return f"{'str | _FilePath' if _is_path(parameter) else TYPES[kind]}{ending}"


def _is_path(parameter: Parameter) -> bool:
    return parameter.name in ("data_root", "out", "store")


def _literal(choices: Any) -> str:
    return f"Literal[{', '.join(map(_quoted, choices))}]"


def _quoted(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    Path(__file__).with_name("__init__.pyi").write_text(render())
