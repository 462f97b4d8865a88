"""Results that measure a path layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lmc_mlflow.results.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PathByLayer(Result):
    """The paths between two networks on which some layers move.

    Attributes:
        split: that the figure and the summary are of.
    """

    split: str
    shown: ClassVar[tuple[str, ...]] = ("headline", "num_layers", "test/barrier")

    def frame(self) -> pd.DataFrame:
        """Return a row a mode, layer and split: barriers, share of the whole path's rise, contribution of the layer."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.BARRIER_BY_LAYER)

    def points(self) -> pd.DataFrame:
        """Return a row a mode, layer, alpha and split: loss, accuracy and the other measures."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.PATH_BY_LAYER)

    def features(self) -> pd.DataFrame:
        """Return a row a layer and split: the cosines that say how linear the layer's features are."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.FEATURES_BY_LAYER)

    def figure(self) -> Figure:
        """Draw the loss over layer and alpha, contributions, and cosines of features."""
        from lmc_mlflow.plots import paths_by_layer_figure

        return paths_by_layer_figure(self.points(), self.frame(), self.features(), self.name)
