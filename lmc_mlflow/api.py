"""The Python interface: every function is a command, its keyword arguments are the command's flags.

`import lmc_mlflow as lmc` gives these names; each function loads PyTorch and MLflow when it is called. Networks are
results of earlier calls, or run ids. The names and types that editors show stand in `__init__.pyi`, which is rendered
from the same tables as the flags.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, TypeVar

from lmc_mlflow.config.canonical import from_texts, parameters
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.commands import COMMANDS
from lmc_mlflow.config.options import write_value
from lmc_mlflow.results.measurements import Ensemble, Matrix, Path, Plane
from lmc_mlflow.results.networks import Network, Pair, Star, Trajectory
from lmc_mlflow.results.result import Result, as_value

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from lmc_mlflow.workflows.pair.train_pair import PairOutcome

R = TypeVar("R", bound=Result)
SEVERAL = (list, tuple)


def train_pair(*, uri: str | None = None, experiment: str | None = None, **options: Any) -> Pair:
    """Train one network on each side of a data shift.

    Args:
        uri: of the tracking store; None: that of MLflow's own settings.
        experiment: name of an experiment, which is made where there is none; None: that of MLflow's own settings.
        options: the flags of the command `train_pair`; see `lmc_mlflow.options("train_pair")`.

    Raises:
        ValueError: an option, the data or the network; one line that says what to do.
        StoreError: the tracking store cannot be used.
        FloatingPointError: the training diverged.
    """
    if options.get("seeds"):
        raise ValueError("train_pair trains one pair; call train_pairs(seeds=...) for several")
    return train_pairs(uri=uri, experiment=experiment, **options)[0]


def train_pairs(*, uri: str | None = None, experiment: str | None = None, **options: Any) -> list[Pair]:
    """Train a pair for each of `seeds`, all together; otherwise as `train_pair`."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.pair.train_pair import train_seeds

        return [_pair(outcome) for outcome in train_seeds(_config("train_pair", options))]


