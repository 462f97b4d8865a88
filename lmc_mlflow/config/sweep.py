"""The options that say which cells a sweep computes, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from lmc_mlflow.config.options import Section, option
from lmc_mlflow.contract import Tag

SWEEP_ENGINES: Mapping[str, tuple[str, ...]] = {
    "local": ("processes",),
    "ray": ("address", "cpus_per_job", "gpus_per_job"),
}
"""Name of a sweep engine -> the options that only this engine takes; sweeps/engines/table.py starts them."""

NO_REFINEMENT = "none"


@dataclass(frozen=True)
class GridConfig(Section):
    """Which cells there are."""

    grid: str = option("quickstart", "a grid of the folder grids/, by its name, or a YAML file like them")
    data_root: str = option("data", "folder of the data sets on the machines that compute", identity=False)
    only: tuple[str, ...] = option((), "name=value,...: compute only the cells with these values, as in model=resnet10")
    override: tuple[str, ...] = option(
        (), "name=value,...: set in every cell, as in epochs=2,batch_size=256; equal cells are computed once"
    )
    dry_run: bool = option(False, "true: print the cells, what the store holds of them and how long the rest may take")


@dataclass(frozen=True)
class RefineConfig(Section):
    """Which cells are added to those of the grid."""

    refine: str = option(
        NO_REFINEMENT,
        f"{Tag.CONNECTED}: when the grid is measured, add cells between neighbours whose verdicts differ",
        choices=(NO_REFINEMENT, Tag.CONNECTED),
    )
    refine_cells: int = option(
        60,
        "refine: cells that are added at most; each configuration counts once for each seed",
        minimum=1,
        only_with={"refine": Tag.CONNECTED},
    )
    refine_halvings: int = option(
        2,
        "refine: how often a gap between neighbours of the grid is halved at most",
        minimum=1,
        maximum=10,
        only_with={"refine": Tag.CONNECTED},
    )

    @property
    def is_on(self) -> bool:
        """Whether cells are added."""
        return self.refine != NO_REFINEMENT


@dataclass(frozen=True)
class StopConfig(Section):
    """Which pairs are not trained to their end."""

    stop_hopeless: bool = option(
        False,
        "true: stop pairs that will hardly end connected, by a forecast from the store's other pairs; the first seed "
        "of each configuration goes on",
    )
    stop_epoch: int = option(
        5, "stop_hopeless: the epoch after which the forecast is made", minimum=1, only_with={"stop_hopeless": True}
    )


@dataclass(frozen=True)
class WorkConfig(Section):
    """Who computes the cells."""

    retries: int = option(0, "how often a cell that failed is tried again before it counts as failed", minimum=0)
    engine: str = option(
        "local", "local: processes of this machine; ray: tasks on a Ray cluster", choices=tuple(SWEEP_ENGINES)
    )
    processes: int | None = option(
        None, "local: processes that run at once; auto: one for each GPU, or else one for each core", minimum=1
    )
    seeds_together: int | None = option(
        None,
        "largest number of seeds of a job that train together; auto: as many as leave no process without work",
        minimum=1,
    )
    address: str = option("", "ray: head of the cluster, as host:port; auto: this machine's; empty: start one")
    cpus_per_job: float = option(1.0, "ray: cores for each task", minimum=0.0)
    gpus_per_job: float = option(0.0, "ray: share of a GPU, or number of GPUs, for each task", minimum=0.0)

    def check(self) -> None:
        """Refuse options of another engine."""
        defaults = {spec.name: spec.default for spec in fields(self)}
        for engine, names in SWEEP_ENGINES.items():
            if engine != self.engine and any(getattr(self, name) != defaults[name] for name in names):
                belong = "belong" if len(names) > 1 else "belongs"
                listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
                raise ValueError(
                    f"{listed} {belong} to engine={engine}; leave {'them' if len(names) > 1 else 'it'} out"
                )
