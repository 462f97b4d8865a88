"""Adopts the networks that a command is given by URI, and puts their run ids in the place of the URIs."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from lmc_mlflow.config.adopting import AdoptConfig, AdoptingConfig, ForeignConfig, is_uri
from lmc_mlflow.workflows.adopt.adopt import adopt
from lmc_mlflow.workflows.lifecycle.outcome import FINISHED_BEFORE

logger = logging.getLogger(__name__)
Config = TypeVar("Config")


def with_runs(config: Config, section: str, options: Sequence[str]) -> Config:
    """Adopt every network that a command is given by URI; what is a run id stays.

    Args:
        config: of the command; it has the section `foreign`.
        section: that names networks.
        options: of the section, each a text or several.

    Returns:
        The configuration with run ids alone.

    Raises:
        ValueError: a network cannot be adopted, or what is said of such networks belongs to none.
    """
    named: Any = getattr(config, section)
    foreign: ForeignConfig = config.foreign  # type: ignore[attr-defined]
    uris = [text for option in options for text in _texts(getattr(named, option)) if is_uri(text)]
    uris = list(dict.fromkeys(uris))
    if not uris:
        _refuse_unused(foreign, options)
        return config
    if not foreign.dataset:
        raise ValueError(
            f"{uris[0]}: say what it is tested on: dataset=<name>, and as its training scaled the pixels, "
            "normalization=<name>; lmc adopt --help explains both"
        )
    sides = foreign.trained_on * (len(uris) if len(foreign.trained_on) == 1 else 1)
    if len(sides) != len(uris):
        raise ValueError(f"trained_on={','.join(sides)}: give one for all, or one for each of the {len(uris)} URIs")
    data = foreign.data(named.data_root)
    ids = {}
    for uri, side in zip(uris, sides, strict=True):
        adopting = AdoptingConfig(model=uri, output=foreign.output, trained_on=side)
        outcome = adopt(AdoptConfig(adopting, data, config.runtime))  # type: ignore[attr-defined]
        ids[uri] = outcome.run_id
        if outcome.how != FINISHED_BEFORE:
            logger.warning("%s is adopted as run %s", uri, outcome.run_id)
    values = {option: _replaced(getattr(named, option), ids) for option in options}
    return replace(config, **{section: replace(named, **values), "foreign": ForeignConfig()})  # type: ignore[type-var]


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _replaced(value: str | tuple[str, ...], ids: dict[str, str]) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return ids.get(value, value)
    return tuple(ids.get(text, text) for text in value)


def _refuse_unused(foreign: ForeignConfig, options: Sequence[str]) -> None:
    plain = ForeignConfig()
    for name, value in vars(foreign).items():
        if value != getattr(plain, name):
            raise ValueError(
                f"{name} belongs to networks that are given by URI (models:/..., runs:/...) as {' or '.join(options)}; "
                "leave it out: a run knows its own"
            )
