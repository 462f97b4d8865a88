"""Turns an error that a user can do something about into one line that says what to do."""

import errno

from lmc_mlflow.errors import first_line, lacks_determinism, one_line
from lmc_mlflow.terminal.hints import retyped


def is_user_error(error: Exception) -> bool:
    """Tell whether a user can do something about an error; called when work has failed, never before."""
    import torch
    from safetensors import SafetensorError

    from lmc_mlflow.tracking.connection.client import STORE_FAILURES
    from lmc_mlflow.tracking.connection.store import StoreError

    failures = (StoreError, ArithmeticError, MemoryError, OSError, SafetensorError, torch.OutOfMemoryError)
    return isinstance(error, (ValueError, *failures, *STORE_FAILURES)) or lacks_determinism(error)


def refusal_of_flags(error: ValueError) -> str:
    """Write what is wrong with the flags of a command; neither torch nor mlflow is imported for it."""
    return retyped(one_line(error))


def refusal(error: BaseException) -> str:
    """Write an error of a command at work in one line, with the way out.

    Of what a database's driver says only the first line is kept: statement and parameters follow there.
    """
    from lmc_mlflow.tracking.connection.client import STORE_FAILURES

    text = first_line(error) if isinstance(error, STORE_FAILURES) else one_line(error)
    return f"{retyped(text)}{_way_out(error)}"


def _way_out(error: BaseException) -> str:
    """Return what to do about errors of the machine, whose own words do not say it."""
    import torch

    from lmc_mlflow.tracking.connection.client import FULL, STORE_FAILURES

    if any(words in str(error) for words in FULL):
        return "; free some space, the same command resumes it"
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "; a limit on the size of files (`ulimit -f`) is in force, raise it, the same command resumes it"
    if isinstance(error, STORE_FAILURES):
        return "; put the tracking store right, the same command goes on from the progress that was saved"
    if isinstance(error, torch.OutOfMemoryError):
        return "; lower batch_size, choose a smaller network, or device=cpu"
    if isinstance(error, MemoryError):
        return "; this needs more memory than is free"
    return ""
