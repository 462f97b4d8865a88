"""Captures CUDA graphs: kernels are recorded and do not run; a replay runs them again on the same memory."""

import warnings
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from simulated_device.counts import count_replay
from simulated_device.generators import card_of
from simulated_device.machine import Allocation, Uses, machine, wait
from simulated_device.schemas import tensors_in
from simulated_device.streams import Stream, use
from simulated_device.tensors import DeviceTensor

Recorded = tuple[Callable[..., list[Tensor]], list[Tensor]]
"""What computes the new tensors of an operation again, and those that it returned in the capture."""

EMPTY = (
    "The CUDA Graph is empty. This usually means that the graph was attempted to be captured on wrong device or stream."
)


class Capture:
    """The kernels launched on a stream, and on those that it forked, between the two ends of a capture."""

    def __init__(self, origin: Stream, generators: list[torch.Generator]) -> None:
        self.origin, self.streams = origin, {origin}
        self.calls: list[Recorded] = []
        self.inputs: set[weakref.ref[Allocation]] = set()
        self.uses: weakref.WeakKeyDictionary[Allocation, Uses] = weakref.WeakKeyDictionary()
        self.broken = False
        self._generators = {generator._cdata for generator in generators}

    def record(self, call: Any, op: Any, index: int, args: Any, kwargs: Any, given: list[Tensor]) -> Any:
        """Record a kernel of a card with its arguments of today; numbers stay as they are now.

        Returns:
            What it returns, which has a shape and, outside the capture, no values before the first replay.
        """
        stream = machine().stream(index)
        stream.unjoined = stream is not self.origin
        self._check_generator(kwargs.get("generator"))
        for x in given:
            if isinstance(x, DeviceTensor) and x.allocation.capture is not self:
                self.inputs.add(weakref.ref(x.allocation))
        if op.name != "copy_":
            args = tuple(_frozen(x, given) for x in args)
            kwargs = {name: _frozen(x, given) for name, x in kwargs.items()}
        written = [x for i, name, _ in op.written for x in tensors_in(args[i] if i < len(args) else kwargs.get(name))]
        before = [x.clone() for x in written]
        states = [(card.generator, card.generator.get_state()) for card in machine().cards] if op.draws else []
        out = call(*args, **kwargs)
        for x, values in zip(written, before, strict=True):
            x.copy_(values)
        for generator, state in states:
            generator.set_state(state)
        if op.launches:
            self.calls.append((lambda: op.new(call(*args, **kwargs)), op.new(out)))
        return out

    def end(self, failed: bool) -> None:
        """Leave the captured streams, and the new tensors without values.

        Raises:
            RuntimeError: a stream was forked and not joined, or the host waited.
        """
        machine().capture = None
        unjoined = any(stream.unjoined for stream in self.streams)
        for stream in self.streams:
            stream.capture, stream.unjoined = None, False
        if failed:
            return
        if self.broken:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        if unjoined:
            raise RuntimeError("CUDA error: capturing stream has unjoined work")
        for _, new in self.calls:
            for x in new:
                if x.is_floating_point():
                    x.fill_(torch.nan)

    def _check_generator(self, generator: torch.Generator | None) -> None:
        if generator is not None and card_of(generator) >= 0 and generator._cdata not in self._generators:
            raise RuntimeError("Attempt to increase offset for a CUDA generator not in capture mode.")


class Graph:
    """Stands for `torch.cuda.CUDAGraph`."""

    def __init__(self, keep_graph: bool = False) -> None:
        self._recorded: Capture | None = None
        self._capture: Capture | None = None
        self._generators = [card.generator for card in machine().cards]

    @property
    def num_kernels(self) -> int:
        """How many kernels a replay runs."""
        assert self._recorded is not None
        return len(self._recorded.calls)

    def register_generator_state(self, generator: torch.Generator) -> None:
        """Let kernels of the graph draw from a generator, anew at each replay."""
        self._generators.append(generator)

    def capture_begin(self, pool: object = None, capture_error_mode: str = "global", **_: object) -> None:
        """Record from now on what is launched on the current stream.

        Raises:
            RuntimeError: it is the default stream, or there is a capture already.
        """
        stream = machine().stream(machine().current)
        if stream is machine().cards[stream.index].default_stream:
            raise RuntimeError("CUDA graphs must be captured on a non-default stream.")
        if machine().capture is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing: a second capture")
        self._capture = stream.capture = machine().capture = Capture(stream, self._generators)

    def capture_end(self, failed: bool = False) -> None:
        """Stop recording; warn if nothing was recorded.

        Args:
            failed: whether an error ends it; there is then no graph.
        """
        assert self._capture is not None
        capture, self._capture = self._capture, None
        with _disable_current_modes():
            capture.end(failed)
        if not failed:
            self._recorded = capture
            if not capture.calls:
                warnings.warn(EMPTY, stacklevel=3)

    def replay(self) -> None:
        """Run the recorded kernels.

        Raises:
            RuntimeError: there is no capture, or memory that the kernels use was freed.
        """
        if self._recorded is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        if machine().capture is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing: replay")
        if any(reference() is None for reference in self._recorded.inputs):
            raise RuntimeError("CUDA error: an illegal memory access was encountered: memory of a graph was freed")
        count_replay(self.num_kernels)
        read, written = [], []
        for allocation, uses in self._recorded.uses.items():
            (read if uses.written is None else written).append(allocation.uses)
        use(machine().stream(machine().current), read, written, "a graph")
        with _disable_current_modes():
            for compute, kept in self._recorded.calls:
                for x, values in zip(kept, compute(), strict=True):
                    x.copy_(values)

    def reset(self) -> None:
        """Let the graph go."""
        self._recorded = None

    def pool(self) -> tuple[int, int]:
        """Return the name of its memory pool."""
        return (0, id(self))


class capture:  # noqa: N801
    """Stands for `torch.cuda.graph`."""

    def __init__(self, graph: Graph, pool: object = None, stream: Stream | None = None, **_: object) -> None:
        self._graph = graph
        if stream is None:  # like PyTorch's, made once: on the card that is current at the first capture
            machine().capture_stream = machine().capture_stream or Stream()
        self._context = on_stream(stream or machine().capture_stream)

    def __enter__(self) -> None:
        wait("synchronize before a capture")
        self._context.__enter__()
        self._graph.capture_begin()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self._graph.capture_end(failed=kind is not None)
        finally:
            self._context.__exit__(kind, *rest)


class on_stream:  # noqa: N801
    """Stands for `torch.cuda.stream`: makes a stream and its card the current ones of the thread."""

    def __init__(self, stream: Stream | None) -> None:
        self._stream = stream

    def __enter__(self) -> None:
        if self._stream is not None:
            self._before = machine().current, machine().stream(self._stream.index)
            machine().current = self._stream.index
            machine().set_stream(self._stream)

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            machine().current, stream = self._before
            machine().set_stream(stream)


def _frozen(x: Any, given: list[Tensor]) -> Any:
    """Return the value of today of a number that the host holds as a tensor; a kernel keeps it in its arguments."""
    on_host = isinstance(x, Tensor) and not x.dim() and any(x is other for other in given)
    return x.clone() if on_host else x
