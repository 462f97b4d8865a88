"""Writes to readers that may have gone: a pipe that closes early never stops a command or a run."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from lmc_mlflow.terminal.style import strip_paint, takes_paint

MESSAGE_FORMAT = "%(levelname)s %(name)s: %(message)s"
"""How what a logger says is written to standard error."""


class PatientStream:
    """A text stream whose reader may go away: what is written then goes nowhere.

    Everything else is the stream's own, but for `isatty` of a quiet one: progress bars are drawn on terminals alone.

    Attributes:
        fault: why something was lost that somebody may have wanted: a full disk, a terminal that is gone.
    """

    def __init__(self, stream: TextIO, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self.fault = ""

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Go on without the stream; a reader that has seen enough is no fault, a full disk is one."""
        _discard(self._stream)
        if not isinstance(error, BrokenPipeError):
            self.fault = error.strerror or type(error).__name__

    def isatty(self) -> bool:
        """Tell whether progress may be drawn."""
        return not self._quiet and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        """Return what the stream itself has."""
        return getattr(self._stream, name)


@contextmanager
def patient_streams(quiet: bool = False) -> Iterator[None]:
    """Make standard output and standard error patient within the block; one that was closed before goes nowhere.

    Args:
        quiet: whether no progress is drawn.
    """
    _fill_closed()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (PatientStream(stream if stream is not None else _nowhere(), quiet) for stream in before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def say(text: str) -> str:
    """Print a text, with its paint on a terminal that shows it, also to a reader that has closed the pipe.

    Returns:
        Why it could not be printed, where that is a fault.
    """
    if sys.stdout is None:
        return ""
    stream = sys.stdout if isinstance(sys.stdout, PatientStream) else PatientStream(sys.stdout)
    stream.write(f"{text if takes_paint(sys.stdout) else strip_paint(text)}\n")
    stream.flush()
    return stream.fault


def _fill_closed() -> None:
    """Open the numbers 0 to 2 where they are closed, so that no database gets one of them and messages go into it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def _nowhere() -> TextIO:
    return open(os.devnull, "w")  # noqa: PTH123 (it stays open as long as the process)


def _discard(stream: TextIO) -> None:
    """Let a stream write to nowhere, what Python flushes at its end too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
