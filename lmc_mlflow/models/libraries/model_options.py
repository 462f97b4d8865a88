"""Reads the further arguments of a network of a library, which `model_options` gives as JSON."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from lmc_mlflow.config.choices import unknown_name


def read_options(
    model: str, text: str, fixed: Mapping[str, str], known: Collection[str] | None = None
) -> dict[str, Any]:
    """Read the further arguments of a network.

    Args:
        model: its name, for messages.
        text: JSON with names; empty: none.
        fixed: names that may not be given -> why.
        known: names that there are; None: the library itself refuses others.

    Raises:
        ValueError: one of the fixed names is given, or one that the network does not take.
    """
    options: dict[str, Any] = json.loads(text) if text else {}
    for name in options:
        if name in fixed:
            raise ValueError(f"model_options of {model}: leave out {name}: {fixed[name]}")
        if known is not None and name not in known:
            raise unknown_name(f"model_options of {model}: field", name, known)
    return options
