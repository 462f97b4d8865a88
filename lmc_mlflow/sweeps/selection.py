"""Reads the options `only` and `override`: which cells of a grid are wanted, and what is changed in all of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from lmc_mlflow.config.canonical import parameters
from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.config.commands import EnsembleConfig, InterpolateConfig, TrainPairConfig
from lmc_mlflow.config.options import read_value
from lmc_mlflow.sweeps.grid import Job
from lmc_mlflow.sweeps.steps import GIVEN_BY_SWEEP

NOT_IN_CELLS = {
    "seed": "the grid's seeds say it",
    "force": "a sweep skips what is finished",
    "device": "give it to sweep",
    "devices": "a cell of a sweep runs on one device",
    "deterministic": "give it to sweep",
    "threads": "give it to sweep",
    "quiet": "give it to sweep",
}


def _assignments(what: str, texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise ValueError(f"{what}={text!r}: give name=value, or several with commas between them")
        yield name.strip(), value.strip()


def read_only(texts: tuple[str, ...]) -> dict[str, set[Any]]:
    """Read `only`: parameter -> the values that are wanted.

    Raises:
        ValueError: no such parameter, or not its value.
    """
    known = parameters(TrainPairConfig)
    found: dict[str, set[Any]] = {}
    for name, value in _assignments("only", texts):
        if name not in known:
            raise unknown_name("only: parameter", name, known)
        found.setdefault(name, set()).add(read_value(name, known[name].kind, value))
    return found


def wanted_seeds(job: Job, wanted: Mapping[str, set[Any]]) -> tuple[int, ...]:
    """List the seeds of a job whose cells have the wanted values."""
    known = parameters(TrainPairConfig)
    return tuple(
        cell.config.model.seed
        for cell in job.cells
        if all(getattr(getattr(cell.config, known[n].section), n) in values for n, values in wanted.items())
    )


def read_override(texts: tuple[str, ...]) -> dict[str, str]:
    """Read `override`: parameter of a cell, or of the steps that have it -> the text it is set to.

    Raises:
        ValueError: no such parameter, or one that a grid cannot set.
    """
    known = {
        name
        for command in (TrainPairConfig, InterpolateConfig, EnsembleConfig)
        for name in parameters(command)
        if name not in (*NOT_IN_CELLS, *GIVEN_BY_SWEEP, "seeds")
    }
    changes = dict(_assignments("override", texts))
    for name in changes:
        if name not in known:
            raise unknown_name("override: parameter", name, known)
    return changes
