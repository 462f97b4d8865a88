"""The record of a run in a bundle, and its line of text."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmc_mlflow.contract import Tag

RUN_ID = re.compile(r"[0-9a-z]{1,32}")
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
LEFT_OUT = Tag.LEFT_OUT
"""Tag of an imported run: its artifacts that were left out of the bundle and are not in the store either."""
Point = tuple[int, int, float | None]
"""Step, timestamp (milliseconds), value; None where the value is no number (NaN), which equals itself so."""


@dataclass(frozen=True)
class InputRecord:
    """A data set that a run used; `tags` hold its context."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None
    tags: Mapping[str, str]


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

    run_id: str
    experiment: str
    name: str
    status: str
    start_time: int
    end_time: int | None
    user: str | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, tuple[Point, ...]]
    inputs: tuple[InputRecord, ...]
    left_out: tuple[str, ...]

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
        content = json.loads(line)
        fields = {spec.name: content[spec.name] for spec in dataclasses.fields(RunRecord)}
        fields["inputs"] = tuple(InputRecord(**item) for item in content["inputs"])
        fields["left_out"] = tuple(content["left_out"])
        fields["metrics"] = {key: tuple(_point(p) for p in points) for key, points in content["metrics"].items()}
        record = RunRecord(**fields)
        whole = RUN_ID.fullmatch(record.run_id) and record.status in STATUSES
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the line of a run cannot be read ({type(error).__name__}: {error})") from None
    if not whole:
        raise ValueError(f"the line of a run cannot be read (id {record.run_id!r}, status {record.status!r})")
    return record


def _point(point: list[Any]) -> Point:
    step, timestamp, value = point
    return int(step), int(timestamp), None if value is None else float(value)
