"""The table of commands, and the configuration that each of them takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lmc_mlflow.config.adopting import AdoptConfig, ForeignConfig
from lmc_mlflow.config.alignment import (
    AligningConfig,
    ImageMatchingConfig,
    MatchingConfig,
)
from lmc_mlflow.config.curvature import CurvatureConfig as CurvatureConfig
from lmc_mlflow.config.data import DataConfig, ShiftTestConfig
from lmc_mlflow.config.ensemble_and_prune import PruneConfig
from lmc_mlflow.config.measurement_commands import DiagnoseConfig as DiagnoseConfig
from lmc_mlflow.config.measurement_commands import EnsembleConfig as EnsembleConfig
from lmc_mlflow.config.measurement_commands import InterpolateConfig as InterpolateConfig
from lmc_mlflow.config.measurement_commands import MatrixConfig as MatrixConfig
from lmc_mlflow.config.measurement_commands import PlaneConfig as PlaneConfig
from lmc_mlflow.config.path import EndsConfig, PathConfig
from lmc_mlflow.config.publish import PublishCommandConfig as PublishCommandConfig
from lmc_mlflow.config.publish import PublishingConfig
from lmc_mlflow.config.report import ReportConfig
from lmc_mlflow.config.runtime import DataParallelConfig, RuntimeConfig, StoryConfig, TerminalConfig
from lmc_mlflow.config.star import (
    SegmentsConfig,
    StarSourcesConfig,
    StarTrainingConfig,
    StarVerdictConfig,
    matching_of,
)
from lmc_mlflow.config.starting import GivenStartConfig, StartConfig, check_start
from lmc_mlflow.config.store_commands import ExportCommandConfig as ExportCommandConfig
from lmc_mlflow.config.store_commands import ImportCommandConfig as ImportCommandConfig
from lmc_mlflow.config.store_commands import PrepareDataConfig as PrepareDataConfig
from lmc_mlflow.config.store_commands import RemoveCommandConfig as RemoveCommandConfig
from lmc_mlflow.config.store_commands import RepairCommandConfig as RepairCommandConfig
from lmc_mlflow.config.sweep import GridConfig, RefineConfig, StopConfig, WorkConfig
from lmc_mlflow.config.train_pair import ModelConfig, NoiseConfig, OptimizationConfig, ResumeConfig, TogetherConfig
from lmc_mlflow.config.trajectory import TrajectoryConfig

RUN = "mlflow run . --env-manager local -e"
"""How messages, figures and pages write a command; it is typed in the project's folder."""


def _check_translations(data: DataConfig, noise: NoiseConfig) -> None:
    if (data.translates or data.crops or data.resizes) and noise.noise_scope == "paper":
        what = "translations" if data.translates else "crops"
        raise ValueError(f"augmentation={data.augmentation}: noise_scope=paper draws no {what}; leave one out")


