"""Options of a star: the networks that it joins, its training and its verdict."""

from dataclasses import dataclass

from lmc_mlflow.config.alignment import METHOD_OPTIONS, ImageMatchingConfig, MatchingConfig
from lmc_mlflow.config.options import Section, option
from lmc_mlflow.config.path import BN_POLICIES
from lmc_mlflow.contract import where

AS_SOURCE = "; auto: as the first source was trained"


@dataclass(frozen=True)
class StarSourcesConfig(Section):
    """Which logged networks a star is trained to join, and which it is verified on."""

    sources: tuple[str, ...] = option((), "run ids of the networks to join, comma-separated")
    source_query: str = option("", f"instead of sources: an MLflow filter over endpoint runs, as in {where(side='A')}")
    mixed: bool = option(
        False,
        "with source_query: true: sources may differ in more than their seeds; false: such networks are refused",
        identity=False,
    )
    max_sources: int | None = option(
        None, "with source_query: at most this many of the runs found, the oldest first; auto: all", minimum=2
    )
    held_out: tuple[str, ...] = option(
        (), "run ids of networks that the star is verified on and never sees in training"
    )
    held_out_query: str = option(
        "", "instead of held_out: an MLflow filter over endpoint runs; sources among them are left out"
    )
    max_held_out: int | None = option(
        None, "with held_out_query: at most this many of the runs found, the oldest first; auto: all", minimum=1
    )
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the sources were trained", identity=False
    )

    def check(self) -> None:
        """Refuse fields that contradict one another."""
        if bool(self.sources) == bool(self.source_query):
            raise ValueError("give either sources=<run id>,<run id>,... or source_query=<MLflow filter>")
        if self.mixed and not self.source_query:
            raise ValueError("mixed belongs to source_query=<MLflow filter>; leave it out")
        if self.sources and len(set(self.sources)) < max(2, len(self.sources)):
            raise ValueError("sources: name at least two different runs, each once")
        if self.held_out and self.held_out_query:
            raise ValueError("give either held_out=<run id>,... or held_out_query=<MLflow filter>")
        if len(set(self.held_out)) < len(self.held_out):
            raise ValueError("held_out: name each run once")
        for name, query in (("max_sources", self.source_query), ("max_held_out", self.held_out_query)):
            if getattr(self, name) is not None and not query:
                raise ValueError(f"{name} belongs to a query; leave it out")


@dataclass(frozen=True)
class SegmentsConfig(Section):
    """Where a star starts, and which points of its segments it is trained at."""

    star_seed: int = option(0, "seed of the star's initialization and of all its draws", minimum=0)
    star_init: str = option(
        "random",
        "random: a fresh network; first: the first source; mean: the mean of the sources, aligned to the first",
        choices=("random", "first", "mean"),
    )
    star_data: str = option(
        "both", "training images: those of both sides together, or of one", choices=("both", "side_a", "side_b")
    )
    match_every: int = option(
        1, "all sources are matched to the star again after this many epochs; 0: nothing is aligned", minimum=0
    )
    match_method: str = option(
        "weights", "how the sources' units are matched to the star's, as in align", choices=METHOD_OPTIONS
    )
    match_on: str = option(
        "parameters",
        "weights, and sinkhorn with distance: compare all trainable parameters, or weight matrices and kernels alone",
        choices=("parameters", "kernels"),
    )
    max_sweeps: int = option(
        100, "weights: largest number of passes over all layers; then it stops with a warning", minimum=1
    )
    t_distribution: str = option(
        "uniform",
        "distribution of the position t on a segment, 0 at the star and 1 at the source",
        choices=("uniform", "beta", "constant"),
    )
    beta_a: float = option(1.0, "with t_distribution=beta: first parameter", above=0.0)
    beta_b: float = option(1.0, "with t_distribution=beta: second parameter", above=0.0)
    t_value: float = option(0.5, "with t_distribution=constant: the position", minimum=0.0, maximum=0.9999)
    own_loss_weight: float = option(
        0.0,
        "mu in the training loss (L + mu L*) / (1 + mu): L is the loss on the segments, L* the star's own",
        minimum=0.0,
    )
    evaluate_every: int = option(
        10, "the barriers to all sources are measured again after this many epochs", minimum=1, identity=False
    )

    def check(self) -> None:
        """Refuse fields that contradict one another."""
        if self.match_every == 0 and self.match_method != "weights":
            raise ValueError(
                f"match_method={self.match_method} belongs to a match_every above 0, which aligns the sources; "
                "leave it out with match_every=0"
            )
        if self.t_distribution != "beta" and (self.beta_a != 1.0 or self.beta_b != 1.0):
            raise ValueError("beta_a and beta_b belong to t_distribution=beta; leave them out")
        if self.t_distribution != "constant" and self.t_value != 0.5:
            raise ValueError("t_value belongs to t_distribution=constant; leave it out")


@dataclass(frozen=True)
class StarTrainingConfig(Section):
    """How a star is trained, where it is not trained as its first source was."""

    epochs: int | None = option(None, "passes over the training images" + AS_SOURCE, minimum=1)
    batch_size: int | None = option(None, "images per step" + AS_SOURCE, minimum=1)
    optimizer: str | None = option(None, "update rule" + AS_SOURCE)
    lr: float | None = option(None, "learning rate" + AS_SOURCE, above=0.0)
    momentum: float | None = option(None, "momentum (sgd only)" + AS_SOURCE, minimum=0.0, maximum=0.9999)
    nesterov: bool | None = option(None, "Nesterov momentum (sgd only)" + AS_SOURCE)
    weight_decay: float | None = option(None, "weight decay" + AS_SOURCE, minimum=0.0)
    schedule: str | None = option(None, "learning rate over the steps" + AS_SOURCE)
    warmup_epochs: float | None = option(None, "linear warm-up over this many epochs" + AS_SOURCE, minimum=0.0)


@dataclass(frozen=True)
class StarVerdictConfig(Section):
    """How a star is measured when it is trained, and what counts as one."""

    num_alphas: int = option(11, "evenly spaced points of every segment, 0 and 1 included", minimum=2, maximum=501)
    bn: str = option(
        "recalibrate",
        "batch-norm statistics on every segment, as in interpolate; recalibrated on the star's training images",
        choices=BN_POLICIES,
    )
    max_regular_pairs: int = option(
        25, "largest number of pairs of sources and held-out networks that the star is compared with", minimum=0
    )
    barrier_threshold: float = option(0.1, "no star if its largest barrier over the chord is above this", minimum=0.0)
    star_accuracy_threshold: float = option(
        0.02, "no star if its accuracy is more than this below the mean of the networks it joins", minimum=0.0
    )


def matching_of(segments: SegmentsConfig, matching: ImageMatchingConfig) -> MatchingConfig:
    """Join the options of a star's matchings; their seed is the star's."""
    return MatchingConfig(
        **vars(matching), match_on=segments.match_on, align_seed=segments.star_seed, max_sweeps=segments.max_sweeps
    )
