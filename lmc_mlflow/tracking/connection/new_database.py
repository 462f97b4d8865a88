"""Lets one process at a time make the tables of a new SQLite database."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


@contextmanager
def sole_maker(uri: str) -> Iterator[None]:
    """Hold a lock file beside a database that has no tables yet, or that another process is just making.

    MLflow makes the tables of a database as its client is made, and two processes that do so at once disturb each
    other. The file is deleted after the block; one that a killed process has left is taken over.

    Args:
        uri: of a store; of one that is no SQLite file nothing is locked.
    """
    database = _path(uri)
    lock = None if database is None else _lock(database)
    try:
        yield
    finally:
        if lock is not None and database is not None:
            _lock_file(database).unlink(missing_ok=True)  # while it is held; a process that waits for it looks again
            os.close(lock)


def _path(uri: str) -> Path | None:
    try:
        url = make_url(uri)
    except ArgumentError:  # no database at all
        return None
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if is_file else None


def _lock_file(database: Path) -> Path:
    return database.with_name(f".{database.name}.new")


def _lock(database: Path) -> int | None:
    """Wait for the lock file and return it open; None where the tables are there, or where no file can be made."""
    while not _has_tables(database):
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            found = os.open(_lock_file(database), os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # nor can the database be made there: its own error says more
            return None
        fcntl.flock(found, fcntl.LOCK_EX)
        if _is_there(found, _lock_file(database)):
            return found
        os.close(found)  # the process that held it has deleted it: look again
    return None


def _has_tables(database: Path) -> bool:
    """Tell whether the database is whole: a process that makes one has its lock file before the database has bytes."""
    return database.exists() and database.stat().st_size > 0 and not _lock_file(database).exists()


def _is_there(found: int, path: Path) -> bool:
    """Tell whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(found), path.stat())
    except FileNotFoundError:
        return False