@dataclass(frozen=True)
class TrainPairConfig:
    """Train one network on each side of a data shift."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    shift_test: ShiftTestConfig = field(default_factory=ShiftTestConfig)
    starting: StartConfig = field(default_factory=StartConfig)
    together: TogetherConfig = field(default_factory=TogetherConfig)
    data_parallel: DataParallelConfig = field(default_factory=DataParallelConfig)
    publishing: PublishingConfig = field(default_factory=PublishingConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        if self.together.seeds and self.model.seed != ModelConfig().seed:
            raise ValueError("give either seed or seeds")
        _check_translations(self.data, self.noise)
        check_start(self.starting, self.model, self.optimization)


@dataclass(frozen=True)
class AlignConfig:
    """Permute the units of one logged network towards another, and log the permuted network."""

    ends: EndsConfig
    aligning: AligningConfig = field(default_factory=AligningConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    foreign: ForeignConfig = field(default_factory=ForeignConfig)
    publishing: PublishingConfig = field(default_factory=PublishingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        self.matching.check_method("method", self.aligning.method)
        if self.aligning.rescale and self.aligning.heads == "map":
            raise ValueError("heads=map and rescale=true were given; align for one of them, and leave the other out")


@dataclass(frozen=True)
class StarConfig:
    """Train a network whose segments to all of several logged networks stay low, and verify it on others."""

    joined: StarSourcesConfig
    segments: SegmentsConfig = field(default_factory=SegmentsConfig)
    matching: ImageMatchingConfig = field(default_factory=ImageMatchingConfig)
    training: StarTrainingConfig = field(default_factory=StarTrainingConfig)
    judging: StarVerdictConfig = field(default_factory=StarVerdictConfig)
    starting: GivenStartConfig = field(default_factory=GivenStartConfig)
    foreign: ForeignConfig = field(default_factory=ForeignConfig)
    publishing: PublishingConfig = field(default_factory=PublishingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        matching = replace(matching_of(self.segments, self.matching), align_seed=0)  # the star's, and no option of it
        matching.check_method("match_method", self.segments.match_method)
        if self.starting.start and self.segments.star_init != SegmentsConfig().star_init:
            raise ValueError(
                f"start and star_init={self.segments.star_init} both say where the star starts; leave one out"
            )


@dataclass(frozen=True)
class MainConfig:
    """Train two pairs, and compare a path inside one pair with a path between the two."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=lambda: ModelConfig(model="mlp_l3_w256_512_256"))
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optimization: OptimizationConfig = field(default_factory=lambda: OptimizationConfig(epochs=30))
    path: PathConfig = field(default_factory=PathConfig)
    story: StoryConfig = field(default_factory=StoryConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    shift_test: ShiftTestConfig = field(default_factory=ShiftTestConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        _check_translations(self.data, self.noise)


@dataclass(frozen=True)
class PruneCommandConfig:
    """Remove the redundant units of trained MLPs."""

    pruning: PruneConfig
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class TrajectoryCommandConfig:
    """Train a logged network for more epochs, log it after every epoch, and average all of them (SWA)."""

    trajectory: TrajectoryConfig
    starting: GivenStartConfig = field(default_factory=GivenStartConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class SweepConfig:
    """Run a grid of experiments on the cores and GPUs of this machine or of a cluster."""

    grid: GridConfig = field(default_factory=GridConfig)
    refining: RefineConfig = field(default_factory=RefineConfig)
    stopping: StopConfig = field(default_factory=StopConfig)
    work: WorkConfig = field(default_factory=WorkConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class ReportCommandConfig:
    """Compare the store with the papers' tables and figures, and judge their claims, on one page."""

    report: ReportConfig = field(default_factory=ReportConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class Command:
    """One row of the table of commands: its configuration, and its group in a list of commands."""

    config: type[Any]
    group: str

    @property
    def description(self) -> str:
        """Return the line that describes the command."""
        assert self.config.__doc__ is not None
        return self.config.__doc__


GROUPS = ("experiments", "networks", "measurements", "stores")
COMMANDS: Mapping[str, Command] = {
    "main": Command(MainConfig, "experiments"),
    "train_pair": Command(TrainPairConfig, "networks"),
    "adopt": Command(AdoptConfig, "networks"),
    "interpolate": Command(InterpolateConfig, "measurements"),
    "diagnose": Command(DiagnoseConfig, "measurements"),
    "align": Command(AlignConfig, "networks"),
    "ensemble": Command(EnsembleConfig, "measurements"),
    "prune": Command(PruneCommandConfig, "networks"),
    "trajectory": Command(TrajectoryCommandConfig, "networks"),
    "star": Command(StarConfig, "networks"),
    "matrix": Command(MatrixConfig, "measurements"),
    "plane": Command(PlaneConfig, "measurements"),
    "curvature": Command(CurvatureConfig, "measurements"),
    "publish": Command(PublishCommandConfig, "networks"),
    "prepare_data": Command(PrepareDataConfig, "stores"),
    "repair": Command(RepairCommandConfig, "stores"),
    "remove": Command(RemoveCommandConfig, "stores"),
    "sweep": Command(SweepConfig, "experiments"),
    "report": Command(ReportCommandConfig, "experiments"),
    "export": Command(ExportCommandConfig, "stores"),
    "import": Command(ImportCommandConfig, "stores"),
}
