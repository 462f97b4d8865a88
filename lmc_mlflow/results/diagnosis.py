"""The result of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lmc_mlflow.results.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Diagnosis(Result):
    """What was found out about the barrier between two networks.

    Attributes:
        answer: `connected`, `explained`, `another basin` or `undecided`.
        causes: names, the one that explains most first.
        sentence: the answer in one or two sentences.
        what: the number that is explained: barrier, barrier_in_basin or error_barrier.
    """

    answer: str
    causes: tuple[str, ...]
    sentence: str
    what: str
    shown: ClassVar[tuple[str, ...]] = ("to_explain", "unexplained")

    def summary(self) -> dict[str, str]:
        """Return the answer and the causes before the numbers."""
        return {"answer": self.sentence, "causes": ", ".join(self.causes) or "none"} | super().summary()

    def frame(self) -> pd.DataFrame:
        """Return a row a cause: what it explains with its interval, the reason, and the command that removes it."""
        from lmc_mlflow.contract import Artifact

        return self._table(Artifact.DIAGNOSIS)

    def figure(self) -> Figure:
        """Draw the paths that were measured beside what each cause explains."""
        from lmc_mlflow.contract import Artifact
        from lmc_mlflow.plots import diagnosis_figure

        return diagnosis_figure(self._table(Artifact.DIAGNOSIS_CURVES), self.frame(), self.name, self.what)
