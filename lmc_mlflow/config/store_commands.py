"""The configurations of the commands that look after stores of runs and of data."""

from dataclasses import dataclass, field

from lmc_mlflow.config.bundle import ExportConfig, ImportConfig
from lmc_mlflow.config.data import PrepareConfig
from lmc_mlflow.config.runtime import RemovalConfig, RepairConfig, TerminalConfig


@dataclass(frozen=True)
class PrepareDataConfig:
    """Convert an archive or a folder of pictures to a store that training reads fast and with bounded memory."""

    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class RepairCommandConfig:
    """List the runs that a dead process left RUNNING, and the endpoints of deleted pairs; end and delete on request."""

    repair: RepairConfig = field(default_factory=RepairConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class ExportCommandConfig:
    """Write runs with their metrics, artifacts and digests to one file."""

    export: ExportConfig
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class ImportCommandConfig:
    """Merge exported runs into the store, under their own ids."""

    bundle: ImportConfig
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class RemoveCommandConfig:
    """Delete a run with what hangs on it: the runs below it, and those that were computed from it."""

    removal: RemovalConfig
    terminal: TerminalConfig = field(default_factory=TerminalConfig)
