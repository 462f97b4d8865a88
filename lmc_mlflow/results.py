"""Results of the Python interface: small frozen objects that name a run, and read its table and figure."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """A run of the tracking store.

    Attributes:
        run_id: of the run.
        name: what a person would call it.
        how: `finished before`, `resumed`, or what the command did (`trained`, `measured`, ...).
        metrics: that are logged, by their names.
        experiment_id: where the run is.
        uri: of the tracking store.
    """

    run_id: str
    name: str
    how: str
    metrics: Mapping[str, float] = field(repr=False)
    experiment_id: str = field(repr=False)
    uri: str = field(repr=False)
    shown: ClassVar[tuple[str, ...]] = ("headline",)
    """Metrics that it shows of itself, where they were logged."""

    @property
    def link(self) -> str:
        """Address of the run in the MLflow UI."""
        from lmc_mlflow.tracking.links import run_link

        return run_link(self.uri, self.experiment_id, self.run_id)

    def frame(self) -> pd.DataFrame:
        """Return the run's table: here one row a metric (`metric`, `value`)."""
        import pandas as pd

        return pd.DataFrame({"metric": list(self.metrics), "value": list(self.metrics.values())})

    def figure(self) -> Figure:
        """Draw the run's figure.

        Raises:
            ValueError: a run of this kind has none.
        """
        raise ValueError(f"a {type(self).__name__.lower()} has no figure of its own; its page in the UI is {self.link}")

    def summary(self) -> dict[str, str]:
        """Return what the result shows of itself, name -> text."""
        return {name: f"{self.metrics[name]:.4f}" for name in self.shown if name in self.metrics}

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self.summary().items()
        )
        head = f"{html.escape(type(self).__name__)} <b>{html.escape(self.name)}</b> ({html.escape(self.how)})"
        return f"<p>{head}: <a href='{html.escape(self.link)}'>{self.run_id[:8]}</a></p><table>{rows}</table>"

    def _ids(self, *run_ids: str, **columns: object) -> pd.DataFrame:
        """Return rows of runs in the form that readers of curves take."""
        import pandas as pd

        return pd.DataFrame([{"run_id": run_id, **columns} for run_id in run_ids or (self.run_id,)])

    def _table(self, path: str) -> pd.DataFrame:
        from lmc_mlflow.query.run_tables import read_table

        return read_table(self.run_id, path, self.uri)


@dataclass(frozen=True)
class Network(Result):
    """A logged network: an endpoint of a pair, an aligned, pruned or averaged network, or a star."""

    shown: ClassVar[tuple[str, ...]] = ("test/accuracy", "test/average_precision", "test/loss", "train/loss")


@dataclass(frozen=True)
class Pair(Result):
    """A trained pair.

    Attributes:
        a: the network of side A.
        b: the network of side B.
    """

    a: Network
    b: Network
    shown: ClassVar[tuple[str, ...]] = ("shift/c2st_accuracy",)

    def summary(self) -> dict[str, str]:
        """Return the scores of both sides."""
        sides = {f"{side} {name}": text for side, one in (("A", self.a), ("B", self.b)) for name, text in _own(one)}
        return sides | super().summary()

    def frame(self) -> pd.DataFrame:
        """Return the learning curves: a row an epoch, side and split, with loss and accuracy or average precision."""
        import pandas as pd

        from lmc_mlflow.query import learning_curves

        tables = [
            learning_curves(self._ids(one.run_id, side=side, **one.metrics), self.uri)
            for side, one in (("A", self.a), ("B", self.b))
        ]
        columns = ["side", "epoch", "split", "loss", "accuracy", "average_precision"]
        return pd.concat(tables, ignore_index=True)[[name for name in columns if name in tables[0]]]

    def figure(self) -> Figure:
        """Draw the learning curves of both sides."""
        from lmc_mlflow.plots import learning_figure

        return learning_figure(self.frame(), self.name)


def _own(network: Network) -> list[tuple[str, str]]:
    return [(name, text) for name, text in network.summary().items() if name.startswith("test/")]


