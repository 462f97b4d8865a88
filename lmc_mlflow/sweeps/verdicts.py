"""Reads from the store the verdict of each configuration of a grid, and marks the runs that refinement has added."""

from collections.abc import Iterator, Mapping, Sequence

from lmc_mlflow.contract import Kind, Tag
from lmc_mlflow.findings.verdicts import majority
from lmc_mlflow.query.runs import Run
from lmc_mlflow.sweeps.grid import Cell, Grid, Job
from lmc_mlflow.sweeps.progress import Snapshot, Status, read_snapshot
from lmc_mlflow.sweeps.schedule import WorkItem
from lmc_mlflow.sweeps.steps import PATH, identity_of_step
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.lifecycle.previous_runs import sort_runs


def job_verdicts(grid: Grid, statuses: Mapping[WorkItem, Status], snapshot: Snapshot) -> list[str]:
    """Decide for each job by majority over its measured cells whether they are connected.

    The verdict of a cell is that of the first path that its grid lists; those by layer or by epoch have none.

    Args:
        grid: whose jobs.
        statuses: of its cells, with their pairs.
        snapshot: of the store.

    Returns:
        For each job what `findings.verdicts.majority` returns; empty where none of its cells was measured.
    """
    found = []
    for number, job in enumerate(grid.jobs):
        of_cells = (_paths(cell, _pair(number, cell, statuses), snapshot) for cell in job.cells)
        tags = [path.data.tags for paths in of_cells for path in _with_verdict(paths)[:1]]
        found.append(majority([(one.get(Tag.CONNECTED, ""), one.get(Tag.CONNECTED_INTERVAL, "")) for one in tags]))
    return found


def mark_refined(store: Store, grid: Grid, statuses: Mapping[WorkItem, Status]) -> None:
    """Tag the pairs and paths of the cells that refinement has added with their round; what has the tag keeps it."""
    if not any(job.refinement for job in grid.jobs):
        return
    snapshot = read_snapshot(store)
    by_id = {run.info.run_id: run for runs in snapshot.pairs.values() for run in runs}
    for number, job in enumerate(grid.jobs):
        for run in _runs(number, job, statuses, snapshot, by_id) if job.refinement else ():
            if Tag.REFINED not in run.data.tags:
                store.client.set_tag(run.info.run_id, Tag.REFINED, str(job.refinement))


def _runs(
    number: int, job: Job, statuses: Mapping[WorkItem, Status], snapshot: Snapshot, by_id: Mapping[str, Run]
) -> Iterator[Run]:
    """Yield the pairs of a job and their paths."""
    for cell in job.cells:
        pair = _pair(number, cell, statuses)
        if pair:
            yield by_id[pair]
            yield from _paths(cell, pair, snapshot)


def _with_verdict(paths: Sequence[Run]) -> list[Run]:
    return [path for path in paths if path.data.tags[Tag.KIND] == Kind.PATH]


def _pair(number: int, cell: Cell, statuses: Mapping[WorkItem, Status]) -> str:
    return statuses[number, cell.config.model.seed].pair


def _paths(cell: Cell, pair: str, snapshot: Snapshot) -> list[Run]:
    """List the finished paths of a cell, in the order of its grid."""
    ends = snapshot.ends.get(pair, ("", ""))
    steps = [step for step in cell.then if step.kind == PATH] if pair else []
    runs = [snapshot.steps.get(identity_of_step(step, pair, ends, cell.config), []) for step in steps]
    finished = [sort_runs(some).finished for some in runs]
    return [run for run in finished if run is not None]
