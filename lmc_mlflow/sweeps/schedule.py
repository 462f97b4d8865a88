"""What is to be done next? Which cells are waiting, at work, elsewhere, finished or given up; knows no store."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.sweeps.progress import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    TO_DO,
    State,
)
from lmc_mlflow.sweeps.worker import ELSEWHERE, Report

Unit = tuple[int, int | None]
"""A cell: number of its job and its seed; with None, the job's ensembles of all seeds."""
Portion = tuple[int, tuple[int | None, ...]]
"""Cells of one job that one worker takes on together."""


class Schedule:
    """The state of a grid while it is worked through."""

    def __init__(
        self, grid: Grid, states: Mapping[Unit, State], workers: int, together: int | None, retries: int
    ) -> None:
        """Args: the grid; its states in the store; how many portions may be at work at once; cells a portion at
        most (None: as many as leave no worker without one); tries after a failure."""
        self.states: dict[Unit, State] = dict(states)
        self._grid = grid
        self._retries = retries
        self._tried: Counter[Unit] = Counter()
        self._elsewhere: set[Unit] = {unit for unit, state in states.items() if state.word == RUNNING}
        self._queue: deque[Portion] = deque()
        waiting = [unit for unit in self.cells if states[unit].word in (INTERRUPTED, TO_DO)]
        size = together or max(1, len(waiting) // workers)
        for number in range(len(grid.jobs)):
            seeds = [seed for job, seed in waiting if job == number]
            self._queue += [(number, tuple(seeds[i : i + size])) for i in range(0, len(seeds), size)]
            self._queue_together(number)

    @property
    def cells(self) -> list[Unit]:
        """Every cell, in the order of the grid."""
        return [(cell.job, cell.config.model.seed) for cell in self._grid.cells]

    def take(self) -> Portion | None:
        """The next portion, now at work, or None."""
        if not self._queue:
            return None
        job, seeds = self._queue.popleft()
        for seed in seeds:
            self.states[job, seed] = State(RUNNING, pair=self.states[job, seed].pair)
        return job, seeds

    def put_back(self, portion: Portion, reports: Sequence[Report], why: str) -> None:
        """Note what became of a portion; a lost worker leaves a reason instead of reports."""
        job, seeds = portion
        for report in reports or [Report(seed, FAILED, "", why) for seed in seeds]:
            unit = (job, report.seed)
            if report.word == FINISHED:
                self.states[unit] = State(FINISHED, pair=report.pair)
            elif report.word == ELSEWHERE:
                self._elsewhere.add(unit)
            elif len(seeds) > 1 and not report.pair:  # one of them may have taken the others along
                self._again(unit)
            elif self._tried[unit] < self._retries:
                self._tried[unit] += 1
                self._again(unit)
            else:
                self.states[unit] = State(FAILED, report.why, pair=report.pair)
        self._queue_together(job)

    def elsewhere(self) -> list[Unit]:
        """What other processes work on."""
        return sorted(self._elsewhere, key=str)

    def learn(self, unit: Unit, state: State) -> None:
        """Take over what the store says of a cell that another process works on."""
        self.states[unit] = state
        if state.word == RUNNING:
            return
        self._elsewhere.discard(unit)
        if state.word in (INTERRUPTED, TO_DO):
            self._again(unit)
        self._queue_together(unit[0])

    def pairs(self, job: int) -> tuple[str, ...]:
        """The finished pairs of a job."""
        return tuple(self.states[job, cell.config.model.seed].pair for cell in self._grid.jobs[job].cells)

    def count(self, word: str) -> int:
        """How many cells are so."""
        return sum(self.states[unit].word == word for unit in self.cells)

    def failed(self) -> list[tuple[Unit, str]]:
        """What was given up, and why."""
        return [(unit, state.why) for unit, state in self.states.items() if state.word == FAILED]

    def is_finished(self) -> bool:
        """Whether nothing at all is left."""
        return all(state.word == FINISHED for state in self.states.values())

    def _again(self, unit: Unit) -> None:
        self.states[unit] = State(TO_DO)
        self._queue.append((unit[0], (unit[1],)))

    def _queue_together(self, number: int) -> None:
        """The ensembles of a job's seeds come when its last cell is finished."""
        job, unit = self._grid.jobs[number], (number, None)
        if not job.together or unit in self._elsewhere or (number, (None,)) in self._queue:
            return
        cells = [self.states[number, cell.config.model.seed].word for cell in job.cells]
        if all(word == FINISHED for word in cells) and self.states[unit].word in (TO_DO, INTERRUPTED):
            self._queue.append((number, (None,)))
