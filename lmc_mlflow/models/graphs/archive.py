"""Reads the archive of a network that torch.export has saved: its graph and its tensors, as JSON and raw bytes alone.

`torch.export.load` is not used: it evaluates expressions and unpickles inputs that stand in the archive.
"""

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SCHEMA = 8
"""Major version of torch's own format of graphs that is read here."""
WHICH_TORCH = "log it again with a newer torch (2.10 or later)"
TYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
"""Numbers of types in the format -> types."""


@dataclass(frozen=True)
class Archive:
    """What an archive holds.

    Attributes:
        graph: the graph, its signature and values, as torch writes them.
        state: parameters and persistent buffers, by name.
        constants: tensors that are no part of the state dict, by name.
    """

    graph: dict[str, Any]
    state: dict[str, Tensor]
    constants: dict[str, Tensor]


def read_archive(path: Path) -> Archive:
    """Read a `.pt2` archive.

    Raises:
        ValueError: it is damaged, of another version, or holds pickled objects, which are never loaded.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            graphs = [name for name in names if name.partition("/")[2].startswith("models/") and name.endswith(".json")]
            if len(graphs) != 1:
                raise ValueError(f"holds {len(graphs)} graphs in the form that is read here; {WHICH_TORCH}")
            graph = _json(archive, graphs[0])
            made = graph["schema_version"]["major"]
            if made != SCHEMA:
                raise ValueError(f"is of format {made}, {SCHEMA} is read here; {WHICH_TORCH}, or update lmc_mlflow")
            if archive.read(_only(names, "byteorder")).strip() != b"little":
                raise ValueError(f"has its numbers in another byte order; {WHICH_TORCH} on a usual machine")
            return Archive(graph["graph_module"], _tensors(archive, "weights"), _tensors(archive, "constants"))
    except (zipfile.BadZipFile, KeyError, TypeError, OSError, EOFError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(f"is no whole archive of torch.export ({type(error).__name__}: {error})") from None


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return json.loads(archive.read(name))
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"is damaged: {name} is no JSON") from None


def _only(names: list[str], ending: str) -> str:
    return next(name for name in [*names, ""] if name.endswith(f"/{ending}") or not name)


def _tensors(archive: zipfile.ZipFile, folder: str) -> dict[str, Tensor]:
    """Read the tensors of a folder of the archive, from raw bytes."""
    configs = [name for name in archive.namelist() if f"/data/{folder}/" in name and name.endswith("_config.json")]
    if len(configs) != 1:
        raise ValueError(f"has no list of its {folder}; {WHICH_TORCH}")
    place = configs[0].rpartition("/")[0]
    found = {}
    for name, entry in _json(archive, configs[0])["config"].items():
        file = str(entry["path_name"])
        if entry["use_pickle"] is not False or not file.startswith(("weight_", "tensor_")):
            raise ValueError(
                f"holds {name} as a pickle, which runs code when it is loaded, and is not loaded; {WHICH_TORCH}"
            )
        found[name] = _tensor(name, entry["tensor_meta"], archive.read(f"{place}/{file}"))
    return found


def _tensor(name: str, meta: dict[str, Any], content: bytes) -> Tensor:
    if meta["dtype"] not in TYPES:
        raise ValueError(f"{name} is of a type that is not read here; keep floats, integers and booleans in it")
    kind, sizes = TYPES[meta["dtype"]], [int(size["as_int"]) for size in meta["sizes"]]
    strides, offset = [int(stride["as_int"]) for stride in meta["strides"]], int(meta["storage_offset"]["as_int"])
    if min([*sizes, *strides, offset], default=0) < 0:
        raise ValueError(f"is damaged: {name} has negative sizes")
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    needed = (last + 1) * kind.itemsize if math.prod(sizes) else 0
    if len(content) < needed or len(content) % kind.itemsize:
        raise ValueError(f"is damaged: {name} has {len(content)} bytes, {needed} are needed")
    if not needed:
        return torch.empty(sizes, dtype=kind)
    whole = torch.frombuffer(bytearray(content), dtype=kind)
    return whole.as_strided(sizes, strides, offset).clone(memory_format=torch.contiguous_format)
