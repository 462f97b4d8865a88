"""The outcome of a command: the run that it has logged or found."""

from dataclasses import dataclass
from typing import Any, Self

from lmc_mlflow.query.runs import Run

FINISHED_BEFORE = "finished before"


@dataclass(frozen=True)
class Outcome:
    """The run of a command, and how it came about.

    Attributes:
        run_id: of the run.
        name: what a person would call it.
        how: `finished before`, `resumed`, or what the command does (`trained`, `measured`, ...).
        metrics: that are logged, by their names.
        experiment_id: where the run is.
    """

    run_id: str
    name: str
    how: str
    metrics: dict[str, float]
    experiment_id: str

    @classmethod
    def of(cls, run: Run, how: str, **further: Any) -> Self:
        """Make the outcome from what the store holds of a run; `further` are the fields of a subclass."""
        info = run.info
        return cls(info.run_id, info.run_name or "", how, dict(run.data.metrics), info.experiment_id, **further)
