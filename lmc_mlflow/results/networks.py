"""Results that are networks, or made of them: endpoints, pairs, stars, trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lmc_mlflow.results.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Network(Result):
    """A logged network: an endpoint of a pair, an aligned, pruned or averaged network, or a star."""

    shown: ClassVar[tuple[str, ...]] = (
        "test/accuracy",
        "test/average_precision",
        "test/loss",
        "train/loss",
        "angle_weights_deg",
    )


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
class Star(Network):
    """A trained star.

    Attributes:
        verdict: whether its segments to held-out networks, or to its sources, stay low.
    """

    verdict: str
    shown: ClassVar[tuple[str, ...]] = (
        "headline",
        "star_held_out/test/barrier_over_chord_max",
        "star_source/test/barrier_over_chord_max",
        "star/test/accuracy",
        "star/test/average_precision",
        "star/test/loss",
    )

    def frame(self) -> pd.DataFrame:
        """Return the points of all segments."""
        return self._table("segments.json")

    def figure(self) -> Figure:
        """Draw all segments."""
        from lmc_mlflow.plots import segments_figure

        return segments_figure(self.frame(), self.name)


@dataclass(frozen=True)
class Trajectory(Result):
    """The further training of a network.

    Attributes:
        average: the mean of its networks (SWA).
        query: an MLflow filter that finds its networks.
    """

    average: Network
    query: str
    shown: ClassVar[tuple[str, ...]] = tuple(
        f"test/{name}_{when}" for name in ("accuracy", "average_precision", "loss") for when in ("start", "last", "swa")
    )

    def frame(self) -> pd.DataFrame:
        """Return the learning curves: a row an epoch and split; the start is a row of `test`."""
        from lmc_mlflow.query import learning_curves

        return learning_curves(self._ids(**self.metrics), self.uri)

    def figure(self) -> Figure:
        """Draw the learning curves, with a line at the average's test loss and score."""
        from lmc_mlflow.plots.per_run.trajectories import trajectory_figure

        return trajectory_figure(self.frame(), self.metrics, self.name)
