"""Makes the signals that ask a process to end raise one exception, never in the midst of what must be done whole."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BURST_SECONDS = 2.0
"""Signals that follow one so closely ask for the same: Ctrl-C twice, or the SIGTERM of `mlflow run` after Ctrl-C."""
PATIENCE_SECONDS = 10.0
"""How long a signal waits for the end of a block before another one raises nevertheless."""
STATUS = 130


class Terminated(BaseException):
    """The process was asked to end (SIGTERM, SIGHUP); like KeyboardInterrupt it passes every `except Exception`."""


STOPS = (KeyboardInterrupt, Terminated)


@dataclass
class _State:
    """What has become of the signals of this process.

    Attributes:
        installed: whether `termination_raises` has its handlers in place.
        once: whether signals after the first are dropped.
        held: how many blocks make signals wait.
        waiting: the signal that waits, and since when.
        raised: the last signal that has raised, and when.
        is_checked: whether a signal that has raised, and whose exception was lost, raises again.
        leaves: whether a signal ends the process where no handlers are in place.
    """

    installed: bool = False
    once: bool = False
    held: int = 0
    waiting: tuple[int, float] | None = None
    raised: tuple[int, float] | None = None
    is_checked: bool = False
    leaves: bool = False


_STATE = _State()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def termination_raises(once: bool = False) -> Iterator[None]:
    """Raise `Terminated` in the main thread at SIGTERM or SIGHUP within the block, and KeyboardInterrupt at SIGINT.

    A signal that the process was started to ignore (`nohup`) stays ignored. An error that follows from the exception,
    such as that of an import cut short, counts as the signal.

    Args:
        once: whether further signals are dropped.
    """
    if not _in_main_thread() or _STATE.installed:
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    mine = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    report = sys.unraisablehook
    _STATE.held, _STATE.waiting, _STATE.raised, _STATE.is_checked = 0, None, None, False
    _STATE.installed, _STATE.once = True, once
    sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, STOPS) else report(lost)
    for number in mine:
        signal.signal(number, _take)
    try:
        yield
    except STOPS:
        raise
    except Exception as error:
        if _STATE.raised is not None:
            raise _exception(_STATE.raised[0]) from error
        raise
    finally:
        for number in mine:
            signal.signal(number, before[number])
        sys.unraisablehook = report
        _STATE.installed = False


def _take(number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if _STATE.raised is not None and (_STATE.once or now - _STATE.raised[1] < BURST_SECONDS):
        return
    if _STATE.held:
        if _STATE.waiting is None:
            _STATE.waiting = number, now
        if now - _STATE.waiting[1] < PATIENCE_SECONDS:
            return
    _raise(number)


def _raise(number: int) -> None:
    _STATE.waiting, _STATE.raised = None, (number, time.monotonic())
    raise _exception(number)


def _exception(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(signal.Signals(number).name)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Let signals raise at the end of the block, so that it is done completely.

    A signal that comes when another has waited for `PATIENCE_SECONDS` does not wait.
    """
    if not _in_main_thread():
        yield
        return
    if _STATE.raised is not None and _STATE.is_checked and not _STATE.held:
        _raise(_STATE.raised[0])  # its exception was lost, as in a finalizer
    _STATE.held += 1
    try:
        yield
    finally:
        _STATE.held -= 1
        if _STATE.waiting is not None and not _STATE.held:
            _raise(_STATE.waiting[0])


@contextmanager
def signals_raise() -> Iterator[None]:
    """Let signals raise at once in a block within one that makes them wait: so what surrounds it is always done."""
    if not _in_main_thread():
        yield
        return
    before = _STATE.held, _STATE.is_checked
    _STATE.held, _STATE.is_checked = 0, True
    try:
        if _STATE.waiting is not None:
            _raise(_STATE.waiting[0])
        yield
    finally:
        _STATE.held, _STATE.is_checked = before


def stop_begins() -> None:
    """Note that the exception of a signal has arrived where something is done about it."""
    if _in_main_thread():
        _STATE.is_checked = False


def was_stopped() -> bool:
    """Tell whether a signal has raised since `termination_raises` began."""
    return _STATE.installed and _STATE.raised is not None


def leave_at_signals(words: str) -> None:
    """Let a signal end the process with a line instead of a traceback, where nothing is open that had to be ended."""
    _STATE.leaves = True
    _leave_with(STATUS, f"{words}\n")


def leave_with(status: int) -> None:
    """Let a signal that comes after the end of a command end the process with the status of that command."""
    if _STATE.leaves:
        _leave_with(status, "")


def _leave_with(status: int, words: str) -> None:
    def leave(_number: int, _frame: FrameType | None) -> None:
        try:
            os.write(2, words.encode())
        finally:
            os._exit(status)

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)
