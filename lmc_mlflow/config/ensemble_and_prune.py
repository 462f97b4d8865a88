"""Options of an ensemble: its members and its scores; and of pruning: which units are redundant."""

from dataclasses import dataclass

from lmc_mlflow.config.network_groups import MIXED
from lmc_mlflow.config.options import Section, option
from lmc_mlflow.config.path import BN_POLICIES
from lmc_mlflow.contract import Tag


@dataclass(frozen=True)
class MembersConfig(Section):
    """The networks of an ensemble."""

    pair: str = option("", "a pair run: members are points of the path between its endpoints (sampling lmc)")
    runs: tuple[str, ...] = option((), "run ids of networks, comma-separated (sampling seeds)")
    query: str = option("", f'an MLflow filter over endpoint runs, as in tags."{Tag.SIDE}" = "A" (sampling seeds)')
    mixed: bool = option(False, MIXED, identity=False)
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
        """Check the rules that tie the fields together."""
        if sum([bool(self.pair), bool(self.runs), bool(self.query), bool(self.star)]) != 1:
            raise ValueError(
                "give one of pair=<pair run id>, runs=<run id>,<run id>,..., query=<MLflow filter>, star=<star run id>"
            )
        if self.mixed and not self.query:
            raise ValueError("mixed belongs to query=<MLflow filter>; leave it out")
        if not self.star and (self.num_samples != 20 or self.samples_seed != 0):
            raise ValueError("num_samples and samples_seed belong to star=<star run id>; leave them out")
        if not self.pair and (self.num_alphas != 21 or not self.include_ends or self.bn != "interpolate"):
            raise ValueError("num_alphas, include_ends and bn belong to pair=<pair run id>; leave them out")
        if self.runs and len(set(self.runs)) < max(2, len(self.runs)):
            raise ValueError("runs: name at least two different runs, each once")


@dataclass(frozen=True)
class ScoresConfig(Section):
    """The estimation of an ensemble's scores."""

    num_resamples: int = option(
        1000, "bootstrap resamples of the test samples; 0: no intervals", minimum=0, maximum=100_000
    )
    confidence: float = option(0.95, "share of the resamples that an interval holds", above=0.0, maximum=0.9999)
    num_orders: int = option(
        50,
        "random orders of the members, over which the curve of accuracy against size is averaged",
        minimum=1,
        maximum=10_000,
    )
    scores_seed: int = option(0, "seed of the resamples, the orders and the images of the temperature", minimum=0)
    temperature_share: float = option(
        0.2,
        "share of the test images by which the softmax temperature of the averaged prediction is chosen; the scores "
        "<name>_calibrated are of the others; 0: none",
        minimum=0.0,
        maximum=0.9,
        before=0.0,
    )


@dataclass(frozen=True)
class PruneConfig(Section):
    """The networks that are pruned, and the units that count as redundant."""

    run: str = option("", "run id, or a prefix that only one run has, of a trained MLP without norms")
    query: str = option("", "instead of run: an MLflow filter over endpoint runs, each of which is pruned")
    merge_cosine: float = option(
        0.95,
        "units are merged if the cosine of their incoming weights (with bias) is larger than this; 1: none are",
        minimum=0.0,
        maximum=1.0,
    )
    merge_to: str = option(
        "strongest",
        "incoming direction of a merged unit: that of the strongest unit, or the mean weighted by strength",
        choices=("strongest", "mean"),
    )
    drop_below: float = option(
        0.01,
        "after merging, drop units whose strength (norm of incoming weights with bias times norm of outgoing weights) "
        "is below this share of their layer's mean",
        minimum=0.0,
    )
    drop_dead: bool = option(True, "true: before merging, drop units whose output is 0 on every training image")
    keep_width: bool = option(
        True,
        "true: removed units become zeros, so that paths between pruned networks exist; false: layers become narrower",
    )
    place: str = option(
        "own",
        "with keep_width: own: units stay where they were; front: they come first in their layer, the zeros after them",
        choices=("own", "front"),
    )
    heat_maps: bool = option(True, "whether figures of the similarity of units are drawn", identity=False)
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if bool(self.run) == bool(self.query):
            raise ValueError("give either run=<run id> or query=<MLflow filter>")
        if not self.keep_width and self.place != "own":
            raise ValueError(f"place={self.place} belongs to keep_width=true; leave it out")
