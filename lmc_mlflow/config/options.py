"""Declares the fields of a configuration, checks their values, and converts them from and to text."""

import dataclasses
import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmc_mlflow.config.choices import unknown_name

AUTO = "auto"
ARITHMETIC, GEOMETRIC = "arithmetic", "geometric"
"""How the values of an option that is an axis are spaced, where its values do not say."""
LARGEST_WHOLE = 2**64 - 1
"""The largest seed of a random stream."""
LARGEST = 1e30
"""The largest number: single precision ends at 3e38, and optimizers divide by what is below 1."""
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Option:
    """The meaning of a field and the values that it takes.

    `identity` is False for fields that change how a result is reached (device, folders) but not
    which result it is: those stay out of the fingerprint.

    Attributes:
        only_with: fields of the same section and the values that they must have; with others the option says nothing.
        before: what configurations meant that were stored before the option was there, where that is not the default.
        logged: whether the option is a param of the run; not so what concerns the terminal alone.
        follows_from: another option of the section; where that one is given this one follows from it, and is no part of
            the identity.
        axis: whether a sweep may take values between those of a grid (`ARITHMETIC`), by their ratios (`GEOMETRIC`);
            empty: values between say nothing.
        own_code: whether a value may name a user's own function, whose source then is part of the fingerprint.
    """

    help: str
    choices: Collection[str] = ()
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    identity: bool = True
    only_with: Mapping[str, Any] = field(default_factory=dict)
    before: Any = None
    logged: bool = True
    own_code: bool = False
    follows_from: str = ""
    axis: str = ""

    def says_something(self, section: Mapping[str, Any]) -> bool:
        """Tell whether the other fields of the section have the values that the option needs."""
        return all(section.get(name) == value for name, value in self.only_with.items())


def option(default: Any, help: str, **rules: Any) -> Any:
    """Declare a dataclass field with its `Option`; `rules` are the further fields of `Option`."""
    return field(default=default, metadata={"option": Option(help, **rules)})


def option_of(spec: "dataclasses.Field[Any]") -> Option:
    """Return the `Option` that a field was declared with."""
    found = spec.metadata["option"]
    assert isinstance(found, Option)
    return found


def read_value(name: str, kind: Any, text: str) -> Any:
    """Convert text to a value of the field's type; `auto` is None where None is allowed.

    Raises:
        ValueError: the text is no value of that type.
    """
    if isinstance(kind, types.UnionType):
        if text == AUTO:
            return None
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise ValueError(f"{name}={text!r}: give true or false")
        return _BOOLEANS[text.lower()]
    if kind is str:
        try:
            text.encode()
        except UnicodeEncodeError:  # no store can keep it
            raise ValueError(f"{name}={text!a}: give it in UTF-8") from None
        return text
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(read_value(name, inner, part.strip()) for part in text.split(",") if part.strip())
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}={text!r}: give {what}") from None


def write_value(value: Any) -> str:
    """Convert a value to its canonical text, which is logged; `read_value` gives the value back."""
    if value is None:
        return AUTO
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(write_value(part) for part in value)
    return repr(value) if isinstance(value, float) else str(value)


def check_value(name: str, value: Any, rule: Option) -> None:
    """Check a value against its rule.

    Raises:
        ValueError: naming the field, the value and what would be allowed.
    """
    if value is None:
        return
    if isinstance(value, tuple):
        for part in value:
            check_value(name, part, rule)
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}={value}: give a finite number")
    largest = LARGEST_WHOLE if isinstance(value, int) else LARGEST
    if isinstance(value, int | float) and value > largest:
        shown = f"a number of {len(str(value))} digits" if isinstance(value, int) else str(value)
        raise ValueError(f"{name}: {shown} is more than {largest:g}, the largest that is computed with")
    if rule.choices and value not in rule.choices:
        raise unknown_name(name, str(value), rule.choices)
    if rule.minimum is not None and value < rule.minimum:
        raise ValueError(f"{name}={value}: must be at least {rule.minimum}")
    if rule.above is not None and value <= rule.above:
        raise ValueError(f"{name}={value}: must be greater than {rule.above}")
    if rule.maximum is not None and value > rule.maximum:
        raise ValueError(f"{name}={value}: must be at most {rule.maximum}")


class Section:
    """Base of every group of options: checks each field once, when the frozen value is made."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):  # type: ignore[arg-type]
            value, rule = getattr(self, spec.name), option_of(spec)
            check_value(spec.name, value, rule)
            if value != spec.default and not rule.says_something(vars(self)):
                needed = " and ".join(f"{name}={write_value(needed)}" for name, needed in rule.only_with.items())
                raise ValueError(f"{spec.name}={write_value(value)} belongs to {needed}; leave it out")
        self.check()

    def check(self) -> None:
        """Check the rules that tie fields together; a section with such rules overrides this."""
