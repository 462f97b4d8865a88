"""Options of the machine: device, threads and memory; of the repair of dead runs; and of the command `main`."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option

ALL, RAY = "all", "ray"
"""Words for all CUDA devices of this machine, and for the nodes of a Ray cluster."""


@dataclass(frozen=True)
class RuntimeConfig(Section):
    """Device, threads and memory; they are no part of a result's identity."""

    device: str = option("auto", "auto, cpu, cuda or cuda:N", identity=False)
    deterministic: bool = option(
        False, "true: repeated runs are bit-equal on a GPU too (slower; on a CPU they always are)", identity=False
    )
    threads: int | None = option(None, "CPU threads; auto: PyTorch's choice", minimum=1, maximum=1024, identity=False)
    keep_memory: bool = option(
        True,
        "true: keep memory that a step frees for the next step, and do not return it to the system (faster for large "
        "batches of convolutional networks; needs more memory)",
        identity=False,
    )
    code: str = option(
        "", "folder that modules of your own lie in (model=<module>:<function>); empty: the current one", identity=False
    )


@dataclass(frozen=True)
class DevicesConfig(Section):
    """The devices among which a measurement is shared; they are no part of a result's identity."""

    devices: tuple[str, ...] = option(
        (),
        "share the work among several devices, a process on each: all, a list such as cuda:0,cuda:1 or cpu,cpu, or ray "
        "(the nodes of a Ray cluster); empty: device alone",
        identity=False,
    )
    address: str = option(
        "",
        "devices=ray: head of the cluster, as host:port; auto: this machine's; empty: start one",
        identity=False,
    )

    def check(self) -> None:
        """Refuse an address without a cluster."""
        if self.address and self.devices != (RAY,):
            raise ValueError(f"address={self.address}: it belongs to devices={RAY}; leave it out")


@dataclass(frozen=True)
class DataParallelConfig(Section):
    """The devices among which each training batch is shared; they are no part of a result's identity."""

    devices: tuple[str, ...] = option(
        (),
        "share every batch among several devices, a process on each: all, or a list such as cuda:0,cuda:1 "
        "(for networks that one device does not hold or trains slowly); empty: device alone",
        identity=False,
    )


@dataclass(frozen=True)
class TerminalConfig(Section):
    """What a command prints."""

    quiet: bool = option(
        False, "true: print the run and its result in one line, no table and no progress", identity=False, logged=False
    )


@dataclass(frozen=True)
class RepairConfig(Section):
    """The runs that count as dead, and whether they are ended."""

    apply: bool = option(False, "true: end the runs listed; false: only list them")
    orphans: bool = option(
        False, "true: delete the endpoints of pairs that were deleted (MLflow can restore them); false: only list them"
    )
    prune_epochs: bool = option(
        False, "true: delete the states of epochs that finished runs have kept (keep_epochs); false: only list them"
    )
    stale_minutes: float = option(
        30.0, "a run of another machine counts as dead after this long without a heartbeat", above=0.0
    )


@dataclass(frozen=True)
class RemovalConfig(Section):
    """The run that is removed with what hangs on it."""

    run: str = option("", "run id, or a prefix that only one run has")
    apply: bool = option(False, "true: delete the runs listed (MLflow can restore them); false: only list them")

    def check(self) -> None:
        """Check that a run is named."""
        if not self.run:
            raise ValueError("give run=<run id>")


@dataclass(frozen=True)
class StoryConfig(Section):
    """The second pair of the command `main`."""

    other_seed: int = option(
        20, "seed of the second pair; the path between the side A networks of both pairs is measured", minimum=0
    )
