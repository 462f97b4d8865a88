"""Streams and events of simulated cards, and races between kernels of streams that do not wait for one another."""

import torch

from simulated_device.machine import Uses, index_of, machine, wait

Seen = dict["Stream", int]
"""Stream -> its time up to which its kernels are done before what comes next."""


class StreamRaceError(RuntimeError):
    """Two streams use the same memory, one of them writes, and nothing orders them; CUDA would say nothing."""


class Stream:
    """A queue of kernels on a card; a capture is what records them instead of running them.

    Attributes:
        time: kernels launched so far.
        seen: what its next kernel comes after.
    """

    def __init__(self, device: object = None, priority: int = 0, **_: object) -> None:
        self.index = index_of(device)
        self.capture = None
        self.unjoined = False
        self.time, self.seen = 0, Seen()
        machine().streams.add(self)

    @property
    def device(self) -> torch.device:
        """Return the card of the stream."""
        return torch.device("cuda", self.index)

    def wait_stream(self, other: "Stream") -> None:
        """Let later kernels of this stream wait for those of the other; within a capture it becomes part of it."""
        self.wait_event(other.record_event())

    def record_event(self, event: "Event | None" = None) -> "Event":
        """Record an event on this stream."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        """Let later kernels wait for the event.

        Raises:
            RuntimeError: this stream is captured, and that of the event was not when it was recorded.
        """
        other = event.stream
        if other is None:
            return
        if event.capture is not None:
            self.capture = event.capture
            self.capture.streams.add(self)
            other.unjoined, self.unjoined = False, self is not self.capture.origin
        elif self.capture is not None:
            raise RuntimeError("CUDA error: dependency created on uncaptured work in another stream")
        for stream, time in event.seen.items():
            self.seen[stream] = max(time, self.seen.get(stream, 0))

    def synchronize(self) -> None:
        """Wait on the host."""
        wait("a stream")

    def query(self) -> bool:
        """Return whether all work is done, which on a simulated card it always is."""
        return True

    def is_capturing(self) -> bool:
        """Return whether a graph is captured on this stream."""
        return self.capture is not None


class Event:
    """A mark on a stream: what was launched before it."""

    def __init__(self, *_: object, **__: object) -> None:
        self.stream: Stream | None = None
        self.capture = None
        self.seen = Seen()

    def record(self, stream: Stream | None = None) -> None:
        """Mark what has been launched."""
        self.stream = stream or machine().stream(machine().current)
        self.capture = self.stream.capture
        self.seen = {**self.stream.seen, self.stream: self.stream.time}

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream wait for the event."""
        (stream or machine().stream(machine().current)).wait_event(self)

    def synchronize(self) -> None:
        """Wait on the host."""
        wait("an event")

    def query(self) -> bool:
        """Return whether it has passed."""
        return True

    def elapsed_time(self, end: "Event") -> float:
        """Return milliseconds between two events; a simulated card takes no time."""
        return 0.0


def use(stream: Stream, read: list[Uses], written: list[Uses], name: str) -> None:
    """Note what the next kernel of a stream uses.

    Raises:
        StreamRaceError: another stream writes what it reads, or uses what it writes, and nothing orders the two.
    """
    stream.time += 1
    for uses in (*read, *written):
        if uses.written is not None:
            _check_order(stream, *uses.written, f"{name} uses what another stream writes")
    for uses in written:
        for other, time in uses.read.items():
            _check_order(stream, other, time, f"{name} writes what another stream reads")
        uses.written, uses.read = (stream, stream.time), {}
    for uses in read:
        uses.read[stream] = stream.time


def _check_order(stream: Stream, other: Stream, time: int, what: str) -> None:
    if other is not stream and max(stream.seen.get(other, 0), machine().host_seen.get(other, 0)) < time:
        raise StreamRaceError(f"{what}; let it wait: wait_stream, wait_event")
