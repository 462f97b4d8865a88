"""Results that measure networks: paths, ensembles, matrices, planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lmc_mlflow.results.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Path(Result):
    """A measured path.

    Attributes:
        verdict: whether its ends are connected by loss and accuracy: yes, no or apparent.
        verdict_by_error: the same by error.
        verdict_by_intervals: yes, no, apparent or undecided; empty without intervals.
        decided_by: the split and the number that decided `verdict`.
        align: method by which B's units were permuted first, or `none`.
        thresholds: barrier in basin (nats) and accuracy delta (a fraction) beyond which the path is broken.
    """

    verdict: str
    verdict_by_error: str
    verdict_by_intervals: str
    decided_by: str
    align: str
    thresholds: tuple[float, float]
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
            return path_figure(self.frame(), title, thresholds=self.thresholds)
        unaligned = self.frame(unaligned=True)
        return aligned_path_figure(self.frame(), unaligned, title, self.align, thresholds=self.thresholds)

    def by_class(self) -> pd.DataFrame:
        """Return who pays for the barrier over the chord: a row a split and class, contributions in nats."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.BARRIER_BY_CLASS)

    def by_class_figure(self) -> Figure:
        """Draw what each class pays, and what the classes of each side pay on every split."""
        from lmc_mlflow.plots import who_pays_figure

        return who_pays_figure(self.by_class(), self.name)

    def by_sample(self) -> pd.DataFrame:
        """Return the images of each split that pay most for the barrier over the chord, the first pays most."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.BARRIER_BY_SAMPLE)

    def calibrated_figure(self) -> Figure:
        """Draw losses at the best temperatures beside those of the path, where it was measured with `calibrate`.

        Raises:
            ValueError: it was not.
        """
        from lmc_mlflow.paths.calibrated import CALIBRATED
        from lmc_mlflow.plots import calibrated_figure

        table = self.frame()
        if not set(CALIBRATED) <= set(table):
            raise ValueError(f"path {self.run_id} was measured without temperatures; measure it with calibrate=true")
        return calibrated_figure(table, self.name)


@dataclass(frozen=True)
class PathByEpoch(Result):
    """The paths between both sides of a pair after each of its kept epochs.

    Attributes:
        pair: run id of the pair.
    """

    pair: str
    shown: ClassVar[tuple[str, ...]] = ("barrier", "barrier_in_basin", "angle_deg")

    def frame(self) -> pd.DataFrame:
        """Return a row an epoch and split: every barrier, the verdicts, angles and distances."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.BARRIER_BY_EPOCH)

    def figure(self) -> Figure:
        """Draw every barrier against epoch, distance and angle."""
        from lmc_mlflow.plots import paths_by_epoch_figure

        return paths_by_epoch_figure(self.frame(), self.name)


@dataclass(frozen=True)
class Ensemble(Result):
    """A scored ensemble.

    Attributes:
        num_members: networks in it.
    """

    num_members: int
    shown: ClassVar[tuple[str, ...]] = (
        "mean_prediction_accuracy",
        "member_accuracy",
        "nll",
        "ece",
    )

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

    def other_data(self) -> pd.DataFrame:
        """Return the scores on further test sets, where it was scored with `test_on`: a row a split and score."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.OTHER_SCORES)


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
    shown: ClassVar[tuple[str, ...]] = ("headline", "share_connected", "num_clusters", "mean_barrier")

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

    shown: ClassVar[tuple[str, ...]] = (
        "headline",
        "ab/barrier",
        "ac/barrier",
        "bc/barrier",
        "loss_a",
        "loss_b",
        "loss_c",
    )

    def frame(self) -> pd.DataFrame:
        """Return a row a point: place, barycentric weights, loss and score."""
        return self._table("plane.csv")

    def figure(self) -> Figure:
        """Draw loss and score over the plane."""
        from lmc_mlflow.plots import plane_figure
        from lmc_mlflow.query.run_tables import read_points

        return plane_figure(self.frame(), read_points(self.run_id, self.uri), self.name)


@dataclass(frozen=True)
class Curvature(Result):
    """How sharp the loss is around two networks and between them."""

    shown: ClassVar[tuple[str, ...]] = (
        "ends/eigenvalue",
        "ends/trace",
        "ends/adaptive_sharpness",
        "ends/adaptive_trace",
    )

    def summary(self) -> dict[str, str]:
        """Return the means over both networks, with four digits."""
        return {name: f"{self.metrics[name]:.4g}" for name in self.shown if name in self.metrics}

    def frame(self, layers: bool = False) -> pd.DataFrame:
        """Return a row a point and split: loss, eigenvalue, trace with its interval, sharpness.

        Args:
            layers: whether the blocks of the layers are read, where they were measured (`layers=True`).
        """
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.CURVATURE_BY_LAYER if layers else Artifact.CURVATURE)

    def figure(self) -> Figure:
        """Draw loss, eigenvalue, trace and sharpness against alpha."""
        from lmc_mlflow.plots import curvature_figure

        return curvature_figure(self.frame(), self.name)
