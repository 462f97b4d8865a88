"""The record of a run in a bundle, and its line of text."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lmc_mlflow.contract import Tag
from lmc_mlflow.schema import RunId, read_json

LEFT_OUT = Tag.LEFT_OUT
"""Tag of an imported run: its artifacts that were left out of the bundle and are not in the store either."""
Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
Key = Annotated[str, StringConstraints(min_length=1, max_length=250, pattern=r"^[^\x00-\x1f]*$")]
Value = Annotated[str, StringConstraints(max_length=8000, pattern=r"^[^\x00]*$")]
Name = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f]*$")]
Label = Annotated[str, StringConstraints(max_length=36, pattern=r"^[^\x00-\x1f]*$")]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""Texts as long as the columns of MLflow's tables."""
Milliseconds = Annotated[int, Field(ge=0, lt=9_223_372_036_854)]
"""Since 1970, to the year 2262, the last that pandas has."""
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Point = tuple[Whole, Whole, Annotated[float, Field(allow_inf_nan=False)] | None]
"""Step, timestamp (milliseconds), value; None where the value is no number (NaN), which equals itself so."""


@dataclass(frozen=True)
class InputRecord:
    """A data set that a run used; `tags` hold its context."""

    name: Name
    digest: Label
    source_type: Label
    source: Text
    schema: Text | None
    profile: Text | None
    tags: Mapping[Key, Name]


@dataclass(frozen=True)
class RunRecord:
    """A run without its artifacts.

    Attributes:
        run_id: its id, which it keeps.
        experiment: name of the experiment.
        name: what the UI calls it.
        status: as MLflow has it.
        start_time: milliseconds since 1970.
        end_time: the same; None while it runs.
        user: who started it.
        params: name -> text.
        tags: name -> text.
        metrics: key -> every point that was logged, in the order of steps.
        inputs: data sets.
        left_out: paths of its artifacts that are not in the bundle.
    """

    run_id: RunId
    experiment: Name
    name: Name
    status: Status
    start_time: Milliseconds
    end_time: Milliseconds | None
    user: Name | None
    params: Mapping[Key, Value]
    tags: Mapping[Key, Value]
    metrics: Mapping[Key, tuple[Point, ...]]
    inputs: tuple[InputRecord, ...]
    left_out: tuple[Text, ...]

    @property
    def is_finished(self) -> bool:
        """Return whether the run came to its end."""
        return self.status == "FINISHED"


def to_line(record: RunRecord) -> str:
    """Write a record as one line of JSON, the same for the same record."""
    return json.dumps(dataclasses.asdict(record), sort_keys=True, allow_nan=False)


def from_line(line: str) -> RunRecord:
    """Read a record from its line.

    Raises:
        ValueError: the line is not that of a run.
    """
    try:
        return read_json(RunRecord, line)
    except ValueError as error:
        raise ValueError(f"the line of a run cannot be read ({error})") from None
