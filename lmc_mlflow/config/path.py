"""Which options say what is measured of trained networks?"""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option
from lmc_mlflow.contract import Tag

BN_POLICIES = ("interpolate", "recalibrate", "nearest", "repair")
"""The names of `paths.points.BN_POLICIES`, which a configuration cannot import: PyTorch would come with it."""


@dataclass(frozen=True)
class EndsConfig(Section):
    """Which two logged networks a path joins."""

    run_a: str = option("", "run id, or a prefix that only one run has, of the network at alpha 0")
    run_b: str = option("", "the same for alpha 1")
    pair: str = option("", "instead of run_a and run_b: a pair run, its side A at 0 and its side B at 1")
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )

    def check(self) -> None:
        """Rules that tie the fields together."""
        if bool(self.pair) == bool(self.run_a or self.run_b) or bool(self.run_a) != bool(self.run_b):
            raise ValueError("give either pair=<pair run id> or both run_a=<run id> and run_b=<run id>")


@dataclass(frozen=True)
class PathConfig(Section):
    """How the segment is walked and judged."""

    num_alphas: int = option(
        21, "evenly spaced points, 0 and 1 included; 0.5 is added where it is not among them", minimum=2, maximum=501
    )
    splits: tuple[str, ...] = option(
        ("test", "train_a", "train_b"),
        "data the path is measured on; unseen: between networks of one side, the other side's training subset",
        choices=("test", "train_a", "train_b", "unseen"),
    )
    bn: str = option(
        "interpolate",
        "batch-norm statistics on the path: interpolated, recalibrated on both training sides, the nearest end's; or "
        "repaired: every hidden unit's mean and deviation lie between the ends'",
        choices=BN_POLICIES,
    )
    path_engine: str = option(
        "fast",
        "fast: all alphas in one pass over the images, equal but for rounding; exact: one network after the other",
        choices=("fast", "exact"),
    )
    barrier_threshold: float = option(0.1, "a barrier_in_basin above this breaks the connection", minimum=0.0)
    accuracy_delta_threshold: float = option(-0.06, "an accuracy_delta below this breaks the connection", maximum=0.0)
    error_barrier_threshold: float = option(
        0.02, "connected_by_error: an error_barrier of this or more breaks the connection", above=0.0
    )

    def check(self) -> None:
        """Rules that tie the fields together."""
        if not self.splits:
            raise ValueError("splits: name at least one of test, train_a, train_b, unseen")
        if len(set(self.splits)) != len(self.splits):
            raise ValueError(f"splits={','.join(self.splits)}: each split once")


@dataclass(frozen=True)
class MembersConfig(Section):
    """Which networks an ensemble has."""

    pair: str = option("", "a pair run: members are points of the path between its endpoints (sampling lmc)")
    runs: tuple[str, ...] = option((), "run ids of networks, comma-separated (sampling seeds)")
    query: str = option("", f'an MLflow filter over endpoint runs, as in tags."{Tag.SIDE}" = "A" (sampling seeds)')
    star: str = option("", "a star run: members are random points of its segments (sampling star)")
    num_samples: int = option(20, "with star: how many points", minimum=2)
    samples_seed: int = option(0, "with star: seed of the points", minimum=0)
    num_alphas: int = option(
        21, "with pair: evenly spaced points, 0 and 1 included; 0.5 is added", minimum=2, maximum=501
    )
    include_ends: bool = option(True, "with pair: whether the endpoints themselves are members")
    bn: str = option(
        "interpolate",
        "with pair: batch-norm statistics on the path, as in interpolate",
        choices=BN_POLICIES,
    )
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )

    def check(self) -> None:
        """Rules that tie the fields together."""
        if sum([bool(self.pair), bool(self.runs), bool(self.query), bool(self.star)]) != 1:
            raise ValueError(
                "give one of pair=<pair run id>, runs=<run id>,<run id>,..., query=<MLflow filter>, star=<star run id>"
            )
        if not self.star and (self.num_samples != 20 or self.samples_seed != 0):
            raise ValueError("num_samples and samples_seed belong to star=<star run id>; leave them out")
        if not self.pair and (self.num_alphas != 21 or not self.include_ends or self.bn != "interpolate"):
            raise ValueError("num_alphas, include_ends and bn belong to pair=<pair run id>; leave them out")
        if self.runs and len(set(self.runs)) < max(2, len(self.runs)):
            raise ValueError("runs: name at least two different runs, each once")


@dataclass(frozen=True)
class ScoresConfig(Section):
    """How an ensemble's scores are estimated."""

    num_resamples: int = option(1000, "bootstrap resamples of the test samples; 0: no intervals", minimum=0)
    confidence: float = option(0.95, "share of the resamples inside an interval", above=0.0, maximum=0.9999)
    num_orders: int = option(50, "random orders of the members behind accuracy against size", minimum=1)
    scores_seed: int = option(0, "seed of resamples and orders", minimum=0)
