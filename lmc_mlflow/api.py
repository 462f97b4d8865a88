"""The Python interface: every function is a command, its keyword arguments are the command's flags.

`import lmc_mlflow as lmc` gives these names; each function loads PyTorch and MLflow when it is called. Networks are
results of earlier calls, or run ids. The names and types that editors show stand in `__init__.pyi`, which is rendered
from the same tables as the flags.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lmc_mlflow.api_paths import diagnose as diagnose
from lmc_mlflow.api_paths import interpolate as interpolate
from lmc_mlflow.api_paths import interpolate_epochs as interpolate_epochs
from lmc_mlflow.api_paths import interpolate_layers as interpolate_layers
from lmc_mlflow.calls import (
    OF_OUR_LOOP,
    at,
    configure,
    ends,
    load_module,
    make_network,
    make_pair,
    make_result,
    option_table,
)
from lmc_mlflow.results.measurements import Curvature, Ensemble, Matrix, Path, Plane
from lmc_mlflow.results.networks import Network, Pair, Star, Trajectory
from lmc_mlflow.results.published_model import PublishedModel

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from lmc_mlflow.workflows.pair.own_loop.own_pair import OwnPair


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
    with at(uri, experiment):
        from lmc_mlflow.workflows.pair.train_pair import train_seeds

        return [make_pair(outcome) for outcome in train_seeds(configure("train_pair", options))]


@contextmanager
def pair(*, uri: str | None = None, experiment: str | None = None, **options: Any) -> Iterator[OwnPair]:
    """Open a pair that a training loop of your own trains: `with lmc.pair(shift="label_2080") as pair: ...`.

    Split, digests, initialization, runs and tests are made as by `train_pair`; nothing is trained. An exception in the
    block ends the runs as FAILED. Options that speak of training (`epochs`, `lr`, ...) are recorded alone.

    Args:
        uri: as in `train_pair`.
        experiment: as in `train_pair`.
        options: the flags of `train_pair`, but for those of our loop.

    Raises:
        ValueError: an option, the data or the network, or a side that was not logged in the block.
    """
    for name in OF_OUR_LOOP:
        if name in options:
            raise ValueError(f"{name} is about our training loop; leave it out")
    with at(uri, experiment):
        from lmc_mlflow.workflows.pair.own_loop.own_pair import own_pair

        with own_pair(configure("train_pair", options)) as opened:
            yield opened


def adopt(
    model_uri: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Network:
    """Log a network that was trained elsewhere: by its URI in MLflow, or by `state=` a file and `model=` a network."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.adopt.adopt import adopt as log_network

        return make_result(Network, log_network(configure("adopt", options, {"model": model_uri})))


def align(
    a: Any = None, b: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Network:
    """Permute the units of B towards A, and log the permuted network; of a pair, side B towards side A."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.alignment.align import align as permute

        return make_result(Network, permute(configure("align", options, ends(a, b))))


def ensemble(
    members: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Ensemble:
    """Score an ensemble: of points of the path of a pair or of a curve, of random points of a star, or of networks."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.ensemble.ensemble import ensemble as score

        name = {list: "runs", tuple: "runs", Star: "star", Path: "curve"}.get(type(members), "pair")
        return make_result(Ensemble, score(configure("ensemble", options, {name: members})))


def matrix(networks: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any) -> Matrix:
    """Measure the barrier between every two of several networks (a list, or `query=`)."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.matrix.matrix import matrix as measure

        config = configure("matrix", options, {"runs": networks})
        how = config.pairwise
        return make_result(Matrix, measure(config), barrier=how.barrier, linkage=how.linkage, threshold=how.limit)


def star(networks: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any) -> Star:
    """Train a network whose segments to all of several networks (a list, or `source_query=`) stay low."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.star.star import star as train

        return make_result(Star, train(configure("star", options, {"sources": networks})))


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
    with at(uri, experiment):
        from lmc_mlflow.workflows.plane.plane import plane as measure

        return make_result(Plane, measure(configure("plane", options, {"run_a": a, "run_b": b, "run_c": c})))


def curvature(
    a: Any = None, b: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Curvature:
    """Measure how sharp the loss is around the networks of a pair or path (one argument), or around two networks."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.curvature.curvature import curvature as measure

        named = {"path": a} if isinstance(a, Path) and b is None else ends(a, b)
        return make_result(Curvature, measure(configure("curvature", options, named)))


def prune(
    network: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> list[Network]:
    """Remove the redundant units of a trained MLP, or of each that `query=` finds."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.prune.prune import prune_runs

        return [make_result(Network, outcome) for outcome in prune_runs(configure("prune", options, {"run": network}))]


def publish(
    source: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> PublishedModel:
    """Publish a network, an ensemble or a point of a path (`alpha=0.5`) as a model that MLflow loads without us."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.publish.publish import publish as log_model

        return make_result(PublishedModel, log_model(configure("publish", options, {"run": source})))


def trajectory(
    network: Any = None, /, *, uri: str | None = None, experiment: str | None = None, **options: Any
) -> Trajectory:
    """Train a network for more epochs, log it after every epoch, and average all of them (SWA)."""
    with at(uri, experiment):
        from lmc_mlflow.workflows.trajectory.trajectory import trajectory as train

        outcome = train(configure("trajectory", options, {"run": network}))
        return make_result(Trajectory, outcome, average=make_network(outcome.average, outcome.how), query=outcome.query)


def network(run: Any, /, *, uri: str | None = None) -> nn.Module:
    """Load the network that a run logged, in evaluation mode; every byte is verified against the run's manifest.

    Args:
        run: a result, a run id, or a prefix that only one run has.
        uri: of the tracking store; None: that of the result, or of MLflow's own settings.

    Raises:
        ValueError: no such run, or one without a network that can be loaded.
    """
    return load_module(run, uri)


def options(command: str) -> pd.DataFrame:
    """Return the options of a command: `option`, `default`, `choices` and what it says.

    Raises:
        ValueError: there is no such command.
    """
    return option_table(str(command))
