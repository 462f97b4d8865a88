"""Fills in what the cells of a grid start from, so that their fingerprints are those of the pairs in the store."""

from dataclasses import replace
from functools import partial

import torch

from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.tracking.connection.store import Store
from lmc_mlflow.workflows.pair.starting.start import StartingPoint, find_start, with_digest


def with_starts(store: Store, grid: Grid) -> Grid:
    """Give the grid whose cells name the digest of their start; each start is loaded once.

    Raises:
        ValueError: a start that cannot be used; says which cells.
    """
    if not any(cell.config.starting.start for cell in grid.cells):
        return grid
    known: dict[tuple[object, ...], StartingPoint | None] = {}
    jobs = []
    for job in grid.jobs:
        cells = []
        for cell in job.cells:
            own = cell.config.starting
            try:
                model = cell.config.model.model, cell.config.model.model_options
                key = (own.start, own.start_epoch, cell.config.data, *model)
                if own.start and key not in known:
                    config = cell.config
                    known[key] = find_start(store, config, partial(load_shifted, config.data, torch.device("cpu")))
            except ValueError as error:
                raise ValueError(f"grid {grid.name}, {job.name}: {error}") from None
            cells.append(replace(cell, config=with_digest(cell.config, known[key])) if own.start else cell)
        jobs.append(replace(job, cells=tuple(cells)))
    return replace(grid, jobs=tuple(jobs))
