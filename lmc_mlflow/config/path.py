"""Options of a path: its two networks, where it is measured, and when its ends count as connected."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option

BN_POLICIES = ("interpolate", "recalibrate", "nearest", "repair")
"""The names of `paths.points.BN_POLICIES`, which a configuration cannot import: PyTorch would come with it."""

BN_POLICIES = ("interpolate", "recalibrate", "nearest", "repair")
"""The names of `paths.points.BN_POLICIES`, which a configuration cannot import: PyTorch would come with it."""


@dataclass(frozen=True)
class EndsConfig(Section):
    """The two logged networks of a path."""

    run_a: str = option("", "run id, or a prefix that only one run has, of the network at alpha 0")
    run_b: str = option("", "the same for alpha 1")
    pair: str = option("", "instead of run_a and run_b: a pair run, its side A at 0 and its side B at 1")
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if bool(self.pair) == bool(self.run_a or self.run_b) or bool(self.run_a) != bool(self.run_b):
            raise ValueError("give either pair=<pair run id> or both run_a=<run id> and run_b=<run id>")


@dataclass(frozen=True)
class PathConfig(Section):
    """The points of a path, what is measured at them, and when the networks count as connected."""

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
        """Check the rules that tie the fields together."""
        if not self.splits:
            raise ValueError("splits: name at least one of test, train_a, train_b, unseen")
        if len(set(self.splits)) != len(self.splits):
            raise ValueError(f"splits={','.join(self.splits)}: each split once")
