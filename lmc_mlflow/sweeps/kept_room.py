"""Estimates how much room the kept epochs of a grid take, those that pairs share included."""

from collections.abc import Mapping

import torch

from lmc_mlflow.config.starting import kept_epochs
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.models.registry import NetworkSpec, empty_state
from lmc_mlflow.sweeps.grid import Cell, Grid
from lmc_mlflow.sweeps.progress import FINISHED, Status
from lmc_mlflow.sweeps.schedule import WorkItem
from lmc_mlflow.training.optimizers import NUM_SLOTS
from lmc_mlflow.workflows.pair.budgets.budget import with_epochs
from lmc_mlflow.workflows.pair.runs import network_spec
from lmc_mlflow.workflows.pair.starting.trunk import Trunk


def kept_bytes(grid: Grid, statuses: Mapping[WorkItem, Status]) -> int:
    """Count the bytes of all states that the unfinished cells of a grid are to keep; data are loaded where there are.

    Each network counts with what its optimizer keeps beside every number.

    Args:
        grid: read and validated.
        statuses: of its cells.
    """
    cells = [
        cell
        for number, job in enumerate(grid.jobs)
        for cell in job.cells
        if statuses[number, cell.config.model.seed].word != FINISHED and _keeps_states(cell)
    ]
    total, trunks = 0, list[dict[str, str]]()
    for section in dict.fromkeys(cell.config.data for cell in cells):
        data = load_shifted(section, torch.device("cpu"))
        sizes: dict[NetworkSpec, int] = {}
        for config in (with_epochs(cell.config, data) for cell in cells if cell.config.data == section):
            spec = network_spec(config, data)
            if spec not in sizes:
                sizes[spec] = sum(value.numel() * value.element_size() for value in empty_state(spec).values())
            own = config.optimization
            size = sizes[spec] * (1 + NUM_SLOTS[own.optimizer](own.momentum))
            total += 2 * len(kept_epochs(config.starting, own.epochs)) * size
            trunk = Trunk(config, data, ()).identities()[0] if config.starting.shared_epochs else None
            if trunk is not None and trunk not in trunks:
                trunks.append(trunk)
                total += size
    return total


def _keeps_states(cell: Cell) -> bool:
    return bool(cell.config.starting.keep_epochs or cell.config.starting.shared_epochs)
