"""Options of a training: network, noise, optimizer and schedule, and what is kept to resume it."""

import json
from dataclasses import dataclass

from lmc_mlflow.config.options import ARITHMETIC, GEOMETRIC, Section, option
from lmc_mlflow.own_code import FORM, LIBRARIES, is_own

OUR_LOOP, OWN_LOOP, ELSEWHERE = "lmc_mlflow", "own", "elsewhere"
"""Who has trained the networks."""
BUDGETS = ("steps", "until_train_loss", "until_train_accuracy")
"""Options that end a training otherwise than after its epochs."""


@dataclass(frozen=True)
class ModelConfig(Section):
    """The network and its initialization."""

    model: str = option("mlp_l1_w587", "which network", own_code=True)
    model_options: str = option(
        "", "further arguments of a network of your own or of a library, as JSON: '{\"depth\": 4}'"
    )
    dropout_rate: float = option(
        0.5, "share of units dropped, for networks named ..._dropout", minimum=0.0, maximum=0.95, axis=ARITHMETIC
    )
    seed: int = option(1, "seed of the initialization", minimum=0)
    init: str = option("same", "whether the two sides start from one initialization", choices=("same", "different"))
    weights_init: str = option(
        "default",
        "default: weights as PyTorch draws them; normal, uniform: of variance 2 / fan-in, biases 0",
        choices=("default", "normal", "uniform"),
    )

    def check(self) -> None:
        """Write the further arguments in one form, so that spaces and order mean nothing."""
        if not self.model_options:
            return
        if not is_own("model", self.model) and not self.model.startswith(LIBRARIES):
            libraries = " or ".join(f"{library}<name>" for library in LIBRARIES)
            raise ValueError(f"model_options belongs to model={FORM} or {libraries}, not {self.model}; leave it out")
        try:
            options = json.loads(self.model_options)
        except json.JSONDecodeError:
            options = None
        if not isinstance(options, dict):
            raise ValueError(f"model_options={self.model_options!r}: give JSON with names, as in '{{\"depth\": 4}}'")
        object.__setattr__(self, "model_options", json.dumps(options, sort_keys=True))


@dataclass(frozen=True)
class TogetherConfig(Section):
    """The pairs that are trained together."""

    seeds: tuple[int, ...] = option(
        (),
        "several seeds instead of one, comma-separated; one pair for each, all trained together",
        minimum=0,
        identity=False,
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={','.join(map(str, self.seeds))}: each seed once")


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
    paper_first_epoch: int = option(
        0,
        "noise_scope=paper, same noise: seed of the first epoch; 0: as printed; 1: as runs of earlier versions had it",
        minimum=0,
        maximum=1,
        only_with={"noise_scope": "paper", "noise": "same"},
        before=1,
    )
    noise_seed: int | None = option(None, "seed of the noise; auto: the seed of the initialization", minimum=0)
    order_seed: int | None = option(None, "seed of the batch order; auto: noise_seed", minimum=0)
    augmentation_seed: int | None = option(None, "seed of flips, translations and crops; auto: noise_seed", minimum=0)

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        for name in ("noise_seed", "order_seed", "augmentation_seed"):
            if self.noise_scope == "paper" and getattr(self, name) is not None:
                raise ValueError(f"{name}: noise_scope=paper fixes every draw itself; leave {name} at auto")


@dataclass(frozen=True)
class OptimizationConfig(Section):
    """The training of the networks: optimizer, schedule, engine and precision."""

    epochs: int = option(100, "passes over a side's training subset", minimum=1, follows_from="steps", axis=ARITHMETIC)
    batch_size: int = option(
        32, "images per step; the last batch of an epoch holds what is left", minimum=1, axis=GEOMETRIC
    )
    optimizer: str = option("adam", "update rule", choices=("adam", "adamw", "rmsprop", "sgd"))
    lr: float = option(1e-3, "learning rate", above=0.0, axis=GEOMETRIC)
    momentum: float = option(0.0, "momentum (sgd only)", minimum=0.0, maximum=0.9999, axis=ARITHMETIC)
    nesterov: bool = option(False, "Nesterov momentum (sgd only)")
    weight_decay: float = option(
        0.0, "weight decay (decoupled in adamw, L2 in all others)", minimum=0.0, axis=GEOMETRIC
    )
    schedule: str = option("constant", "learning rate over the steps", choices=("constant", "cosine"))
    engine: str = option(
        "exact",
        "exact: the plain loop, bit-equal to the paper's; fast: all networks at once, equal up to rounding",
        choices=("exact", "fast"),
    )
    precision: str = option(
        "float32",
        "precision of products in training; tf32: factors are rounded on a GPU; bfloat16: autocast; testing is float32",
        choices=("float32", "tf32", "bfloat16"),
    )
    loop: str = option(
        OUR_LOOP,
        "who trains: lmc_mlflow; own: a loop of yours, which lmc_mlflow.pair logs; elsewhere: networks that adopt logs",
        choices=(OUR_LOOP, OWN_LOOP, ELSEWHERE),
    )
    warmup_epochs: float = option(
        0.0, "linear warm-up from 0, per step, over this many epochs", minimum=0.0, axis=ARITHMETIC
    )
    clip_norm: float = option(
        0.0, "a gradient whose norm over all parameters is larger is scaled down to this norm; 0: none is", minimum=0.0
    )
    steps: int | None = option(
        None,
        "instead of epochs: the training of each side ends after so many steps; auto: epochs says when",
        minimum=1,
        axis=GEOMETRIC,
    )
    until_train_loss: float | None = option(
        None,
        "the training ends when the loss of both sides on their own training images, measured after every epoch, is at "
        "most this, or after epochs; auto: after epochs",
        above=0.0,
        axis=GEOMETRIC,
    )
    until_train_accuracy: float | None = option(
        None,
        "the training ends when the accuracy of both sides on their own training images, measured after every "
        "epoch, is at least this fraction, or after epochs; auto: after epochs",
        above=0.0,
        maximum=1.0,
        axis=ARITHMETIC,
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        if self.optimizer != "sgd" and (self.momentum != 0 or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to optimizer=sgd, not {self.optimizer}; leave them out")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=true needs a momentum above 0")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs={self.warmup_epochs}: must be below epochs={self.epochs}")
        budgets = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(budgets) > 1:
            raise ValueError(f"{budgets[0]} and {budgets[1]} both end the training; give one of them")
        if budgets and self.loop == OWN_LOOP:
            raise ValueError(f"{budgets[0]}: a loop of your own ends by itself; leave it out")


@dataclass(frozen=True)
class ResumeConfig(Section):
    """What is kept to resume an interrupted training, and whether a finished one is repeated."""

    checkpoint_every: int = option(10, "epochs between resumable checkpoints", minimum=1, identity=False)
    force: bool = option(False, "true: train again even if this configuration is finished in the store", identity=False)
