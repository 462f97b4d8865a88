"""Draws the SGD noise of a side (batch order, flips, translations, dropout), by named streams or as in the paper."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Protocol

import torch
from torch import Tensor

from lmc_mlflow.batches import send
from lmc_mlflow.config.train_pair import NoiseConfig
from lmc_mlflow.data.resized_crops import draw_boxes
from lmc_mlflow.seeds import derive_seed, global_stream, stream

PAPER_SEED_OFFSET = 100
"""Algorithm 1, else-branch: the second network's noise starts from seed + 100."""


@dataclass
class EpochDraws:
    """The draws of one epoch, batch by batch.

    Attributes:
        order: (N,) positions in the side's training subset, on the CPU.
        flipped: one (n,) boolean tensor for each batch drawn so far, on the CPU.
        moves: (N, 2) pixels by which the images move down and to the right, in this order, on the CPU; None: no moves.
        boxes: (N, 4) first row, first column, height and width of what is seen of the images, in this order, on the
            CPU; None: whole images.
    """

    order: Tensor
    batch_size: int
    device: torch.device
    flips: bool
    all_flips: Tensor | None = None
    flipped: list[Tensor] = field(default_factory=list)
    moves: Tensor | None = None
    boxes: Tensor | None = None

    def batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the positions (n,) and the flips (n,) or None of each batch, on the training device."""
        order = torch.split(send(self.order, self.device), self.batch_size)
        yield from zip(order, self._flips() if self.flips else repeat(None))  # noqa: B905

    def _flips(self) -> Iterator[Tensor]:
        # The paper's loader draws a batch's flips just before the batch is used, in between the dropout draws of its
        # neighbours. On a GPU dropout has a generator of its own, so that all flips can be drawn and copied at once.
        drawn = map(self._draw_flips, range(0, len(self.order), self.batch_size))
        if self.device.type == "cpu":
            yield from drawn
        else:
            yield from torch.split(send(torch.cat(list(drawn)), self.device), self.batch_size)

    def _draw_flips(self, start: int) -> Tensor:
        end = min(start + self.batch_size, len(self.order))
        self.flipped.append(torch.rand(end - start) < 0.5 if self.all_flips is None else self.all_flips[start:end])
        return self.flipped[-1]


class NoiseStream(Protocol):
    """The noise of one side over all epochs."""

    @property
    def translate(self) -> int:
        """The largest random translation of an image, in pixels; 0: no translations."""

    @property
    def boxed(self) -> tuple[int, int] | None:
        """Height and width of images in which random boxes are resized; None: they are seen whole."""

    def epoch(self, epoch: int, num_samples: int, batch_size: int, flips: bool) -> AbstractContextManager[EpochDraws]:
        """Draw the noise of an epoch (counted from 1); within the block dropout draws from this noise too."""

    def state(self) -> dict[str, Tensor]:
        """Return what must be kept to continue after the last whole epoch."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a state that `state` returned."""

    def on(self, device: torch.device) -> "NoiseStream":
        """Return the same noise, where it is now, for a training on another device."""


def noise_stream(
    config: NoiseConfig,
    seed: int,
    side: str,
    device: torch.device,
    translate: int = 0,
    boxed: tuple[int, int] | None = None,
) -> NoiseStream:
    """Make the noise of a side.

    Args:
        config: same or different noise, named streams or the paper's.
        seed: of the initialization; named streams follow it unless noise_seed is given.
        side: `A` or `B`; both sides share every draw under `noise=same`.
        device: of the training.
        translate: the largest random translation in pixels; must be 0 under `noise_scope=paper`.
        boxed: height and width of images in which random boxes are resized; must be None under `noise_scope=paper`.
    """
    assert config.noise_scope == "run" or not (translate or boxed), "the configuration refuses them in paper's draws"
    if config.noise_scope == "paper":
        if config.noise == "same":
            return PaperNoise(device, start=None, first_epoch=config.paper_first_epoch)
        return PaperNoise(device, start=seed if side == "A" else seed + PAPER_SEED_OFFSET)
    own = "/B" if config.noise == "different" and side == "B" else ""
    usual = seed if config.noise_seed is None else config.noise_seed
    return NamedNoise(usual, own, device, translate, config.order_seed, config.augmentation_seed, boxed)


