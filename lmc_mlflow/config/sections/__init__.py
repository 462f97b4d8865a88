"""Which options are there? One frozen section for each thing that a user decides."""

from lmc_mlflow.config.sections.aligning import (
    AligningConfig as AligningConfig,
)
from lmc_mlflow.config.sections.aligning import (
    MatchingConfig as MatchingConfig,
)
from lmc_mlflow.config.sections.aligning import (
    PathAligningConfig as PathAligningConfig,
)
from lmc_mlflow.config.sections.bundling import (
    ExportConfig as ExportConfig,
)
from lmc_mlflow.config.sections.bundling import (
    ImportConfig as ImportConfig,
)
from lmc_mlflow.config.sections.data import (
    DataConfig as DataConfig,
)
from lmc_mlflow.config.sections.data import (
    PrepareConfig as PrepareConfig,
)
from lmc_mlflow.config.sections.data import (
    ShiftTestConfig as ShiftTestConfig,
)
from lmc_mlflow.config.sections.measuring import (
    EndsConfig as EndsConfig,
)
from lmc_mlflow.config.sections.measuring import (
    MembersConfig as MembersConfig,
)
from lmc_mlflow.config.sections.measuring import (
    PathConfig as PathConfig,
)
from lmc_mlflow.config.sections.measuring import (
    ScoresConfig as ScoresConfig,
)
from lmc_mlflow.config.sections.reducing import (
    PruneConfig as PruneConfig,
)
from lmc_mlflow.config.sections.reducing import (
    TrajectoryConfig as TrajectoryConfig,
)
from lmc_mlflow.config.sections.reporting import (
    ReportConfig as ReportConfig,
)
from lmc_mlflow.config.sections.running import (
    RepairConfig as RepairConfig,
)
from lmc_mlflow.config.sections.running import (
    RuntimeConfig as RuntimeConfig,
)
from lmc_mlflow.config.sections.running import (
    StoryConfig as StoryConfig,
)
from lmc_mlflow.config.sections.star import (
    SegmentsConfig as SegmentsConfig,
)
from lmc_mlflow.config.sections.star import (
    StarSourcesConfig as StarSourcesConfig,
)
from lmc_mlflow.config.sections.star import (
    StarTrainingConfig as StarTrainingConfig,
)
from lmc_mlflow.config.sections.star import (
    StarVerdictConfig as StarVerdictConfig,
)
from lmc_mlflow.config.sections.surveying import (
    CornersConfig as CornersConfig,
)
from lmc_mlflow.config.sections.surveying import (
    PairwiseConfig as PairwiseConfig,
)
from lmc_mlflow.config.sections.surveying import (
    SurfaceConfig as SurfaceConfig,
)
from lmc_mlflow.config.sections.surveying import (
    SurveyedConfig as SurveyedConfig,
)
from lmc_mlflow.config.sections.sweeping import (
    GridConfig as GridConfig,
)
from lmc_mlflow.config.sections.sweeping import (
    WorkConfig as WorkConfig,
)
from lmc_mlflow.config.sections.training import (
    ModelConfig as ModelConfig,
)
from lmc_mlflow.config.sections.training import (
    NoiseConfig as NoiseConfig,
)
from lmc_mlflow.config.sections.training import (
    OptimizationConfig as OptimizationConfig,
)
from lmc_mlflow.config.sections.training import (
    ResumeConfig as ResumeConfig,
)
from lmc_mlflow.config.sections.training import (
    TogetherConfig as TogetherConfig,
)