def interpolate(
    a: Any = None, b: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Path:
    """Measure the path between the networks of a pair (one argument), or between two networks."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.path.interpolate import interpolate as measure

        config = _config("interpolate", options, _ends(a, b))
        outcome = measure(config)
        return _result(
            Path,
            outcome,
            verdict=outcome.connected,
            verdict_by_error=outcome.connected_by_error,
            verdict_by_intervals=outcome.connected_interval.partition(" ")[0],
            align=config.aligning.align,
        )


def align(
    a: Any = None, b: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Network:
    """Permute the units of B towards A, and log the permuted network; of a pair, side B towards side A."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.alignment.align import align as permute

        return _result(Network, permute(_config("align", options, _ends(a, b))))


def ensemble(
    members: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Ensemble:
    """Score an ensemble: of points of the path of a pair, of random points of a star, or of a list of networks."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.ensemble.ensemble import ensemble as score

        name = "runs" if isinstance(members, SEVERAL) else "star" if isinstance(members, Star) else "pair"
        return _result(Ensemble, score(_config("ensemble", options, {name: members})))


def matrix(networks: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any) -> Matrix:
    """Measure the barrier between every two of several networks (a list, or `query=`)."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.matrix.matrix import matrix as measure

        config = _config("matrix", options, {"runs": networks})
        how = config.pairwise
        return _result(Matrix, measure(config), barrier=how.barrier, linkage=how.linkage, threshold=how.limit)


def star(networks: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any) -> Star:
    """Train a network whose segments to all of several networks (a list, or `source_query=`) stay low."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.star.star import star as train

        return _result(Star, train(_config("star", options, {"sources": networks})))


def plane(
    a: Any = None,
    b: Any = None,
    c: Any = None,
    /,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    **options: Any,
) -> Plane:
    """Measure loss and score over the plane through three networks."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.plane.plane import plane as measure

        return _result(Plane, measure(_config("plane", options, {"run_a": a, "run_b": b, "run_c": c})))


def prune(
    network: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> list[Network]:
    """Remove the redundant units of a trained MLP, or of each that `query=` finds."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.prune.prune import prune_runs

        return [_result(Network, outcome) for outcome in prune_runs(_config("prune", options, {"run": network}))]


def trajectory(
    network: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Trajectory:
    """Train a network for more epochs, log it after every epoch, and average all of them (SWA)."""
    with _at(uri, experiment):
        from lmc_mlflow.workflows.trajectory.trajectory import trajectory as train

        outcome = train(_config("trajectory", options, {"run": network}))
        return _result(Trajectory, outcome, average=_network(outcome.average), query=outcome.query)


def network(run: Any, /, *, uri: str | None = None) -> nn.Module:
    """Load the network that a run logged, in evaluation mode; every byte is verified against the run's manifest.

    Args:
        run: a result, a run id, or a prefix that only one run has.
        uri: of the tracking store; None: that of the result, or of MLflow's own settings.

    Raises:
        ValueError: no such run, or one without a network that can be loaded.
    """
    from lmc_mlflow.query.networks import load_network
    from lmc_mlflow.query.runs import default_client

    if uri is None and isinstance(run, Result):
        uri = run.uri
    return load_network(default_client(uri), as_value(run)).network()


def options(command: str) -> pd.DataFrame:
    """Return the options of a command: `option`, `default`, `choices` and what it says.

    Raises:
        ValueError: there is no such command.
    """
    import pandas as pd

    known = parameters(lookup(COMMANDS, command, "command").config).values()
    rows = [(p.name, write_value(p.default), ", ".join(p.rule.choices), p.rule.help) for p in known]
    return pd.DataFrame(rows, columns=["option", "default", "choices", "meaning"])


@contextmanager
def _at(uri: str | None, experiment: str | None) -> Iterator[None]:
    """Work at a store and in an experiment; the process, MLflow's settings and PyTorch's are as before afterwards."""
    from lmc_mlflow.tracking.connection.address import at_address
    from lmc_mlflow.tracking.processes.signals import termination_raises
    from lmc_mlflow.workflows.lifecycle.torch_settings import torch_settings_kept

    with at_address(uri, experiment), torch_settings_kept(), termination_raises():
        yield


def _config(command: str, given: Mapping[str, Any], named: Mapping[str, Any] | None = None) -> Any:
    """Make the configuration of a command from keyword arguments and from networks that are given by position."""
    by_position = {name: value for name, value in (named or {}).items() if value is not None}
    twice = by_position.keys() & given.keys()
    if twice:
        raise ValueError(f"{min(twice)} is given twice: as an argument without a name, and by its name")
    texts = {name: _as_text(name, as_value(value)) for name, value in {**given, **by_position}.items()}
    return from_texts(COMMANDS[command].config, texts)


def _as_text(name: str, value: Any) -> str:
    """Write a value as a flag would; numbers of NumPy and PyTorch count as numbers."""
    if isinstance(value, str | FilePath):
        return str(value)
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, tuple):
        return ",".join(_as_text(name, one) for one in value)
    plain = value.item() if hasattr(value, "item") else value
    if plain is None or isinstance(plain, bool | int | float):
        return write_value(plain)
    raise ValueError(f"{name}: a {type(value).__name__} is no value of an option; give a text, a number or a result")


def _ends(a: Any, b: Any) -> dict[str, Any]:
    return {"pair": a} if b is None else {"run_a": a, "run_b": b}


def _result(kind: type[R], outcome: Any, **further: Any) -> R:
    """Make a result from the outcome of a workflow, which has most of its fields."""
    from lmc_mlflow.tracking.connection.address import tracking_uri

    given = {**vars(outcome), "uri": tracking_uri(), **further}
    return kind(**{spec.name: given[spec.name] for spec in fields(kind)})


def _pair(outcome: PairOutcome) -> Pair:
    return _result(Pair, outcome, a=_network(outcome.endpoints["A"]), b=_network(outcome.endpoints["B"]))


def _network(run_id: str) -> Network:
    from lmc_mlflow.query.runs import default_client
    from lmc_mlflow.workflows.lifecycle.outcome import Outcome

    run = default_client().get_run(run_id)
    return _result(Network, Outcome.of(run, "trained"))
