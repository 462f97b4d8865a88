"""Options of a starting point: where both sides start, what they share before they part, and which epochs are kept."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lmc_mlflow.config.options import ARITHMETIC, Section, option
from lmc_mlflow.config.perturbation import read_perturbation
from lmc_mlflow.config.train_pair import OWN_LOOP, ModelConfig, OptimizationConfig

KEEP, NEW = "keep", "new"
"""Choices of `start_head`."""
EVERY = "every:"
"""Before the distance of kept epochs."""
SHARED_DATA = ("both", "A", "B")


def read_epochs(text: str, last: int) -> tuple[int, ...]:
    """Read the epochs that are kept, in order: a list as in `1,2,5`, or `every:5`, up to the last epoch.

    Raises:
        ValueError: it is neither, or an epoch is not one of the training.
    """
    if not text:
        return ()
    if text.startswith(EVERY):
        every = _number("keep_epochs", text.removeprefix(EVERY), text)
        return tuple(range(every, last + 1, every))
    epochs = tuple(sorted({_number("keep_epochs", part.strip(), text) for part in text.split(",") if part.strip()}))
    for epoch in epochs:
        if epoch > last:
            raise ValueError(f"keep_epochs={text}: epoch {epoch} comes after epochs={last}, the last one; leave it out")
    return epochs


def check_epochs_text(text: str) -> None:
    """Check the form of epochs that are kept, whatever the last epoch is.

    Raises:
        ValueError: as in `read_epochs`.
    """
    read_epochs(text, _any_last(text))


def _any_last(text: str) -> int:
    """Give a last epoch that no list comes after, and up to which `every:` lists next to nothing."""
    return 1 if text.startswith(EVERY) else 10**9


def _number(name: str, part: str, text: str) -> int:
    if not part.isascii() or not part.isdigit() or not 0 < int(part) < 10**9:
        raise ValueError(f"{name}={text!r}: give whole numbers from 1 on, as in 1,2,5, or {EVERY}5")
    return int(part)


@dataclass(frozen=True)
class GivenStartConfig(Section):
    """The network whose weights one network starts from, where that is not the command's own choice."""

    start: str = option(
        "",
        "network whose weights the training starts from: a run id, a file of weights, or a URI in MLflow; empty: as "
        "without",
        identity=False,
    )
    start_digest: str = option(
        "", "digest that the network in start must have, else it is refused; empty: any; the one found is logged"
    )
    start_head: str = option(
        KEEP,
        "with start: keep its last layer, or draw a new one (necessary for another number of classes)",
        choices=(KEEP, NEW),
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        _check_start_given(self.start, {"start_head": self.start_head == NEW, "start_digest": bool(self.start_digest)})


def _check_start_given(start: str, given: Mapping[str, bool]) -> None:
    """Refuse options that belong to a start where there is none."""
    for name, is_given in given.items():
        if is_given and not start:
            raise ValueError(f"{name} belongs to start: give start=<run id> too, or leave {name} out")


@dataclass(frozen=True)
class StartConfig(Section):
    """Where both sides start, what they share before they part, and the epochs whose states are kept."""

    start: str = option(
        "",
        "network that both sides start from: a run id, a file of weights, or a URI in MLflow; empty: a random "
        "initialization",
        identity=False,
    )
    start_digest: str = option(
        "", "digest that the network in start must have, else it is refused; empty: any; the one found is logged"
    )
    start_epoch: int | None = option(
        None,
        "with start: network, optimizer and noise as after this epoch of its training, which goes on from there; "
        "auto: its weights alone, for a training from epoch 1",
        minimum=1,
    )
    start_head: str = option(
        KEEP,
        "with start: keep its last layer, or draw a new one (necessary for another number of classes)",
        choices=(KEEP, NEW),
    )
    freeze: tuple[str, ...] = option((), "patterns of names of tensors that are not trained, as in 0.*,features.*")
    shared_epochs: int = option(
        0,
        "epochs that both sides are one network, trained on shared_data, before they part",
        minimum=0,
        axis=ARITHMETIC,
    )
    shared_data: str = option(
        "both", "training subset of the shared epochs: of both sides, or of one", choices=SHARED_DATA
    )
    perturb: str = option(
        "",
        "change side B where the sides part: gaussian:<sigma> adds noise to every trained number, batch:<n> makes a "
        "plain gradient step on n of its images; empty: no change",
    )
    keep_epochs: str = option(
        "", "epochs whose networks and optimizers are kept: 1,2,5 or every:5; empty: none", identity=False
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        check_epochs_text(self.keep_epochs)
        read_perturbation(self.perturb)
        given = {"start_epoch": self.start_epoch is not None, "start_head": self.start_head == NEW}
        _check_start_given(self.start, {**given, "start_digest": bool(self.start_digest)})
        if self.start_epoch is not None and self.shared_epochs:
            raise ValueError("give either start_epoch or shared_epochs: both say where the sides part")
        if self.start_epoch is not None and self.start_head == NEW:
            raise ValueError("start_head=new draws a new layer, start_epoch goes on with the old one; leave one out")
        if not self.shared_epochs and self.shared_data != "both":
            raise ValueError(
                f"shared_data={self.shared_data} belongs to shared_epochs: give shared_epochs=<number> too, or "
                "leave it out"
            )

    @property
    def parting(self) -> int:
        """The epoch after which the sides train apart; 0: from the beginning."""
        return self.shared_epochs or self.start_epoch or 0

    @property
    def is_common(self) -> bool:
        """Whether both sides start from one network that is named or trained for them, or is perturbed."""
        return bool(self.start or self.shared_epochs or self.perturb)


def own_epochs(text: str, last: int, before: int) -> tuple[int, ...]:
    """List the kept epochs of a training that begins after an epoch; `every:` passes over those before it.

    Raises:
        ValueError: one is not an epoch of this training.
    """
    found = read_epochs(text, last)
    early = [epoch for epoch in found if epoch <= before]
    if early and not text.startswith(EVERY):
        raise ValueError(
            f"keep_epochs={text}: this training begins after epoch {before}, so epoch {early[0]} is not one of its; "
            "leave it out"
        )
    return tuple(epoch for epoch in found if epoch > before)


def kept_epochs(starting: StartConfig, epochs: int) -> tuple[int, ...]:
    """List the kept epochs of a pair's own training, after its sides part.

    Raises:
        ValueError: as in `own_epochs`.
    """
    return own_epochs(starting.keep_epochs, epochs, starting.parting)


def check_start(starting: StartConfig, model: ModelConfig, optimization: OptimizationConfig) -> None:
    """Check a starting point against the rest of a pair's configuration.

    Raises:
        ValueError: they contradict each other.
    """
    counts_steps = optimization.steps is not None  # then epochs follow, when the data are known
    if counts_steps and starting.parting and optimization.schedule != "constant":
        raise ValueError(
            f"schedule={optimization.schedule} falls over all steps, and steps counts those after the sides part; give "
            "epochs, or schedule=constant"
        )
    if starting.parting > optimization.epochs and not counts_steps:
        name = "shared_epochs" if starting.shared_epochs else "start_epoch"
        raise ValueError(f"{name}={starting.parting}: must be at most epochs={optimization.epochs}")
    kept_epochs(starting, _any_last(starting.keep_epochs) if counts_steps else optimization.epochs)
    if starting.is_common and model.init != "same":
        raise ValueError("start, shared_epochs and perturb need one start for both sides; leave init=different out")
    if optimization.loop == OWN_LOOP:
        for name in ("start_epoch", "shared_epochs", "perturb", "keep_epochs", "freeze"):
            if getattr(starting, name):
                raise ValueError(f"{name}: a loop of your own trains every epoch itself; leave it out")


def missing_epochs(wanted: Collection[int], kept: str, last: str = "") -> list[int]:
    """List the wanted epochs that a tag of kept epochs does not name, up to the last one of the training.

    Args:
        wanted: epochs.
        kept: the tag.
        last: tag of the last epoch of a training that ended at a loss or an accuracy; empty: any.
    """
    there = {int(part) for part in kept.split(",") if part.strip().isdigit()}
    return sorted(epoch for epoch in set(wanted) - there if not last.isdigit() or epoch <= int(last))
