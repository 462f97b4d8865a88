"""The run behind a result, what it shows of itself, and readers of its tables."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from lmc_mlflow.own_code import name_of

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
    metrics: Mapping[str, float] = field(repr=False, hash=False)
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


def as_value(given: Any) -> Any:
    """Return what an option says: a result is its run, several are their runs, a function is its name.

    Raises:
        ValueError: a function that cannot be imported by a name.
    """
    if hasattr(given, "run_id"):  # a pair in the hands of a user's own loop has one too
        return given.run_id
    if isinstance(given, list | tuple | range):
        return tuple(as_value(one) for one in given)
    if getattr(given, "ndim", 0) == 1:  # of NumPy or PyTorch
        return tuple(given.tolist())
    if hasattr(given, "state_dict") and not isinstance(given, type):
        raise ValueError(
            f"a {type(given).__name__} in memory is no option; give the run that logged it, or a function that "
            "builds it"
        )
    if callable(given):
        return name_of(given)
    return given
