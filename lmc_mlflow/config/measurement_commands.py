"""The configurations of commands that measure logged networks: path, matrix, plane, ensemble."""

from dataclasses import dataclass, field

from lmc_mlflow.config.adopting import ForeignConfig
from lmc_mlflow.config.alignment import MatchingConfig, PathAligningConfig
from lmc_mlflow.config.curve import CurveConfig, check_curve
from lmc_mlflow.config.diagnose import DiagnosingConfig
from lmc_mlflow.config.ensemble_and_prune import MembersConfig, ScoresConfig
from lmc_mlflow.config.network_groups import CornersConfig, PairwiseConfig, SurfaceConfig, SurveyedConfig
from lmc_mlflow.config.other_data import OtherDataConfig
from lmc_mlflow.config.path import EndsConfig, EpochsConfig, PathConfig, check_epochs
from lmc_mlflow.config.path_layers import LayersConfig, check_layers
from lmc_mlflow.config.runtime import DevicesConfig, RuntimeConfig, TerminalConfig


@dataclass(frozen=True)
class InterpolateConfig:
    """Measure the path between any two logged networks: straight, or a trained curve."""

    ends: EndsConfig
    path: PathConfig = field(default_factory=PathConfig)
    curve: CurveConfig = field(default_factory=CurveConfig)
    aligning: PathAligningConfig = field(default_factory=PathAligningConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    by_epoch: EpochsConfig = field(default_factory=EpochsConfig)
    by_layer: LayersConfig = field(default_factory=LayersConfig)
    other_data: OtherDataConfig = field(default_factory=OtherDataConfig)
    foreign: ForeignConfig = field(default_factory=ForeignConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    sharing: DevicesConfig = field(default_factory=DevicesConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        self.matching.check_method("align", self.aligning.align)
        check_epochs(self.by_epoch, self.ends, self.path)
        check_curve(self.curve, self.by_epoch, self.aligning, bool(self.by_layer.layers))
        check_layers(self.by_layer, self.by_epoch, self.path)


@dataclass(frozen=True)
class DiagnoseConfig:
    """Find out why there is a barrier between two logged networks, and what takes it away."""

    ends: EndsConfig
    diagnosing: DiagnosingConfig = field(default_factory=DiagnosingConfig)
    foreign: ForeignConfig = field(default_factory=ForeignConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class MatrixConfig:
    """Measure the barrier between every two of many logged networks, and cluster the networks by it."""

    surveyed: SurveyedConfig
    pairwise: PairwiseConfig = field(default_factory=PairwiseConfig)
    other_data: OtherDataConfig = field(default_factory=OtherDataConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    foreign: ForeignConfig = field(default_factory=ForeignConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    sharing: DevicesConfig = field(default_factory=DevicesConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        self.matching.check_method("align", self.pairwise.align)


@dataclass(frozen=True)
class PlaneConfig:
    """Measure loss and accuracy over the plane through three logged networks."""

    corners: CornersConfig
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    foreign: ForeignConfig = field(default_factory=ForeignConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    sharing: DevicesConfig = field(default_factory=DevicesConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        self.matching.check_method("align", self.surface.align)


@dataclass(frozen=True)
class EnsembleConfig:
    """Build and score an ensemble from logged networks or from points of a path."""

    members: MembersConfig
    scores: ScoresConfig = field(default_factory=ScoresConfig)
    other_data: OtherDataConfig = field(default_factory=OtherDataConfig)
    foreign: ForeignConfig = field(default_factory=ForeignConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    sharing: DevicesConfig = field(default_factory=DevicesConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)