@dataclass(frozen=True)
class Path(Result):
    """A measured path.

    Attributes:
        verdict: whether its ends are connected by loss and accuracy: yes, no or apparent.
        verdict_by_error: the same by error.
        verdict_by_intervals: yes, no, apparent or undecided; empty without intervals.
        decided_by: the split and the number that decided `verdict`.
        align: method by which B's units were permuted first, or `none`.
    """

    verdict: str
    verdict_by_error: str
    verdict_by_intervals: str
    decided_by: str
    align: str
    shown: ClassVar[tuple[str, ...]] = (
        "test/barrier_in_basin",
        "test/barrier",
        "test/accuracy_delta",
        "test/average_precision_delta",
        "angle_deg",
    )

    @property
    def connected(self) -> bool:
        """Whether `verdict` is yes."""
        return self.verdict == "yes"

    def summary(self) -> dict[str, str]:
        """Return the verdict, and what decided it, before the numbers."""
        return {"connected": f"{self.verdict} ({self.decided_by})"} | super().summary()

    def frame(self, unaligned: bool = False) -> pd.DataFrame:
        """Return the points: a row an alpha and split, with loss, accuracy and the other measures.

        Args:
            unaligned: whether the path to B as it was logged is read, where B's units were permuted.
        """
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.PATH_UNALIGNED if unaligned else Artifact.PATH)

    def figure(self) -> Figure:
        """Draw loss, accuracy and the other measures against alpha; with an alignment both paths."""
        from lmc_mlflow.plots import aligned_path_figure, path_figure

        title = f"{self.name}\nconnected: {self.verdict} ({self.decided_by})"
        if self.align == "none":
            return path_figure(self.frame(), title)
        return aligned_path_figure(self.frame(), self.frame(unaligned=True), title, self.align)


@dataclass(frozen=True)
class Ensemble(Result):
    """A scored ensemble.

    Attributes:
        num_members: networks in it.
    """

    num_members: int
    shown: ClassVar[tuple[str, ...]] = ("accuracy", "average_precision", "nll", "ece", "mean_accuracy")

    def frame(self) -> pd.DataFrame:
        """Return accuracy against size: a row a size and method, with the band over random orders of the members."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.SIZES)

    def figure(self) -> Figure:
        """Draw accuracy against the number of members."""
        from lmc_mlflow.plots import accuracy_by_size

        return accuracy_by_size(
            self.frame().assign(run_id=self.run_id, sampling="", model=self.name, num_members=self.num_members)
        )


@dataclass(frozen=True)
class Star(Network):
    """A trained star.

    Attributes:
        verdict: whether its segments to held-out networks, or to its sources, stay low.
    """

    verdict: str
    shown: ClassVar[tuple[str, ...]] = ("headline", "barrier_over_chord_max", "test/accuracy", "test/loss")

    def frame(self) -> pd.DataFrame:
        """Return the points of all segments."""
        return self._table("segments.json")

    def figure(self) -> Figure:
        """Draw all segments."""
        from lmc_mlflow.plots import segments_figure

        return segments_figure(self.frame(), self.name)


@dataclass(frozen=True)
class Matrix(Result):
    """The barriers between every two of several networks.

    Attributes:
        barrier: the column of the table that decides.
        linkage: of the dendrogram.
        threshold: up to which a pair is connected.
    """

    barrier: str
    linkage: str
    threshold: float
    shown: ClassVar[tuple[str, ...]] = ("headline", "connected_share", "num_clusters", "barrier_mean")

    def frame(self) -> pd.DataFrame:
        """Return a row a pair: `run_a`, `run_b`, every barrier, whether they are connected."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.MATRIX_PAIRS)

    def figure(self) -> Figure:
        """Draw the heat map of barriers and its dendrogram."""
        from lmc_mlflow.contract import Artifact
        from lmc_mlflow.plots import matrix_figure

        networks = self._table(Artifact.MATRIX_NETWORKS)
        return matrix_figure(self.frame(), networks, self.barrier, self.linkage, self.name, self.threshold)


@dataclass(frozen=True)
class Plane(Result):
    """The loss over the plane through three networks."""

    shown: ClassVar[tuple[str, ...]] = ("headline", "/barrier", "loss_a", "loss_b", "loss_c")

    def frame(self) -> pd.DataFrame:
        """Return a row a point: place, barycentric weights, loss and score."""
        return self._table("plane.csv")

    def figure(self) -> Figure:
        """Draw loss and score over the plane."""
        from lmc_mlflow.plots import plane_figure
        from lmc_mlflow.query.run_tables import read_points

        return plane_figure(self.frame(), read_points(self.run_id, self.uri), self.name)


@dataclass(frozen=True)
class Trajectory(Result):
    """The further training of a network.

    Attributes:
        average: the mean of its networks (SWA).
        query: an MLflow filter that finds its networks.
    """

    average: Network
    query: str

    def frame(self) -> pd.DataFrame:
        """Return the learning curves: a row an epoch and split; the start is a row of `test`."""
        from lmc_mlflow.query import learning_curves

        return learning_curves(self._ids(**self.metrics), self.uri)

    def figure(self) -> Figure:
        """Draw the learning curves, with a line at the average's test loss and score."""
        from lmc_mlflow.plots.per_run.trajectories import trajectory_figure

        return trajectory_figure(self.frame(), self.metrics, self.name)


def as_value(given: Any) -> Any:
    """Return what an option says: a result is its run, several are their runs."""
    if isinstance(given, Result):
        return given.run_id
    if isinstance(given, list | tuple):
        return tuple(as_value(one) for one in given)
    return given