@dataclass(frozen=True)
class NamedNoise:
    """Noise from named streams: order, flips, translations and dropout each have one, seeded by (seed, name, epoch).

    Attributes:
        seed: of all streams that have no other one.
        own: added to the names of the streams; empty, or `/B` where side B draws separately.
        device: of the training.
        translate: the largest random translation in pixels.
        order_seed: of the order; None: `seed`.
        augmentation_seed: of flips, translations and boxes; None: `seed`.
        boxed: height and width of images in which random boxes are resized.
    """

    seed: int
    own: str
    device: torch.device
    translate: int = 0
    order_seed: int | None = None
    augmentation_seed: int | None = None
    boxed: tuple[int, int] | None = None

    @contextmanager
    def epoch(self, epoch: int, num_samples: int, batch_size: int, flips: bool) -> Iterator[EpochDraws]:
        """Draw the noise of an epoch, as `NoiseStream` says."""
        order_seed = self.seed if self.order_seed is None else self.order_seed
        order = torch.randperm(num_samples, generator=stream(order_seed, f"order{self.own}", epoch))
        augmentation_seed = self.seed if self.augmentation_seed is None else self.augmentation_seed
        all_flips = moves = boxes = None
        if flips:
            all_flips = torch.rand(num_samples, generator=stream(augmentation_seed, f"flip{self.own}", epoch)) < 0.5
        if self.translate:
            drawn = stream(augmentation_seed, f"translate{self.own}", epoch)
            moves = torch.randint(-self.translate, self.translate + 1, (num_samples, 2), generator=drawn)
        if self.boxed:
            boxes = draw_boxes(num_samples, *self.boxed, stream(augmentation_seed, f"box{self.own}", epoch))
        with global_stream(derive_seed(self.seed, f"dropout{self.own}", epoch), self.device):
            yield EpochDraws(order, batch_size, self.device, flips, all_flips, moves=moves, boxes=boxes)

    def state(self) -> dict[str, Tensor]:
        """Return nothing: every epoch has streams of its own."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Do nothing: there is no state."""

    def on(self, device: torch.device) -> "NamedNoise":
        """Return the same noise for a training on another device."""
        return replace(self, device=device)


@dataclass
class PaperNoise:
    """The noise of Algorithm 1 of Hepburn et al., draw for draw, without its DataLoader.

    With the same noise (`start` is None) PyTorch's generator is seeded in each epoch with the number that the epoch
    has in the loop of the algorithm, which begins at `first_epoch`: 0 as printed ("for epoch = 0 to n"). With
    different noise it is seeded once, with `start`, and continues through all epochs, each of which ends with the
    draw that the test loader makes.
    """

    device: torch.device
    start: int | None
    first_epoch: int = 0
    translate: int = field(default=0, init=False)
    boxed: tuple[int, int] | None = field(default=None, init=False)
    _left: dict[str, Tensor] = field(default_factory=dict)

    @contextmanager
    def epoch(self, epoch: int, num_samples: int, batch_size: int, flips: bool) -> Iterator[EpochDraws]:
        """Draw the noise of an epoch, as `NoiseStream` says."""
        with global_stream(epoch - 1 + self.first_epoch if self.start is None else self.start, self.device):
            if self.start is not None and self._left:
                torch.set_rng_state(self._left["cpu"])
                if "cuda" in self._left:
                    torch.cuda.set_rng_state(self._left["cuda"], self.device)
            _draw_seed()  # the loader's base seed
            sampler = torch.Generator().manual_seed(_draw_seed())
            yield EpochDraws(torch.randperm(num_samples, generator=sampler), batch_size, self.device, flips)
            if self.start is not None:
                _draw_seed()  # the test loader's base seed
                self._left = {"cpu": torch.get_rng_state()}
                if self.device.type == "cuda":
                    self._left["cuda"] = torch.cuda.get_rng_state(self.device)

    def state(self) -> dict[str, Tensor]:
        """Return the states of the generators where they continue from epoch to epoch."""
        return dict(self._left)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a state that `state` returned."""
        self._left = {name: tensor.cpu() for name, tensor in state.items()}

    def on(self, device: torch.device) -> "PaperNoise":
        """Return the same noise, where it is now, for a training on another device."""
        return replace(self, device=device)


def _draw_seed() -> int:
    return int(torch.empty((), dtype=torch.int64).random_().item())


def initialization_seeds(init: str, noise_scope: str, seed: int) -> tuple[int, int]:
    """Return the seeds from which PyTorch's generator initializes side A and side B."""
    if noise_scope == "paper":
        return seed, seed if init == "same" else seed + PAPER_SEED_OFFSET
    first = derive_seed(seed, "init")
    return first, first if init == "same" else derive_seed(seed, "init/B")
