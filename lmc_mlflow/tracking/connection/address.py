"""Names the tracking store and the experiment that this thread works with."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import mlflow


@dataclass(frozen=True)
class Address:
    """A tracking store and an experiment in it.

    Attributes:
        uri: of the store; None: that of MLflow's own settings.
        experiment: its name; None: that of MLflow's own settings.
        from_python: whether a call from Python works there, and not a command, which `mlflow run` may have started.
    """

    uri: str | None = None
    experiment: str | None = None
    from_python: bool = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether another store is named than by MLflow's own settings."""
        return self.uri is not None and self.uri != str(mlflow.get_tracking_uri())


OF_SETTINGS = Address()
_ADDRESS: ContextVar[Address] = ContextVar("address", default=OF_SETTINGS)


def address() -> Address:
    """Return where this thread works."""
    return _ADDRESS.get()


def tracking_uri() -> str:
    """Return the store that this thread works with."""
    uri = address().uri
    return str(mlflow.get_tracking_uri()) if uri is None else uri


@contextmanager
def at_address(uri: str | None, experiment: str | None) -> Iterator[None]:
    """Work with another store or experiment within the block; the settings of MLflow and of the process stay."""
    token = _ADDRESS.set(Address(uri, experiment, from_python=True))
    try:
        yield
    finally:
        _ADDRESS.reset(token)
