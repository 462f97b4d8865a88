"""Holds the state of the simulated machine: its cards, and what each thread has chosen among them."""

import os
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from simulated_device.counts import count_wait
from simulated_device.generators import generator_on

if TYPE_CHECKING:
    from simulated_device.graphs import Capture
    from simulated_device.streams import Stream

ALLOCATION_UNIT = 512
"""Bytes. CUDA's allocator rounds up to them."""
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
"""What the kernels of the simulated PyTorch are compiled for."""


class Card:
    """One simulated GPU."""

    def __init__(self, index: int, capability: tuple[int, int], memory: int) -> None:
        self.index, self.capability, self.memory = index, capability, memory
        self.generator = generator_on(index)
        self.allocated = self.peak = 0
        self.default_stream: Stream

    def check_kernels(self) -> None:
        """Refuse to run if no kernel was compiled for this card.

        Raises:
            RuntimeError: as PyTorch does on such a card.
        """
        if f"sm_{self.capability[0]}{self.capability[1]}" not in ARCHITECTURES:
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device")


@dataclass
class Uses:
    """The times of the streams at which one last wrote some memory, and at which each has read it since."""

    written: "tuple[Stream, int] | None" = None
    read: "dict[Stream, int]" = field(default_factory=dict)


class Allocation:
    """Memory on a card, as long as a tensor or a view of one holds it.

    Attributes:
        capture: in which it was made, or None.
        uses: what streams have done with it.
    """

    __slots__ = ("__weakref__", "capture", "card", "size", "uses")

    def __init__(self, card: Card, size: int) -> None:
        self.capture, self.uses = machine().capture, Uses()
        self.card, self.size = card, -(-size // ALLOCATION_UNIT) * ALLOCATION_UNIT
        if card.allocated + self.size > card.memory:
            self.size = 0
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes on GPU {card.index}.")
        card.allocated += self.size
        card.peak = max(card.peak, card.allocated)

    def __del__(self) -> None:
        self.card.allocated -= self.size


@dataclass
class Machine:
    """The cards, the thread's current card and streams, and the capture under way."""

    cards: tuple[Card, ...]

    def __post_init__(self) -> None:
        self._of_thread = threading.local()
        self.streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self.host_seen: weakref.WeakKeyDictionary[Stream, int] = weakref.WeakKeyDictionary()
        self.capture: Capture | None = None
        self.capture_stream: Stream | None = None
        self.cublas_repeats: bool | None = None

    @property
    def current(self) -> int:
        """The thread's current card."""
        return getattr(self._of_thread, "current", 0)

    @current.setter
    def current(self, index: int) -> None:
        self._of_thread.current = index

    @property
    def _streams(self) -> dict[int, "Stream"]:
        if not hasattr(self._of_thread, "streams"):
            self._of_thread.streams = {}
        return self._of_thread.streams

    def stream(self, index: int) -> "Stream":
        """Return the thread's current stream of a card."""
        return self._streams.get(index) or self.cards[index].default_stream

    def set_stream(self, stream: "Stream") -> None:
        """Make a stream the thread's current one of its card."""
        self._streams[stream.index] = stream

    def check_cublas(self) -> None:
        """Refuse a product that need not repeat; like cuBLAS, read the environment at the first product alone.

        Raises:
            RuntimeError: deterministic algorithms are asked for, and the environment does not allow them.
        """
        if self.cublas_repeats is None:
            self.cublas_repeats = os.environ.get("CUBLAS_WORKSPACE_CONFIG") in (":4096:8", ":16:8")
        if torch.are_deterministic_algorithms_enabled() and not self.cublas_repeats:
            raise RuntimeError("Deterministic behavior was enabled, but CuBLAS needs CUBLAS_WORKSPACE_CONFIG=:4096:8")


_machine: list[Machine] = []


def machine() -> Machine:
    """Return the machine that is simulated now."""
    return _machine[-1]


def index_of(device: object) -> int:
    """Return the index of a card given as None (the current one), a number, a name or a device.

    Raises:
        RuntimeError: there is no such card.
    """
    if isinstance(device, str):
        device = torch.device(device)
    index = device.index if isinstance(device, torch.device) else device
    if isinstance(device, torch.device) and device.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {device}")
    if index is None:
        return machine().current
    if _machine and not 0 <= int(index) < len(machine().cards):
        raise RuntimeError("CUDA error: invalid device ordinal")
    return int(index)


def wait(reason: str) -> None:
    """Let the host wait for all that was launched.

    Raises:
        RuntimeError: a graph is being captured.
    """
    count_wait(reason)
    if machine().capture is not None:
        machine().capture.broken = True
        raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing: {reason}")
    for stream in machine().streams:
        machine().host_seen[stream] = stream.time
