"""Logs the path that is measured beside a run's own: to B as it was logged, or the segment beside a curve."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from lmc_mlflow.config.path import PathConfig
from lmc_mlflow.contract import STRAIGHT, UNALIGNED, Artifact, Tag
from lmc_mlflow.paths.samples import to_arrays
from lmc_mlflow.paths.walk import Path
from lmc_mlflow.tracking.run import TrackedRun
from lmc_mlflow.workflows.networks.pair_of_networks import Ends
from lmc_mlflow.workflows.path.results import first_charts, path_curves, path_metrics, path_table
from lmc_mlflow.workflows.path.verdicts import Verdicts, judge_path

Value = TypeVar("Value")


@dataclass(frozen=True)
class Place:
    """The names under which a path beside another is logged.

    Attributes:
        prefix: of metrics and curves.
        chart: end of the names of the charts that the UI begins with.
        table: artifact with the points.
        samples: artifact with every sample.
        connected: tag with the verdict.
        connected_interval: tag with the verdict by intervals.
    """

    prefix: str
    chart: str
    table: str
    samples: str
    connected: str
    connected_interval: str


AS_LOGGED = Place(
    UNALIGNED,
    "_not_aligned",
    Artifact.PATH_UNALIGNED,
    Artifact.SAMPLES_UNALIGNED,
    Tag.CONNECTED_UNALIGNED,
    Tag.CONNECTED_INTERVAL_UNALIGNED,
)
SEGMENT_BESIDE = Place(
    STRAIGHT,
    "_straight",
    Artifact.PATH_STRAIGHT,
    Artifact.SAMPLES_STRAIGHT,
    Tag.CONNECTED_STRAIGHT,
    Tag.CONNECTED_INTERVAL_STRAIGHT,
)


@dataclass(frozen=True)
class BesidePath:
    """A path that was measured beside a run's own.

    Attributes:
        place: where it is logged.
        ends: of the path, as they were logged.
        path: measured.
        verdicts: on it.
    """

    place: Place
    ends: Ends
    path: Path
    verdicts: Verdicts

    def metrics(self, config: PathConfig) -> dict[str, float]:
        """Collect its numbers under the names they are logged by."""
        return self._named(path_metrics(self.ends, self.path, config, self.verdicts))

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """List its measures over round(1000 alpha)."""
        return self._named(path_curves(self.path)) | first_charts(self.path, self.place.chart)

    def log(self, run: TrackedRun, config: PathConfig) -> None:
        """Log its table, its samples and its verdicts."""
        run.log_json(path_table(self.path).to_dict(orient="split", index=False), self.place.table)
        log_samples(run, config, self.path, self.place.samples)
        run.set_tags({self.place.connected: self.verdicts.connected})
        if self.verdicts.by_intervals is not None:
            run.set_tags({self.place.connected_interval: self.verdicts.answer_by_intervals})

    def _named(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {f"{self.place.prefix}{key}": value for key, value in values.items()}


def path_beside(place: Place, ends: Ends, path: Path, config: PathConfig) -> BesidePath:
    """Judge a path that was measured beside a run's own."""
    return BesidePath(place, ends, path, judge_path(config, path))


def log_samples(run: TrackedRun, config: PathConfig, path: Path, artifact: str) -> None:
    """Log every sample of a path, where they are kept."""
    if config.keep_samples and path.samples is not None:
        run.log_arrays(to_arrays(path.alphas, path.samples), artifact)
