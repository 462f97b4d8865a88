"""The parts of a grid: jobs, whose cells differ in their seed alone."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from lmc_mlflow.config.canonical import fingerprint
from lmc_mlflow.config.commands import TrainPairConfig
from lmc_mlflow.sweeps.steps import GridStep


@dataclass(frozen=True)
class Cell:
    """One configuration with one seed, and the steps that follow its training.

    Attributes:
        job: number of its job in the grid.
        config: what is trained.
        then: what is made of the trained pair.
    """

    job: int
    config: TrainPairConfig
    then: tuple[GridStep, ...]

    @property
    def key(self) -> str:
        """Return the fingerprint, which tells it from all other cells."""
        return fingerprint(self.config)


@dataclass(frozen=True)
class Job:
    """The cells that differ in their seed alone, and the steps that need all of them.

    Attributes:
        name: what a person calls it.
        cells: one for each seed.
        seed_steps: the steps that need all cells.
        refinement: the round of refinement that has added it to its grid; 0: the grid's file.
    """

    name: str
    cells: tuple[Cell, ...]
    seed_steps: tuple[GridStep, ...]
    refinement: int = 0


@dataclass(frozen=True)
class Grid:
    """All jobs of a grid, in order.

    Attributes:
        name: of its file.
        description: what it is for.
        jobs: those of its file, then those that refinement has added.
        refining: how jobs are added, as text; empty: none is.
    """

    name: str
    description: str
    jobs: tuple[Job, ...]
    refining: str = ""

    @property
    def cells(self) -> list[Cell]:
        """List all cells, in the order of the grid."""
        return [cell for job in self.jobs for cell in job.cells]

    @property
    def digest(self) -> str:
        """Compute the digest of the cells and the steps that follow: the same for the same work.

        Cells that refinement has added follow from the others and from how they are added.
        """
        lines = [
            [[cell.key for cell in job.cells], _digest_text(job.cells[0].then), _digest_text(job.seed_steps)]
            for job in self.jobs
            if not job.refinement
        ]
        if self.refining:
            lines.append([self.refining])
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def _digest_text(steps: Sequence[GridStep]) -> str:
    """Write steps as text; the digests of it stand in users' stores, so it never changes."""
    texts = [f"Step(kind={step.kind!r}, texts={step.texts!r}, side={step.side!r})" for step in steps]
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"
