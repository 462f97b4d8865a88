"""Writes JSON, and reads what somebody else may have written: types and ranges are checked against a dataclass."""

import functools
import json
import math
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

Content = TypeVar("Content")
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""A sha256 in hexadecimal."""
RunId = Annotated[str, StringConstraints(pattern="^[0-9a-z]{1,32}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
"""What a database holds as a number of bytes, or of anything else."""
LONGEST_PLACE = 80


def read_json(kind: type[Content], text: str | bytes) -> Content:
    """Read a dataclass from JSON; its annotations say what is allowed, and keys that it does not name are passed over.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or a value has another type or range; names the first.
    """
    try:
        found: Content = _adapter(kind).validate_json(text, strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ValueError(_first_problem(error)) from None
    return found


def write_json(content: Any) -> str:
    """Write content as JSON; numbers that are not finite are null, because JSON has none."""
    return json.dumps(_finite(content), indent=1, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _first_problem(error: ValidationError) -> str:
    """Name the first value that is not as it should be: where it is, what it is, and what it should be."""
    first = error.errors(include_url=False)[0]
    where = ".".join(repr(part).strip("'") for part in first["loc"])[:LONGEST_PLACE]
    found = "" if first["type"] in ("missing", "json_invalid") else f" {reprlib.repr(first['input'])}"
    return f"{where}{found}: {first['msg']}".lstrip(": ")
