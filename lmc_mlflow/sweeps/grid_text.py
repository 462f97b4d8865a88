"""Reads the YAML text of a grid strictly: no repeated key, no number in base 60 or 8, nothing too large or too deep."""

import re
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1 << 20
"""Of a grid's file; those of the papers have 1 or 2 kB."""
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
NO_NUMBER = r"(?![^:]*:)(?![-+]?0[0-9_])"
"""YAML 1.1 reads 1:30 as 90 and 010 as 8; here these are texts, and the rules of flags decide."""


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a repeated key is an error, not a silent loss of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping as yaml.SafeLoader does, without repeated keys."""
        seen = set()
        for key in [repr(self.construct_object(key, deep=True)) for key, _ in node.value]:
            if key in seen:
                raise ValueError(f"line {node.start_mark.line + 1}: {key} is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(NO_NUMBER + pattern.pattern, pattern.flags) if tag in NUMBERS else pattern)
        for tag, pattern in rows
    ]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_text(path: Path) -> Any:
    """Read the file of a grid.

    Raises:
        ValueError: it is no such YAML, or is too large or too deeply nested.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"the file has {size:,} bytes, a grid has at most {MOST_BYTES:,}; use lists, which multiply")
    try:
        return yaml.load(path.read_text(), _StrictLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply; a grid is a list of cells with lists of values") from None
