"""Makes the text and the state of a graph from what torch.export has saved; names what is not understood."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lmc_mlflow.models.graphs.archive import TYPES, Archive, read_archive
from lmc_mlflow.models.graphs.content import (
    DEVICE,
    DTYPE,
    FLOAT,
    FORMAT,
    MEMORY_FORMAT,
    NODE,
    STATE,
    GraphContent,
    Held,
    Node,
)
from lmc_mlflow.models.graphs.operators import BATCH_NORM, DROPOUTS, INSTANCE_NORM, operator_of, refuse_random

ROLES = {"parameter": "parameter", "buffer": "buffer", "tensor_constant": "constant"}
MEMORY_FORMATS = {1: "contiguous_format", 2: "channels_last", 3: "channels_last_3d", 4: "preserve_format"}
CHECKS = ("aten._assert", "aten.sym_constrain_range", "aten._check", "_operator.ge", "_operator.le", "_operator.eq")
"""Beginnings of operations that compute nothing for the output."""
TRACKED = "num_batches_tracked"
INPUT_NAME = "images"


def read_exported(path: Path) -> tuple[GraphContent, dict[str, Tensor]]:
    """Read a network that torch.export has saved; whatever depends on the training mode is set to evaluation.

    Args:
        path: of the `.pt2` archive.

    Returns:
        The graph, and its state on the CPU: parameters, buffers and constants that it uses.

    Raises:
        ValueError: the archive is damaged or holds pickles, or the graph is one that cannot be used here.
    """
    archive = read_archive(path)
    try:
        return _Reader(archive).read()
    except (KeyError, TypeError, IndexError, AttributeError, StopIteration) as error:
        raise ValueError(f"has a graph that cannot be read ({type(error).__name__}: {error})") from None


class _Reader:
    """Reads one archive."""

    def __init__(self, archive: Archive) -> None:
        self._graph, self._signature = archive.graph["graph"], archive.graph["signature"]
        self._calls = archive.graph["module_call_graph"]
        self._tensors = {**archive.state, **archive.constants}
        self._held: dict[str, str] = {}
        """Name in the graph -> name in the state."""
        self._roles: dict[str, str] = {}
        self._names: dict[str, str] = {}
        """Name in the graph -> name in the text, which does not depend on what the original's variables are called."""
        self._counts: Counter[str] = Counter()
        self._used: dict[str, None] = {}

    def read(self) -> tuple[GraphContent, dict[str, Tensor]]:
        images = self._read_inputs()
        self._names[images] = INPUT_NAME
        output = self._read_outputs()
        nodes = [node for one in self._graph["nodes"] if (node := self._node(one)) is not None]
        shape, result = self._shape(images), self._shape(output)
        if len(shape) != 4 or None in shape[1:]:
            raise ValueError(f"takes {_words(shape)}; images are N x C x H x W with one size, export it for those")
        if shape[0] is not None:
            way = (
                "log it with an input_example of several images, which leaves the number free"
                if shape[0] == 1
                else "leave the number free in its signature, and compute nothing from it in its code"
            )
            raise ValueError(f"was exported for batches of exactly {shape[0]}; {way}")
        if len(result) != 2 or result[0] is not None or result[1] is None:
            raise ValueError(f"gives {_words(result)} for N images, not N x classes; it is no classifier")
        kind = self._graph["tensor_values"][images]["dtype"]
        if TYPES.get(kind) != TYPES[7]:
            raise ValueError(f"takes images of type {TYPES.get(kind, 'unknown')}; export it for float32")
        state = {name: self._tensors[name] for name in self._tensors if name in self._used or self._is_counter(name)}
        tensors = {name: self._describe(name, value) for name, value in state.items()}
        sizes = [int(size) for size in shape[1:] if size is not None]
        content = GraphContent(FORMAT, INPUT_NAME, sizes, int(result[1]), self._names[output], tensors, nodes)
        return content, state

    def _is_counter(self, name: str) -> bool:
        """Whether it counts the batches of a batch norm that is used."""
        place, _, last = name.rpartition(".")
        return last == TRACKED and f"{place}.running_mean" in self._used

    def _describe(self, name: str, value: Tensor) -> Held:
        role = self._roles.get(name, "buffer")
        digest = hashlib.sha256(value.numpy().tobytes()).hexdigest() if role == "constant" else ""
        return Held([*value.shape], str(value.dtype).removeprefix("torch."), role, digest)  # type: ignore[arg-type]

    def _read_inputs(self) -> str:
        images = []
        for spec in self._signature["input_specs"]:
            ((kind, entry),) = spec.items()
            if kind == "user_input":
                images.append(entry["arg"])
            elif kind in ROLES:
                name = entry[f"{kind}_name"]
                self._held[entry["arg"]["name"]] = name
                constant = kind == "buffer" and not entry["persistent"]
                self._roles[name] = "constant" if constant else ROLES[kind]
            else:
                raise ValueError(f"needs an input of the kind {kind}, which is not understood here")
        if len(images) != 1 or "as_tensor" not in images[0]:
            raise ValueError(f"takes {len(images)} inputs; a network of one batch of images is needed")
        return str(images[0]["as_tensor"]["name"])

    def _read_outputs(self) -> str:
        outputs = []
        for spec in self._signature["output_specs"]:
            ((kind, entry),) = spec.items()
            if kind != "user_output":
                raise ValueError(f"changes its own state while it runs ({kind}); export it in evaluation mode")
            outputs.append(entry["arg"])
        chosen = 0
        if len(outputs) > 1:
            context = json.loads(self._calls[0]["signature"]["out_spec"])[1]["context"] or "null"
            names = json.loads(context) if isinstance(context, str) else context
            if not isinstance(names, list) or "logits" not in names:
                raise ValueError(f"gives {len(outputs)} outputs, none of them named logits; export one that gives one")
            chosen = names.index("logits")
        return str(outputs[chosen]["as_tensor"]["name"])

    def _shape(self, name: str) -> list[int | None]:
        """Sizes of a value; None: free."""
        return [size.get("as_int") for size in self._graph["tensor_values"][name]["sizes"]]

    def _node(self, node: Mapping[str, Any]) -> Node | None:
        target = str(node["target"]).removeprefix("torch.ops.")
        if target.startswith(CHECKS):
            return None
        first: Mapping[str, Any] = node["inputs"][0]["arg"] if node["inputs"] else {}
        changed = self._held.get(first.get("as_tensor", {}).get("name", ""), "")
        if target.startswith("aten.add_.") and changed.endswith(TRACKED):
            self._held[str(node["outputs"][0]["as_tensor"]["name"])] = changed  # a norm that runs twice counts twice
            return None  # the batch norm that is built again counts by itself
        operator_of(target)
        if target.partition(".")[2].partition(".")[0].endswith("_") and changed:
            raise ValueError(f"changes {changed} while it runs ({target}); export it in evaluation mode")
        args = {str(one["name"]): self._value(one["arg"]) for one in node["inputs"]}
        if target not in DROPOUTS:
            refuse_random(target, args)
        if target == BATCH_NORM and args.get("running_mean") is not None:
            args["training"] = False
        if target == INSTANCE_NORM and args.get("running_mean") is not None:
            args["use_input_stats"] = False
        if target in DROPOUTS:
            args["train"] = False
        out, is_list = self._results(target, node["outputs"])
        rank = len(self._shape(first["as_tensor"]["name"])) if target == BATCH_NORM else 0
        return Node(target, args, out, is_list, rank)

    def _results(self, target: str, outputs: list[Mapping[str, Any]]) -> tuple[list[str], bool]:
        if len(outputs) == 1 and "as_tensors" in outputs[0]:
            return [self._named(target, one["name"]) for one in outputs[0]["as_tensors"]], True
        names = []
        for one in outputs:
            ((kind, entry),) = one.items()
            if kind not in ("as_tensor", "as_sym_int"):
                raise ValueError(
                    f"has an operation that gives {kind.removeprefix('as_')}, which is not understood here"
                )
            names.append(self._named(target, entry.get("name") or entry["as_name"]))
        return names, len(names) > 1

    def _named(self, target: str, name: str) -> str:
        """Name a result by its operation and how often that has run."""
        packet = target.split(".")[1]
        self._counts[packet] += 1
        self._names[name] = f"{packet}_{self._counts[packet]}"
        return self._names[name]

    def _value(self, arg: Mapping[str, Any]) -> Any:
        ((kind, value),) = arg.items()
        if kind == "as_none":
            return None
        if kind in ("as_int", "as_bool", "as_string", "as_ints", "as_bools"):
            return value
        if kind == "as_float":
            return _float(value)
        if kind == "as_floats":
            return [_float(one) for one in value]
        if kind == "as_tensor":
            return self._reference(value["name"])
        if kind in ("as_tensors", "as_optional_tensors", "as_sym_ints"):
            return [self._item(one) for one in value]
        if kind == "as_sym_int":
            return self._item(value)
        if kind == "as_scalar_type":
            if value not in TYPES:
                raise ValueError(f"computes in a type (number {value}) that is not understood here")
            return {DTYPE: str(TYPES[value]).removeprefix("torch.")}
        if kind == "as_memory_format":
            return {MEMORY_FORMAT: MEMORY_FORMATS[value]}
        if kind == "as_device":
            return {DEVICE: "input"}
        if kind == "as_layout" and value == 7:
            return None
        raise ValueError(f"has an argument of the kind {kind.removeprefix('as_')}, which is not understood here")

    def _item(self, one: Mapping[str, Any]) -> Any:
        if "as_int" in one:
            return one["as_int"]
        if "as_none" in one:
            return None
        name = one.get("as_name") or one.get("name") or one["as_tensor"]["name"]
        return self._reference(name)

    def _reference(self, name: str) -> dict[str, str]:
        if name not in self._held:
            return {NODE: self._names[name]}
        held = self._held[name]
        if held not in self._tensors:
            raise ValueError(f"has no values for {held}")
        self._used[held] = None
        return {STATE: held}


def _float(value: Any) -> Any:
    number = float(value)  # torch writes inf and nan as text
    return number if math.isfinite(number) else {FLOAT: str(number)}


def _words(shape: list[int | None]) -> str:
    return " x ".join("N" if size is None else str(size) for size in shape) or "one number"
