"""Turns a call from Python into the configuration of a command, and its outcome into a result."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, TypeVar

from lmc_mlflow.config.canonical import from_texts, parameters
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.options import write_value
from lmc_mlflow.results.networks import Network, Pair
from lmc_mlflow.results.result import Result, as_value

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from lmc_mlflow.workflows.pair.pair_outcome import PairOutcome

NETWORKS = frozenset({"run_a", "run_b", "run_c", "run", "runs", "sources", "held_out", "start"})
"""Options that name networks."""
OF_ANY_KIND = frozenset({"publish"})
"""Commands that take other runs there too, and say themselves which."""
OF_OUR_LOOP = (
    *("seeds", "engine", "precision", "schedule", "warmup_epochs", "clip_norm", "devices"),
    *("loop", "checkpoint_every", "force"),
    *("start_epoch", "shared_epochs", "shared_data", "perturb", "keep_epochs", "freeze"),
)
"""Options of `train_pair` that `pair` has no use for; what it says of epochs, optimizer and so on is recorded alone."""
R = TypeVar("R", bound=Result)


@contextmanager
def at(uri: str | None, experiment: str | None) -> Iterator[None]:
    """Work at a store and in an experiment; the process, MLflow's settings and PyTorch's are as before afterwards.

    Raises:
        ValueError: one of them is no text, or the experiment has no name.
    """
    from lmc_mlflow.tracking.connection.address import at_address
    from lmc_mlflow.tracking.processes.signals import termination_raises
    from lmc_mlflow.workflows.lifecycle.torch_settings import torch_settings_kept

    refuse_no_text(uri=uri, experiment=experiment)
    if experiment is not None and not experiment.strip():
        raise ValueError("experiment is empty; give a name, or leave it out")
    with at_address(uri, experiment), torch_settings_kept(), termination_raises(), _warnings_shown():
        yield


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Show warnings within the block, also where an import of `mlflow.pytorch` has silenced all loggers of the process.

    A level that the caller has set for the logger `lmc_mlflow` stays.
    """
    logger = logging.getLogger("lmc_mlflow")
    level = logger.level
    if level == logging.NOTSET and not logger.isEnabledFor(logging.WARNING):
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def refuse_no_text(**given: object) -> None:
    """Refuse a store or an experiment that is neither a text nor None.

    Raises:
        ValueError: naming it.
    """
    examples = {"uri": "sqlite:////home/me/mlflow.db", "experiment": "a first look"}
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name}={value!r} is a {type(value).__name__}; give a text, such as {examples[name]!r}")


def configure(command: str, given: Mapping[str, Any], named: Mapping[str, Any] | None = None) -> Any:
    """Make the configuration of a command from keyword arguments and from networks that are given by position.

    Networks that are None are left out.

    Raises:
        ValueError: an unknown option, a value that is not allowed, or a network that is given twice.
    """
    by_position = {name: value for name, value in (named or {}).items() if value is not None}
    twice = by_position.keys() & given.keys()
    if twice:
        raise ValueError(f"{min(twice)} is given twice: as an argument without a name, and by its name")
    values = {n: value for n, value in {**given, **by_position}.items() if value is not None or n not in NETWORKS}
    _refuse_terminal_options(command, given)
    for name in NETWORKS & values.keys() if command not in OF_ANY_KIND else ():
        _check_networks(name, values[name])
    texts = {name: as_text(name, as_value(value)) for name, value in values.items()}
    return from_texts(COMMANDS[command].config, texts)


def _refuse_terminal_options(command: str, given: Mapping[str, Any]) -> None:
    """Refuse options that change what a command prints alone."""
    for name, parameter in parameters(COMMANDS[command].config).items():
        if name in given and parameter.section == "terminal":
            raise ValueError(f"{name} is about what a command prints in a terminal; leave it out")


def _check_networks(name: str, given: Any) -> None:
    """Refuse results that are no network where networks are named, and None among several."""
    for one in given if isinstance(given, list | tuple) else (given,):
        if one is None:
            raise ValueError(f"{name}: one of them is None; give networks, or run ids")
        if isinstance(one, Result) and not isinstance(one, Network):
            kind = type(one).__name__.lower()
            raise ValueError(f"{name}: a {kind} is no network; give one, such as pair.a, pair.b or trajectory.average")


def as_text(name: str, value: Any) -> str:
    """Write a value as a flag would; numbers of NumPy and PyTorch count as numbers."""
    if isinstance(value, str | FilePath):
        return str(value)
    if isinstance(value, Mapping):
        try:
            return json.dumps(value, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}; give texts, numbers, and lists and mappings of them") from None
    if isinstance(value, tuple):
        return ",".join(as_text(name, one) for one in value)
    plain = value.item() if getattr(value, "shape", None) == () else value  # of NumPy or PyTorch
    if plain is None or isinstance(plain, bool | int | float):
        return write_value(plain)
    raise ValueError(f"{name}: a {type(value).__name__} is no value of an option; give a text, a number or a result")


def ends(a: Any, b: Any) -> dict[str, Any]:
    """Name the ends of a path: a pair, or two networks."""
    return {"pair": a} if b is None else {"run_a": a, "run_b": b}


def make_result(kind: type[R], outcome: Any, **further: Any) -> R:
    """Make a result from the outcome of a workflow, which has most of its fields."""
    from lmc_mlflow.tracking.connection.address import tracking_uri

    given = {**vars(outcome), "uri": tracking_uri(), **further}
    return kind(**{spec.name: given[spec.name] for spec in fields(kind)})


def make_pair(outcome: PairOutcome) -> Pair:
    """Make the result of a trained pair, with its two networks."""
    a, b = (make_network(outcome.endpoints[side], outcome.how) for side in "AB")
    return make_result(Pair, outcome, a=a, b=b)


def make_network(run_id: str, how: str) -> Network:
    """Make the result of a logged network; `how` as in `Result`."""
    from lmc_mlflow.query.runs import default_client
    from lmc_mlflow.workflows.lifecycle.outcome import Outcome

    run = default_client().get_run(run_id)
    return make_result(Network, Outcome.of(run, how))


def load_module(run: Any, uri: str | None) -> nn.Module:
    """Load the network of a run as `lmc_mlflow.network` does."""
    from lmc_mlflow.query.networks import load_network
    from lmc_mlflow.query.runs import default_client

    refuse_no_text(uri=uri)
    if uri is None and isinstance(run, Result):
        uri = run.uri
    return load_network(default_client(uri), as_text("run", as_value(run))).network()


def option_table(command: str) -> pd.DataFrame:
    """Tabulate the options of a command: `option`, `default`, `choices` and `meaning`.

    Raises:
        ValueError: there is no such command.
    """
    import pandas as pd

    known = parameters(lookup(COMMANDS, command, "command").config).values()
    rows = [
        (p.name, write_value(p.default), ", ".join(p.rule.choices), p.rule.help)
        for p in known
        if p.section != "terminal"
    ]
    return pd.DataFrame(rows, columns=["option", "default", "choices", "meaning"])
