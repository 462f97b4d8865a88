"""Which options are there? One frozen section for each thing that a user decides."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option


@dataclass(frozen=True)
class DataConfig(Section):
    """Which images the two sides see, and how they are scaled."""

    dataset: str = option("digits", "where images and labels come from")
    data_root: str = option(
        "data", "folder the data set is in, or is downloaded to on first use (digits needs none)", identity=False
    )
    image_size: int | None = option(
        None,
        "imagefolder and csv: bring every image to this height and width in pixels; auto: they are all of one size",
        minimum=1,
    )
    shift: str = option("label_5050", "what makes the two training subsets differ")
    split: str = option(
        "auto",
        "which images are for testing; official: as the data set says; random80: four fifths for training, by "
        "split_seed; auto: random80 for bigearthnet (the paper's), official for all others",
        choices=("auto", "official", "random80"),
    )
    validation: str = option(
        "unused",
        "what a data set's validation images are for: left unused, or added to training",
        choices=("unused", "train"),
    )
    split_seed: int = option(0, "seed of every split, independent of all other seeds", minimum=0)
    normalization: str = option(
        "centered",
        "centered: per-channel mean 0 and standard deviation 1; half: (x - 0.5) / 0.5; unit: [0, 1]",
        choices=("centered", "half", "unit"),
    )
    augmentation: str = option(
        "auto", "flip: random horizontal flips; auto: as is usual for the data set", choices=("auto", "none", "flip")
    )
    memory_gb: float = option(
        4.0,
        "images of a side or the test set that would fill more memory than this are read batch by batch instead",
        minimum=0.0,
        identity=False,
    )


@dataclass(frozen=True)
class ShiftTestConfig(Section):
    """How the shift between the two sides is measured."""

    c2st_samples: int = option(
        1000,
        "images of both sides together that a small classifier is to tell apart (0.5: no shift); 0: not measured",
        minimum=0,
        identity=False,
    )


@dataclass(frozen=True)
class PrepareConfig(Section):
    """Which bands of a raw archive become a store that training can read fast."""

    dataset: str = option("bigearthnet", "which data set is prepared", choices=("bigearthnet",))
    data_root: str = option("data", "folder of the archive as it unpacks (GeoTIFFs or the makers' LMDB)")
    bands: tuple[str, ...] = option(("B02", "B08"), "bands or combinations (natural, infrared, agriculture)")
    store: str = option("", "folder of the store; empty: lmc_store below data_root")
    processes: int | None = option(None, "processes that convert; auto: one a core", minimum=1)
    verify: bool = option(False, "true: read a finished store again and hold it against its checksums")


@dataclass(frozen=True)
class ModelConfig(Section):
    """Which network, and from which initialization."""

    model: str = option("mlp_l1_w587", "which network")
    dropout_rate: float = option(
        0.5, "share of units dropped, for networks named ..._dropout", minimum=0.0, maximum=0.95
    )
    seed: int = option(1, "seed of the initialization", minimum=0)
    init: str = option("same", "whether the two sides start from one initialization", choices=("same", "different"))


@dataclass(frozen=True)
class NoiseConfig(Section):
    """The SGD noise sample: batch order, augmentation and dropout draws."""

    noise: str = option(
        "same", "same: both sides draw the same noise; different: side B draws its own", choices=("same", "different")
    )
    noise_scope: str = option(
        "run",
        "run: named streams that depend on the seed; paper: Algorithm 1 of Hepburn et al., draw for draw",
        choices=("run", "paper"),
    )
    noise_seed: int | None = option(None, "seed of the noise; auto: the seed of the initialization", minimum=0)

    def check(self) -> None:
        """Rules that tie the fields together."""
        if self.noise_scope == "paper" and self.noise_seed is not None:
            raise ValueError("noise_seed: noise_scope=paper fixes every draw itself; leave noise_seed at auto")


@dataclass(frozen=True)
class OptimizationConfig(Section):
    """How the networks are trained."""

    epochs: int = option(100, "passes over a side's training subset", minimum=1)
    batch_size: int = option(32, "images per step; the last batch of an epoch holds what is left", minimum=1)
    optimizer: str = option("adam", "update rule", choices=("adam", "adamw", "sgd"))
    lr: float = option(1e-3, "learning rate", above=0.0)
    momentum: float = option(0.0, "momentum (sgd only)", minimum=0.0, maximum=0.9999)
    nesterov: bool = option(False, "Nesterov momentum (sgd only)")
    weight_decay: float = option(0.0, "weight decay (L2 in adam and sgd, decoupled in adamw)", minimum=0.0)
    schedule: str = option("constant", "learning rate over the steps", choices=("constant", "cosine"))
    warmup_epochs: float = option(0.0, "linear warm-up from 0, per step, over this many epochs", minimum=0.0)

    def check(self) -> None:
        """Rules that tie the fields together."""
        if self.optimizer != "sgd" and (self.momentum != 0 or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to optimizer=sgd, not {self.optimizer}; leave them out")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=true needs a momentum above 0")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs={self.warmup_epochs}: must be below epochs={self.epochs}")


@dataclass(frozen=True)
class RuntimeConfig(Section):
    """Where and how carefully it runs; none of it is part of a result's identity."""

    device: str = option("auto", "auto, cpu, cuda or cuda:N", identity=False)
    deterministic: bool = option(
        False, "bit-equal repeats on a GPU too (slower; on a CPU they always are)", identity=False
    )
    threads: int | None = option(None, "CPU threads; auto: PyTorch's choice", minimum=1, identity=False)


