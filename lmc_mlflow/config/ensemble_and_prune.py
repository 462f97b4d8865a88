"""Which options say how a trained network is pruned, or trained on?"""

import dataclasses
from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option, option_of
from lmc_mlflow.config.train_pair import OptimizationConfig

_CHOICES = {spec.name: option_of(spec).choices for spec in dataclasses.fields(OptimizationConfig)}


@dataclass(frozen=True)
class PruneConfig(Section):
    """Which units of which networks count as redundant."""

    run: str = option("", "run id, or a prefix that only one run has, of a trained MLP without norms")
    query: str = option("", "instead of run: an MLflow filter over endpoint runs, each of which is pruned")
    merge_cosine: float = option(
        0.95,
        "units whose incoming weights with bias have a larger cosine become one; 1: none do",
        minimum=0.0,
        maximum=1.0,
    )
    merge_to: str = option(
        "strongest",
        "incoming direction of a merged unit: the strongest unit's, or the mean weighted by strength",
        choices=("strongest", "mean"),
    )
    drop_below: float = option(
        0.01,
        "then units are dropped whose strength (norm of incoming weights with bias times norm of outgoing weights) "
        "is below this share of their layer's mean",
        minimum=0.0,
    )
    drop_dead: bool = option(True, "first units are dropped whose output is 0 on every training image")
    keep_width: bool = option(
        True, "true: zeros in place of the units that went, so that pruned networks can be joined; false: narrower"
    )
    place: str = option(
        "own",
        "with keep_width: units stay where they were, or come first in their layer, with the zeros behind",
        choices=("own", "front"),
    )
    heat_maps: bool = option(True, "whether figures of the units' similarity are drawn", identity=False)
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )

    def check(self) -> None:
        """Rules that tie the fields together."""
        if bool(self.run) == bool(self.query):
            raise ValueError("give either run=<run id> or query=<MLflow filter>")
        if not self.keep_width and self.place != "own":
            raise ValueError(f"place={self.place} belongs to keep_width=true; leave it out")


@dataclass(frozen=True)
class TrajectoryConfig(Section):
    """How a trained network is trained on, epoch by epoch, at a constant learning rate."""

    run: str = option("", "run id, or a prefix that only one run has, of the trained network")
    epochs: int = option(20, "further epochs, each of which is logged as a network of its own", minimum=1)
    optimizer: str | None = option(
        None, "update rule; auto: the one it was trained with", choices=_CHOICES["optimizer"]
    )
    lr: float | None = option(None, "learning rate; auto: the one it was trained with", above=0.0)
    batch_size: int | None = option(None, "images per step; auto: as it was trained", minimum=1)
    momentum: float | None = option(
        None, "momentum (sgd only); auto: as it was trained, 0 with another optimizer", minimum=0.0, maximum=0.9999
    )
    weight_decay: float | None = option(None, "weight decay; auto: as it was trained", minimum=0.0)
    engine: str | None = option(None, "exact or fast; auto: as it was trained", choices=_CHOICES["engine"])
    data_root: str = option("", "folder of the data set on this machine; empty: as the run was trained", identity=False)

    def check(self) -> None:
        """Rules that tie the fields together."""
        if not self.run:
            raise ValueError("give run=<run id of a trained network>")
