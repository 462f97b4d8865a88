"""Options of measurements over several networks: all their pairs, or the plane through three."""

from dataclasses import dataclass

from lmc_mlflow.config.alignment import ALIGN_CHOICES, METHOD_OPTIONS, NONE
from lmc_mlflow.config.options import Section, option
from lmc_mlflow.config.path import BN_POLICIES
from lmc_mlflow.contract import Tag

MIXED = "with query: true: networks may differ in more than their seeds; false: such networks are refused"
"""Help of the option `mixed` of every command that takes several networks by a query."""
PAIRWISE, BEST = "pairwise", "best"
DEFINITIONS = ("barrier_over_chord", "barrier", "barrier_in_basin", "error_barrier", "epsilon")
THRESHOLDS = {"error_barrier": 0.02}
"""What `threshold=auto` is: 0.1 nats but for these (0.02 is what Altintas et al. call connected)."""


@dataclass(frozen=True)
class SurveyedConfig(Section):
    """Which networks are compared with one another."""

    runs: tuple[str, ...] = option((), "run ids of networks, comma-separated")
    query: str = option(
        "",
        f'an MLflow filter, as in tags."{Tag.MODEL}" = "mlp_l1_w64"; over endpoint runs, '
        f"unless it names {Tag.KIND} itself",
    )
    mixed: bool = option(False, MIXED, identity=False)
    max_runs: int = option(50, "with query: at most this many of the runs found, the oldest first", minimum=2)
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )
    force: bool = option(False, "true: measure again even if this matrix is finished in the store", identity=False)

    def check(self) -> None:
        """Refuse fields that contradict one another."""
        if bool(self.runs) == bool(self.query):
            raise ValueError("give either runs=<run id>,<run id>,... or query=<MLflow filter>")
        if self.mixed and not self.query:
            raise ValueError("mixed belongs to query=<MLflow filter>; leave it out")
        if self.runs and len(set(self.runs)) < max(2, len(self.runs)):
            raise ValueError("runs: name at least two different runs, each once")
        if len(self.runs) > self.max_runs:
            raise ValueError(f"runs: {len(self.runs)} are named; give max_runs={len(self.runs)} if that is meant")


@dataclass(frozen=True)
class PairwiseConfig(Section):
    """How the pairs are measured and judged."""

    align: str = option(
        NONE, "permute the units of one network towards the other by this method first", choices=ALIGN_CHOICES
    )
    reference: str = option(
        PAIRWISE,
        "with align: pairwise: in each pair, the later network is permuted towards the earlier; best: all towards the "
        "network of best test accuracy; a run id: all towards that network",
    )
    num_alphas: int = option(
        11, "evenly spaced points of a segment, 0 and 1 included; 0.5 is added", minimum=2, maximum=501
    )
    split: str = option(
        "test",
        "data on which pairs are measured; train: the training subset that all networks share",
        choices=("test", "train"),
    )
    bn: str = option(
        "interpolate",
        "batch-norm statistics on the segments, as in interpolate",
        choices=BN_POLICIES,
    )
    barrier: str = option(
        "barrier_over_chord",
        "which of the logged barriers decides whether a pair is connected; epsilon: the highest loss minus the loss of "
        "the higher end",
        choices=DEFINITIONS,
    )
    threshold: float | None = option(
        None,
        "a pair is connected if its barrier is not above this; auto: 0.1 nats, or 0.02 for error_barrier",
        minimum=0.0,
    )
    linkage: str = option(
        "average", "distance between clusters in the dendrogram", choices=("average", "single", "complete")
    )

    def check(self) -> None:
        """Refuse fields that contradict one another."""
        if self.align == NONE and self.reference != PAIRWISE:
            raise ValueError(f"reference={self.reference} belongs to align={'|'.join(METHOD_OPTIONS)}; leave it out")

    @property
    def limit(self) -> float:
        """Give the threshold, with `auto` replaced by its value."""
        return THRESHOLDS.get(self.barrier, 0.1) if self.threshold is None else self.threshold


@dataclass(frozen=True)
class CornersConfig(Section):
    """Which three logged networks a plane goes through."""

    run_a: str = option("", "run id, or a prefix that only one run has, of the network at the origin")
    run_b: str = option("", "the same, of the network on the horizontal axis")
    run_c: str = option("", "the same, of the third network")
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )
    force: bool = option(False, "true: measure again even if this plane is finished in the store", identity=False)

    def check(self) -> None:
        """Refuse fields that contradict one another."""
        ids = (self.run_a, self.run_b, self.run_c)
        if "" in ids or len(set(ids)) < len(ids):
            raise ValueError("give three different networks: run_a=<run id>, run_b=<run id>, run_c=<run id>")


@dataclass(frozen=True)
class SurfaceConfig(Section):
    """The points at which the plane is measured, and how."""

    align: str = option(
        NONE,
        "permute the units of B and C towards A by this method first; the plane without alignment is drawn beside it",
        choices=ALIGN_CHOICES,
    )
    num_points: int = option(21, "points along each axis", minimum=2, maximum=201)
    margin: float = option(0.2, "room around the three networks, as a share of their extent", minimum=0.0, maximum=5.0)
    split: str = option(
        "test", "data on which the plane is measured; train: A's training subset", choices=("test", "train")
    )
    bn: str = option(
        "recalibrate",
        "batch-norm statistics: recalibrated on the training sides of all three at every point; or averaged by the "
        "point's barycentric weights, clipped to the triangle",
        choices=("recalibrate", "interpolate"),
    )
