"""Options of the curvature of the loss: the networks, the points of their path, the measures and the sample."""

from dataclasses import dataclass, field

from lmc_mlflow.config.adopting import ForeignConfig
from lmc_mlflow.config.options import Section, option
from lmc_mlflow.config.runtime import RuntimeConfig, TerminalConfig

MEASURES = ("eigenvalue", "trace", "adaptive_sharpness", "adaptive_trace")
"""The names of `hessian.measures.MEASURES`, which a configuration cannot import: PyTorch would come with it."""
ENDS, MIDPOINT, WHOLE = "ends", "midpoint", "path"
"""Choices of `points`."""
PLAIN_BN = "interpolate"


@dataclass(frozen=True)
class CurvedPathConfig(Section):
    """The two logged networks around which, and between which, the loss is measured."""

    run_a: str = option(
        "",
        "run id, or a prefix that only one run has, or URI of a model in MLflow (models:/...): the network at alpha 0",
    )
    run_b: str = option("", "the same: the network at alpha 1")
    pair: str = option("", "instead of run_a and run_b: a pair run, its side A at 0 and its side B at 1")
    path: str = option("", "instead of both: a path run, its networks and its batch-norm policy")
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )
    force: bool = option(False, "true: measure again even if this is finished in the store", identity=False)

    def check(self) -> None:
        """Check that the networks are named in one way."""
        ways = [bool(self.run_a or self.run_b), bool(self.pair), bool(self.path)]
        if sum(ways) != 1 or bool(self.run_a) != bool(self.run_b):
            raise ValueError(
                "give one of pair=<pair run id>, path=<path run id>, or both run_a and run_b, each a run id or a URI "
                "(models:/...)"
            )


@dataclass(frozen=True)
class BendingConfig(Section):
    """Where the curvature is measured, on what, and how exactly."""

    points: str = option(
        MIDPOINT,
        "ends: the two networks; midpoint: and the network halfway between them; path: num_alphas points of the path",
        choices=(ENDS, MIDPOINT, WHOLE),
    )
    num_alphas: int = option(
        11,
        "evenly spaced points, 0 and 1 included; 0.5 is added where it is not among them",
        minimum=2,
        maximum=501,
        only_with={"points": WHOLE},
    )
    measures: tuple[str, ...] = option(
        ("eigenvalue", "trace", "adaptive_sharpness"),
        "eigenvalue: the largest of the Hessian; trace: of the Hessian, estimated; adaptive_sharpness, adaptive_trace: "
        "the same of |w| H |w|, which rescaled ReLU units leave as it is",
        choices=MEASURES,
    )
    layers: bool = option(False, "true: measure each layer's own block of the Hessian too")
    splits: tuple[str, ...] = option(
        ("train_a", "train_b"), "data the loss is measured on", choices=("train_a", "train_b", "test")
    )
    num_images: int = option(500, "images of each split, drawn once; all where there are fewer", minimum=1)
    num_probes: int = option(30, "random vectors behind a trace", minimum=2, maximum=10_000)
    confidence: float = option(0.95, "with which the interval of a trace holds", above=0.0, maximum=0.9999)
    sample_seed: int = option(0, "seed of the images and of the random vectors", minimum=0)
    precision: str = option(
        "float64", "numbers in which derivatives are computed; float32 is faster", choices=("float64", "float32")
    )
    bn: str = option(
        PLAIN_BN,
        "batch-norm statistics between the networks, as in interpolate",
        choices=("interpolate", "recalibrate", "nearest"),
    )

    def check(self) -> None:
        """Check that there is something to measure, each once."""
        for name in ("measures", "splits"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{name}={','.join(given)}: name at least one, each once")


@dataclass(frozen=True)
class CurvatureConfig:
    """Measure how sharp the loss is around two logged networks and between them."""

    curved: CurvedPathConfig
    bending: BendingConfig = field(default_factory=BendingConfig)
    foreign: ForeignConfig = field(default_factory=ForeignConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        if self.curved.path and self.bending.bn != PLAIN_BN:
            raise ValueError(f"bn={self.bending.bn}: a path has its own; leave it out, or give run_a and run_b")
