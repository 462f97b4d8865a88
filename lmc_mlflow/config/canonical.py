"""Converts a configuration to flat text, nested JSON and a fingerprint, and text and JSON to a configuration."""

import dataclasses
import functools
import hashlib
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.config.options import Option, option_of, read_value, write_value
from lmc_mlflow.own_code import is_own, source_digest

Config = TypeVar("Config")


@dataclass(frozen=True)
class Parameter:
    """One option of a command: its flat name, where it lives, its type, default and rule."""

    name: str
    section: str
    kind: Any
    default: Any
    rule: Option

    def value_before(self, section: Mapping[str, Any]) -> Any:
        """Give what a configuration meant that was stored before the option was there.

        Args:
            section: the other fields of its section, as texts.
        """
        return self.default if self.rule.before is None or not self.rule.says_something(section) else self.rule.before


def section_types(command: type) -> dict[str, type]:
    """Return section name -> section class of a command's configuration."""
    hints = typing.get_type_hints(command)
    return {spec.name: hints[spec.name] for spec in dataclasses.fields(command)}


def parameters(command: type) -> Mapping[str, Parameter]:
    """Return flat name -> parameter, in the order of declaration; the defaults are the command's own."""
    return _parameters(command)


@functools.cache
def _parameters(command: Any) -> Mapping[str, Parameter]:
    found: dict[str, Parameter] = {}
    for spec in dataclasses.fields(command):
        section = section_types(command)[spec.name]
        defaults = spec.default_factory() if spec.default_factory is not dataclasses.MISSING else None
        hints = typing.get_type_hints(section)
        for inner in dataclasses.fields(section):
            assert inner.name not in found, f"two options are called {inner.name}"
            default = getattr(defaults, inner.name) if defaults is not None else inner.default
            found[inner.name] = Parameter(inner.name, spec.name, hints[inner.name], default, option_of(inner))
    return MappingProxyType(found)


def from_texts(command: type[Config], texts: Mapping[str, str]) -> Config:
    """Make a configuration from flat names and texts; what is not named keeps its default.

    Raises:
        ValueError: an unknown name (with the nearest known one), or a value that is not allowed.
    """
    known = parameters(command)
    for name in texts:
        if name not in known:
            raise unknown_name("parameter", name, known)
    values: dict[str, dict[str, Any]] = {section: {} for section in section_types(command)}
    for name, parameter in known.items():
        value = read_value(name, parameter.kind, texts[name]) if name in texts else parameter.default
        values[parameter.section][name] = value
    return command(**{name: section(**values[name]) for name, section in section_types(command).items()})


def _walk(config: object) -> Iterator[tuple[Parameter, Any]]:
    for name, parameter in parameters(type(config)).items():
        yield parameter, getattr(getattr(config, parameter.section), name)


def to_params(config: object) -> dict[str, str]:
    """Return `section.field` -> canonical text, defaults included: the params that are logged."""
    return {f"{p.section}.{p.name}": write_value(value) for p, value in _walk(config) if p.rule.logged}


def to_nested(config: object) -> dict[str, dict[str, str]]:
    """Return section -> field -> canonical text: the content of `checkpoint/config.json`."""
    nested: dict[str, dict[str, str]] = {}
    for p, value in filter(lambda pair: pair[0].rule.logged, _walk(config)):
        nested.setdefault(p.section, {})[p.name] = write_value(value)
    return nested


def from_nested(command: type[Config], nested: Mapping[str, Mapping[str, str]]) -> Config:
    """Make a configuration from what `to_nested` returned, in this version or an earlier one.

    Raises:
        ValueError: a field that this version does not know (a newer one wrote it), or a value that is not allowed.
    """
    texts = {name: text for section in nested.values() for name, text in section.items()}
    for p in parameters(command).values():
        if p.name not in texts and p.rule.before is not None:
            texts[p.name] = write_value(p.value_before(nested.get(p.section, {})))
    return from_texts(command, texts)


def fingerprint(config: object, without: Collection[str] = (), beside: Collection[str] = ()) -> str:
    """Return a digest of the fields that differ from their section's defaults and decide the result.

    New options may be added later without changing the fingerprint of old configurations, as long
    as their default keeps the old behaviour, or `Option.before` says what that was.

    The source of a user's own function that an option names decides too.

    Args:
        config: of any command.
        without: names of fields that say which runs are used, and not how (the ends of a path).
        beside: further lines that decide the result.

    Raises:
        ValueError: the module of such a function is not there.
    """
    lines = list(beside)
    for p, value in _walk(config):
        section = getattr(config, p.section)
        plain = next(s for s in dataclasses.fields(type(section)) if s.name == p.name).default
        if p.rule.before is not None:
            plain = p.rule.before if p.rule.says_something(vars(section)) else plain
        follows = p.rule.follows_from and getattr(section, p.rule.follows_from) is not None
        if p.rule.identity and not follows and value != plain and p.name not in without:
            lines.append(f"{p.section}.{p.name}={write_value(value)}")
            if p.rule.own_code and is_own(p.name, value):
                lines.append(f"{p.section}.{p.name}.source={source_digest(p.name, value)}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
