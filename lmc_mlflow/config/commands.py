"""Which sections does each command take? One frozen configuration for each entry point."""

from dataclasses import dataclass, field, replace

from lmc_mlflow.config.alignment import (
    AligningConfig,
    ImageMatchingConfig,
    MatchingConfig,
    PathAligningConfig,
)
from lmc_mlflow.config.bundle import ExportConfig, ImportConfig
from lmc_mlflow.config.data import DataConfig, PrepareConfig, ShiftTestConfig
from lmc_mlflow.config.ensemble_and_prune import PruneConfig, TrajectoryConfig
from lmc_mlflow.config.network_groups import (
    CornersConfig,
    PairwiseConfig,
    SurfaceConfig,
    SurveyedConfig,
)
from lmc_mlflow.config.path import (
    EndsConfig,
    MembersConfig,
    PathConfig,
    ScoresConfig,
)
from lmc_mlflow.config.report import ReportConfig
from lmc_mlflow.config.runtime import RepairConfig, RuntimeConfig, StoryConfig
from lmc_mlflow.config.star import (
    SegmentsConfig,
    StarSourcesConfig,
    StarTrainingConfig,
    StarVerdictConfig,
    matching_of,
)
from lmc_mlflow.config.sweep import GridConfig, WorkConfig
from lmc_mlflow.config.train_pair import (
    ModelConfig,
    NoiseConfig,
    OptimizationConfig,
    ResumeConfig,
    TogetherConfig,
)


def _refuse_translations_of_the_paper(data: DataConfig, noise: NoiseConfig) -> None:
    if data.translates and noise.noise_scope == "paper":
        raise ValueError(f"augmentation={data.augmentation}: noise_scope=paper draws no translations; leave one out")


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
    together: TogetherConfig = field(default_factory=TogetherConfig)

    def __post_init__(self) -> None:
        """Rules that tie the sections together."""
        if self.together.seeds and self.model.seed != ModelConfig().seed:
            raise ValueError("give either seed or seeds")
        _refuse_translations_of_the_paper(self.data, self.noise)


@dataclass(frozen=True)
class InterpolateConfig:
    """Walk the straight line between any two logged networks."""

    ends: EndsConfig
    path: PathConfig = field(default_factory=PathConfig)
    aligning: PathAligningConfig = field(default_factory=PathAligningConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Rules that tie the sections together."""
        self.matching.check_method("align", self.aligning.align)


@dataclass(frozen=True)
class AlignConfig:
    """Permute the units of one logged network towards another, and log the permuted network."""

    ends: EndsConfig
    aligning: AligningConfig = field(default_factory=AligningConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Rules that tie the sections together."""
        self.matching.check_method("method", self.aligning.method)


@dataclass(frozen=True)
class StarConfig:
    """Train a network whose segments to all of several logged networks stay low, and verify it on others."""

    joined: StarSourcesConfig
    segments: SegmentsConfig = field(default_factory=SegmentsConfig)
    matching: ImageMatchingConfig = field(default_factory=ImageMatchingConfig)
    training: StarTrainingConfig = field(default_factory=StarTrainingConfig)
    judging: StarVerdictConfig = field(default_factory=StarVerdictConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)

    def __post_init__(self) -> None:
        """Rules that tie the sections together."""
        matching = replace(matching_of(self.segments, self.matching), align_seed=0)  # the star's, and no option of it
        matching.check_method("match_method", self.segments.match_method)


@dataclass(frozen=True)
class MatrixConfig:
    """Measure the barrier between every two of many logged networks: what is connected to what."""

    surveyed: SurveyedConfig
    pairwise: PairwiseConfig = field(default_factory=PairwiseConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Rules that tie the sections together."""
        self.matching.check_method("align", self.pairwise.align)


@dataclass(frozen=True)
class PlaneConfig:
    """Measure loss and accuracy over the plane through three logged networks."""

    corners: CornersConfig
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Rules that tie the sections together."""
        self.matching.check_method("align", self.surface.align)


@dataclass(frozen=True)
class MainConfig:
    """The one-minute story: two pairs, a path inside one and a path between them."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=lambda: ModelConfig(model="mlp_l3_w256_512_256"))
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optimization: OptimizationConfig = field(default_factory=lambda: OptimizationConfig(epochs=30))
    path: PathConfig = field(default_factory=PathConfig)
    story: StoryConfig = field(default_factory=StoryConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    shift_test: ShiftTestConfig = field(default_factory=ShiftTestConfig)

    def __post_init__(self) -> None:
        """Rules that tie the sections together."""
        _refuse_translations_of_the_paper(self.data, self.noise)


@dataclass(frozen=True)
class EnsembleConfig:
    """Build and score an ensemble from logged networks or from points of a path."""

    members: MembersConfig
    scores: ScoresConfig = field(default_factory=ScoresConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


@dataclass(frozen=True)
class PruneCommandConfig:
    """Take the redundant units out of trained MLPs."""

    pruning: PruneConfig
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


@dataclass(frozen=True)
class TrajectoryCommandConfig:
    """Train a logged network on, keep it after every epoch, and average them all (SWA)."""

    trajectory: TrajectoryConfig
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


@dataclass(frozen=True)
class PrepareDataConfig:
    """Turn a raw archive into a store that training reads fast and with bounded memory."""

    prepare: PrepareConfig = field(default_factory=PrepareConfig)


@dataclass(frozen=True)
class RepairCommandConfig:
    """List runs that a dead process left RUNNING, and end them truthfully."""

    repair: RepairConfig = field(default_factory=RepairConfig)


@dataclass(frozen=True)
class ExportCommandConfig:
    """Write runs with their metrics, artifacts and digests to one file."""

    export: ExportConfig


@dataclass(frozen=True)
class ImportCommandConfig:
    """Merge exported runs into the store, under their own ids."""

    bundle: ImportConfig


@dataclass(frozen=True)
class SweepConfig:
    """Work through a grid of pairs and what follows them, wherever there are cores and GPUs."""

    grid: GridConfig = field(default_factory=GridConfig)
    work: WorkConfig = field(default_factory=WorkConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


@dataclass(frozen=True)
class ReportCommandConfig:
    """Set the store's tables and claims beside the paper's, on one page."""

    report: ReportConfig = field(default_factory=ReportConfig)


COMMANDS: dict[str, type] = {
    "main": MainConfig,
    "train_pair": TrainPairConfig,
    "interpolate": InterpolateConfig,
    "align": AlignConfig,
    "ensemble": EnsembleConfig,
    "prune": PruneCommandConfig,
    "trajectory": TrajectoryCommandConfig,
    "star": StarConfig,
    "matrix": MatrixConfig,
    "plane": PlaneConfig,
    "prepare_data": PrepareDataConfig,
    "repair": RepairCommandConfig,
    "sweep": SweepConfig,
    "report": ReportCommandConfig,
    "export": ExportCommandConfig,
    "import": ImportCommandConfig,
}