@dataclass(frozen=True)
class ResumeConfig(Section):
    """What is kept while training, and what a finished or interrupted run of the same configuration means."""

    checkpoint_every: int = option(10, "epochs between resumable checkpoints", minimum=1, identity=False)
    force: bool = option(False, "true: train anew even if this configuration is finished in the store", identity=False)


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
        ("test", "train_a", "train_b"), "data the path is measured on", choices=("test", "train_a", "train_b")
    )
    bn: str = option(
        "interpolate",
        "batch-norm statistics on the path: interpolated, recalibrated on both training sides, or the nearest end's",
        choices=("interpolate", "recalibrate", "nearest"),
    )
    barrier_threshold: float = option(0.1, "a barrier_in_basin above this breaks the connection", minimum=0.0)
    accuracy_delta_threshold: float = option(-0.06, "an accuracy_delta below this breaks the connection", maximum=0.0)

    def check(self) -> None:
        """Rules that tie the fields together."""
        if not self.splits:
            raise ValueError("splits: name at least one of test, train_a, train_b")
        if len(set(self.splits)) != len(self.splits):
            raise ValueError(f"splits={','.join(self.splits)}: each split once")


@dataclass(frozen=True)
class MembersConfig(Section):
    """Which networks an ensemble has."""

    pair: str = option("", "a pair run: members are points of the path between its endpoints (sampling lmc)")
    runs: tuple[str, ...] = option((), "run ids of networks, comma-separated (sampling seeds)")
    query: str = option("", 'an MLflow filter over endpoint runs, as in tags."lmc.side" = "A" (sampling seeds)')
    num_alphas: int = option(
        21, "with pair: evenly spaced points, 0 and 1 included; 0.5 is added", minimum=2, maximum=501
    )
    include_ends: bool = option(True, "with pair: whether the endpoints themselves are members")
    bn: str = option(
        "interpolate",
        "with pair: batch-norm statistics on the path, as in interpolate",
        choices=("interpolate", "recalibrate", "nearest"),
    )
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )

    def check(self) -> None:
        """Rules that tie the fields together."""
        if sum([bool(self.pair), bool(self.runs), bool(self.query)]) != 1:
            raise ValueError("give one of pair=<pair run id>, runs=<run id>,<run id>,... and query=<MLflow filter>")
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


@dataclass(frozen=True)
class RepairConfig(Section):
    """Which dead runs are ended."""

    apply: bool = option(False, "true: end the runs listed; false: only list them")
    stale_minutes: float = option(
        30.0, "a run of another machine counts as dead after this long without a heartbeat", above=0.0
    )


@dataclass(frozen=True)
class StoryConfig(Section):
    """What the one-minute chain compares."""

    other_seed: int = option(20, "seed of the second pair, whose side A is joined to the first pair's", minimum=0)
