"""Checks that every cell of a grid can be trained here: loads its data and builds its networks before anything runs."""

from collections.abc import Mapping

import torch

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.data.loading import load_shifted
from lmc_mlflow.models.registry import NetworkSpec, build_network
from lmc_mlflow.sweeps.grid import Grid
from lmc_mlflow.workflows.pair.budgets.budget import with_epochs
from lmc_mlflow.workflows.pair.runs import network_spec


def data_digests(grid: Grid, known: Mapping[DataConfig, str] | None = None) -> Mapping[DataConfig, str]:
    """Load each data set of a grid once, build each of its networks once, and return the digests of the data.

    Args:
        grid: read and validated.
        known: digests of data that need not be loaded.

    Raises:
        ValueError: naming the cells whose data or network are not available.
    """
    digests: dict[DataConfig, str] = dict(known or {})
    for section in dict.fromkeys(job.cells[0].config.data for job in grid.jobs):
        if section in digests:
            continue
        jobs = [job for job in grid.jobs if job.cells[0].config.data == section]
        job = jobs[0]
        try:
            data = load_shifted(section, torch.device("cpu"))
            specs: set[NetworkSpec] = set()
            for job in jobs:
                spec = network_spec(with_epochs(job.cells[0].config, data), data)
                if spec not in specs:
                    build_network(spec, seed=0)
                specs.add(spec)
        except ValueError as error:
            raise ValueError(f"grid {grid.name}, {job.name}: {error}") from None
        digests[section] = data.digest
    return digests
