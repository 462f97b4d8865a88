"""Which options say which cells a sweep works through, and where?"""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option


@dataclass(frozen=True)
class GridConfig(Section):
    """Which cells there are."""

    grid: str = option("quickstart", "a grid of the folder grids/, by its name, or a YAML file like them")
    data_root: str = option("data", "folder of the data sets on the machines that work", identity=False)
    only: tuple[str, ...] = option((), "name=value,...: only the cells that have these values, as in model=resnet10")
    override: tuple[str, ...] = option(
        (), "name=value,...: set in every cell, as in epochs=2,batch_size=256; cells that become one are one"
    )
    dry_run: bool = option(False, "true: print the cells, what the store holds of them and how long the rest may take")


@dataclass(frozen=True)
class WorkConfig(Section):
    """Who works on the cells."""

    retries: int = option(0, "how often a cell that failed is tried again before it counts as failed", minimum=0)
    engine: str = option(
        "local", "local: processes of this machine; ray: tasks on a Ray cluster", choices=("local", "ray")
    )
    processes: int | None = option(
        None, "local: processes at work at once; auto: one a GPU, or else one a core", minimum=1
    )
    seeds_together: int | None = option(
        None, "seeds of one cell trained in step, at most; auto: as many as leave no process without work", minimum=1
    )
    address: str = option("", "ray: head of the cluster, as host:port; auto: this machine's; empty: start one")
    cpus_per_job: float = option(1.0, "ray: cores that a job is given", minimum=0.0)
    gpus_per_job: float = option(0.0, "ray: share of a GPU, or number of GPUs, that a job is given", minimum=0.0)

    def check(self) -> None:
        """Rules that tie the fields together."""
        if self.engine != "ray" and (self.address or self.cpus_per_job != 1.0 or self.gpus_per_job):
            raise ValueError("address, cpus_per_job and gpus_per_job belong to engine=ray; leave them out")
        if self.engine == "ray" and self.processes is not None:
            raise ValueError("processes belongs to engine=local; a Ray cluster takes as many jobs as it has room for")
