"""Keeps a grid's schedule: which cells wait, run here or elsewhere, are finished or have failed; knows no store."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.progress import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    STOPPED,
    TO_DO,
    Status,
)
from lmc_mlflow.sweeps.worker import ELSEWHERE, CellOutcome

WorkItem = tuple[int, int | None]
"""A cell: number of its job and its seed; with None instead of a seed, the job's ensembles of all seeds."""
Portion = tuple[int, tuple[int | None, ...]]
"""Cells of one job that one worker computes together."""


class Schedule:
    """The statuses of a grid while it is computed, and the queue of what is left.

    Attributes:
        statuses: work item -> how far it is.
    """

    def __init__(
        self, grid: Grid, statuses: Mapping[WorkItem, Status], workers: int, seeds_together: int | None, retries: int
    ) -> None:
        """Queue what is left of a grid.

        Args:
            grid: what is computed.
            statuses: of every work item, as the store has it.
            workers: how many portions may be computed at once.
            seeds_together: cells in a portion at most; None: as many as leave no worker without one.
            retries: further tries after a failure.
        """
        self.statuses: dict[WorkItem, Status] = dict(statuses)
        self._grid = grid
        self._retries = retries
        self._tried: Counter[WorkItem] = Counter()
        self._elsewhere: set[WorkItem] = {item for item, status in statuses.items() if status.word == RUNNING}
        self._queue: deque[Portion] = deque()
        waiting = [item for item in self.cells if statuses[item].word in (INTERRUPTED, TO_DO)]
        size = seeds_together or max(1, len(waiting) // workers)
        for number in range(len(grid.jobs)):
            seeds = [seed for job, seed in waiting if job == number]
            self._queue += [(number, tuple(seeds[i : i + size])) for i in range(0, len(seeds), size)]
            self._queue_seed_steps(number)

    @property
    def cells(self) -> list[WorkItem]:
        """List every cell, in the order of the grid."""
        return [(cell.job, cell.config.model.seed) for cell in self._grid.cells]

    def take_next(self) -> Portion | None:
        """Take the next portion off the queue and mark it as running; None where the queue is empty."""
        if not self._queue:
            return None
        job, seeds = self._queue.popleft()
        for seed in seeds:
            self.statuses[job, seed] = Status(RUNNING, pair=self.statuses[job, seed].pair)
        return job, seeds

    def record(self, portion: Portion, outcomes: Sequence[CellOutcome], why: str) -> None:
        """Record what became of a portion; a lost worker leaves a reason instead of outcomes."""
        job, seeds = portion
        for outcome in outcomes or [CellOutcome(seed, FAILED, "", why) for seed in seeds]:
            item = (job, outcome.seed)
            if outcome.word == FINISHED:
                self.statuses[item] = Status(FINISHED, pair=outcome.pair)
            elif outcome.word == STOPPED:
                self.statuses[item] = Status(STOPPED, outcome.why)
            elif outcome.word == ELSEWHERE:
                self._elsewhere.add(item)
            elif len(seeds) > 1 and not outcome.pair:  # another seed of the portion may be the cause
                self._queue_again(item)
            elif self._tried[item] < self._retries:
                self._tried[item] += 1
                self._queue_again(item)
            else:
                self.statuses[item] = Status(FAILED, outcome.why, pair=outcome.pair)
        self._queue_seed_steps(job)

    def elsewhere(self) -> list[WorkItem]:
        """List the items that other processes compute."""
        return sorted(self._elsewhere, key=str)

    def update(self, item: WorkItem, status: Status) -> None:
        """Take over what the store says of an item that another process computes."""
        self.statuses[item] = status
        if status.word == RUNNING:
            return
        self._elsewhere.discard(item)
        if status.word in (INTERRUPTED, TO_DO):
            self._queue_again(item)
        self._queue_seed_steps(item[0])

    def pairs(self, job: int) -> tuple[str, ...]:
        """List the finished pairs of a job."""
        return tuple(self.statuses[job, cell.config.model.seed].pair for cell in self._grid.jobs[job].cells)

    def count(self, word: str) -> int:
        """Count the cells with this status."""
        return sum(self.statuses[item].word == word for item in self.cells)

    def failed(self) -> list[tuple[WorkItem, str]]:
        """List the items that failed, and why."""
        return [(item, status.why) for item, status in self.statuses.items() if status.word == FAILED]

    def _queue_again(self, item: WorkItem) -> None:
        self.statuses[item] = Status(TO_DO)
        self._queue.append((item[0], (item[1],)))

    def _queue_seed_steps(self, number: int) -> None:
        """Queue the ensembles of a job's seeds once its last cell is finished."""
        job, item = self._grid.jobs[number], (number, None)
        if not job.seed_steps or item in self._elsewhere or (number, (None,)) in self._queue:
            return
        words = [self.statuses[number, cell.config.model.seed].word for cell in job.cells]
        if all(word == FINISHED for word in words) and self.statuses[item].word in (TO_DO, INTERRUPTED):
            self._queue.append((number, (None,)))
