"""Options of a path: its two networks, where it is measured, and when its ends count as connected."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option

BN_POLICIES = ("interpolate", "recalibrate", "nearest", "repair")
"""Rows of `paths.points.BN_POLICIES`, which a configuration cannot import: PyTorch would come with it."""
BN_OF_OTHER_CODE = ("a", "b", "initial", "batch")
"""Its other rows: what code does that forgets the statistics. Of paths alone, to explain printed barriers."""
EVEN, ADAPTIVE = "even", "adaptive"
"""Choices of `alphas`."""


@dataclass(frozen=True)
class EndsConfig(Section):
    """The two logged networks of a path."""

    run_a: str = option(
        "",
        "run id, or a prefix that only one run has, or URI of a model in MLflow (models:/...): the network at alpha 0",
    )
    run_b: str = option("", "the same: the network at alpha 1")
    pair: str = option("", "instead of run_a and run_b: a pair run, its side A at 0 and its side B at 1")
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if bool(self.pair) == bool(self.run_a or self.run_b) or bool(self.run_a) != bool(self.run_b):
            raise ValueError(
                "give either pair=<pair run id> or both run_a and run_b, each a run id or a URI (models:/...)"
            )


@dataclass(frozen=True)
class EpochsConfig(Section):
    """The kept epochs of a pair between whose networks paths are measured."""

    epochs: tuple[int, ...] = option(
        (),
        "with pair: measure a path between its two sides after each of these epochs, as in 1,2,5; the pair must have "
        "kept them (keep_epochs of train_pair)",
        minimum=1,
    )

    def check(self) -> None:
        """Check that no epoch is named twice."""
        if len(set(self.epochs)) < len(self.epochs):
            raise ValueError(f"epochs={','.join(map(str, self.epochs))}: each epoch once")


@dataclass(frozen=True)
class PathConfig(Section):
    """The points of a path, what is measured at them, and when the networks count as connected."""

    num_alphas: int = option(
        21, "evenly spaced points, 0 and 1 included; 0.5 is added where it is not among them", minimum=2, maximum=501
    )
    alphas: str = option(
        EVEN,
        "even: num_alphas points; adaptive: 11 points, then more (at most 101) where a barrier may be missed",
        choices=(EVEN, ADAPTIVE),
    )
    alpha_tolerance: float = option(
        0.01, "with alphas=adaptive: how many nats higher a barrier may be between two points than at them", above=0.0
    )
    splits: tuple[str, ...] = option(
        ("test", "train_a", "train_b"),
        "data the path is measured on; unseen: the other side's training subset, if both networks are of one side",
        choices=("test", "train_a", "train_b", "unseen"),
    )
    bn: str = option(
        "interpolate",
        "batch-norm statistics on the path: interpolated; recalibrated on both training sides; those of the nearer end "
        "(A's up to alpha 0.5, B's above); or repair: each hidden unit is rescaled to a mean and deviation between "
        "those of the ends. As code may do that forgets them: a or b: A's or B's everywhere; initial: mean 0 and "
        "variance 1; batch: those of each batch that is measured",
        choices=(*BN_POLICIES, *BN_OF_OTHER_CODE),
    )
    path_engine: str = option(
        "fast",
        "fast: all alphas in one pass over the images, equal up to rounding; exact: one network after the other",
        choices=("fast", "exact"),
    )
    barrier_threshold: float = option(0.1, "a barrier_in_basin above this breaks the connection", minimum=0.0)
    accuracy_delta_threshold: float = option(
        -0.06,
        "an accuracy_delta (accuracy minus the mean accuracy of both ends) below this breaks the connection",
        maximum=0.0,
    )
    error_barrier_threshold: float = option(
        0.02, "for the verdict connected_by_error: an error_barrier of at least this breaks the connection", above=0.0
    )
    num_resamples: int = option(
        1000,
        "bootstrap resamples of the images, for the intervals of barriers and deltas; 0: no intervals",
        minimum=0,
        maximum=100_000,
        identity=False,
    )
    confidence: float = option(
        0.95, "share of the resamples that an interval holds", above=0.0, maximum=0.9999, identity=False
    )
    resamples_seed: int = option(0, "seed of the resamples", minimum=0, identity=False)
    calibrate: bool = option(
        False,
        "true: find the best softmax temperature at every alpha, and log the barrier that is left at it; every output "
        "of a point is kept in memory for it",
    )
    keep_samples: bool = option(
        False, "true: log the loss and the predicted class of every image at every alpha", identity=False
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if not self.splits:
            raise ValueError("splits: name at least one of test, train_a, train_b, unseen")
        if self.alphas == ADAPTIVE and self.num_alphas != 21:
            raise ValueError(f"num_alphas={self.num_alphas} belongs to alphas=even; leave it out")
        if self.alphas == EVEN and self.alpha_tolerance != 0.01:
            raise ValueError(f"alpha_tolerance={self.alpha_tolerance} belongs to alphas=adaptive; leave it out")
        if len(set(self.splits)) != len(self.splits):
            raise ValueError(f"splits={','.join(self.splits)}: each split once")


def check_epochs(by_epoch: EpochsConfig, ends: EndsConfig, path: PathConfig) -> None:
    """Check that the options of a path are those that are measured between kept epochs.

    Raises:
        ValueError: two runs instead of a pair, or samples that are to be logged.
    """
    if not by_epoch.epochs:
        return
    if not ends.pair:
        raise ValueError("epochs are those of a pair; give pair=<pair run id>, and run_a and run_b without epochs")
    if path.keep_samples:
        raise ValueError("keep_samples is of one path; leave epochs out")
