"""What is a grid made of? Cells, which differ in their seed alone within a job."""

import hashlib
import json
from dataclasses import dataclass

from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.sweeps.steps import Step


@dataclass(frozen=True)
class Cell:
    """One configuration with one seed, and what follows it."""

    job: int
    config: TrainPairConfig
    then: tuple[Step, ...]

    @property
    def key(self) -> str:
        """What tells it from all other cells."""
        return fingerprint(self.config)


@dataclass(frozen=True)
class Job:
    """The cells that differ in their seed alone, and what is made of all of them together."""

    name: str
    cells: tuple[Cell, ...]
    together: tuple[Step, ...]


@dataclass(frozen=True)
class Grid:
    """A grid as it is worked through."""

    name: str
    description: str
    jobs: tuple[Job, ...]

    @property
    def cells(self) -> list[Cell]:
        """All cells, in the order of the grid."""
        return [cell for job in self.jobs for cell in job.cells]

    @property
    def digest(self) -> str:
        """Of the cells and what follows them: the same for the same work."""
        lines = [[[cell.key for cell in job.cells], repr(job.cells[0].then), repr(job.together)] for job in self.jobs]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]
