"""Locks that a tracking store keeps, so that no two processes do the same work."""

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import LOCK_PREFIX, Tag
from lmc_mlflow.errors import first_line
from lmc_mlflow.tracking.connection.client import WRITE_FAILURES, client_of, impatient_client, without_waiting
from lmc_mlflow.tracking.connection.store import Store, StoreError
from lmc_mlflow.tracking.processes.process import HEARTBEAT_SECONDS, is_alive, now, process_tags, unreadable_tag
from lmc_mlflow.tracking.processes.signals import signals_raise, signals_wait

logger = logging.getLogger(__name__)
NOTE = "A process is doing this work; `repair` removes the locks of processes that are gone."
PATIENCE_SECONDS = 10.0
JOIN_SECONDS = 5.0


class LockedError(ValueError):
    """Another process that lives holds the lock; `tags` say which."""

    def __init__(self, key: str, tags: Mapping[str, str]) -> None:
        self.tags = dict(tags)
        super().__init__(
            f"{key} is being worked on now (process {tags.get(Tag.PID)} on {tags.get(Tag.HOST)}); "
            "wait for it or stop it"
        )


@dataclass(frozen=True)
class Lock:
    """One lock as the store keeps it: a registered model, whose name is unique in every kind of store.

    Attributes:
        name: of the registered model.
        generation: 0, or one more than that of the lock before it, whose process is gone.
        tags: of the process that holds it.
    """

    name: str
    generation: int
    tags: Mapping[str, str]


def _registry(store: Store) -> MlflowClient:
    return client_of(store.uri)


def find_locks(store: Store, key: str = "") -> list[Lock]:
    """List the locks on a piece of work, or all there are, lowest generation first."""
    found = filter(None, map(_lock_of, _named_alike(store, key)))
    kept = [lock for lock in found if not key or lock.name == f"{LOCK_PREFIX}{key}-{lock.generation}"]
    return sorted(kept, key=lambda lock: lock.generation)


def no_locks(store: Store) -> list[str]:
    """List the registered models of others whose names begin as those of locks do."""
    return [model.name for model in _named_alike(store, "") if _lock_of(model) is None]


def _lock_of(model: RegisteredModel) -> Lock | None:
    """Read a registered model as a lock; None where it is another's."""
    generation = re.fullmatch(rf"{LOCK_PREFIX}.+-([0-9]+)", model.name)
    return Lock(model.name, int(generation[1]), model.tags) if generation and not unreadable_tag(model.tags) else None


def _named_alike(store: Store, key: str) -> list[RegisteredModel]:
    where = f"name LIKE '{LOCK_PREFIX}{key}{'-' if key else ''}%'"
    found: list[RegisteredModel] = []
    token: str | None = None
    while True:
        page = _registry(store).search_registered_models(where, max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def acquire(store: Store, key: str) -> Lock:
    """Lock a piece of work for this process.

    A lock whose process is gone is not removed but followed by one of the next generation: two
    processes that find it want to create the same name, and one of them can. A process that has created its
    lock looks again, and deletes it where another process that lives holds one.

    Raises:
        LockedError: a process that lives holds the lock.
        StoreError: a registered model of others has the name of the lock.
    """
    registry = _registry(store)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        before = find_locks(store, key)
        _refuse_living(key, before)
        generation = before[-1].generation + 1 if before else 0
        mine = Lock(f"{LOCK_PREFIX}{key}-{generation}", generation, process_tags())
        try:
            registry.create_registered_model(mine.name, tags=dict(mine.tags), description=NOTE)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            if not any(lock.tags == mine.tags and lock.name == mine.name for lock in find_locks(store, key)):
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"registered model {mine.name} is no lock of ours but has its name; rename it"
                    ) from None
                continue  # it is another's, and not mine whose answer was lost
        others = [other for other in find_locks(store, key) if other.name != mine.name]
        try:
            _refuse_living(key, others)
        except LockedError:
            _delete(registry, mine.name)
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.01, 0.2))
            continue
        return mine


def _refuse_living(key: str, found: list[Lock]) -> None:
    for lock in found:
        if is_alive(lock.tags):
            raise LockedError(key, lock.tags)


def release(store: Store, key: str, mine: Lock) -> None:
    """Delete a lock after those of lower generations, whose processes are gone: the one that counts goes last."""
    for lock in find_locks(store, key):
        if lock.generation < mine.generation:
            _delete(_registry(store), lock.name)
    _delete(_registry(store), mine.name)


def _delete(registry: MlflowClient, name: str) -> None:
    try:
        registry.delete_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def stale_locks(store: Store) -> list[Lock]:
    """List the locks whose processes are gone."""
    return [lock for lock in find_locks(store) if not is_alive(lock.tags)]


def remove_lock(store: Store, lock: Lock) -> None:
    """Remove a lock whose process is gone."""
    _delete(_registry(store), lock.name)


@contextmanager
def hold_locks(store: Store) -> Iterator[Callable[[str], None]]:
    """Yield a function that locks a piece of work until the block ends; meanwhile heartbeats are sent for the lock."""
    held: dict[str, Lock] = {}

    def lock(key: str) -> None:
        if key not in held:
            with signals_wait():
                held[key] = acquire(store, key)

    stop = threading.Event()
    with signals_wait():
        pulse = threading.Thread(target=_beat, args=(store, held, stop), daemon=True)
        pulse.start()
        try:
            with signals_raise():
                yield lock
        finally:
            stop.set()
            pulse.join(JOIN_SECONDS)
            with impatient_client():
                _release_all(store, held)


def _release_all(store: Store, held: Mapping[str, Lock]) -> None:
    for key, mine in held.items():
        try:
            release(store, key, mine)
        except WRITE_FAILURES as error:
            # It stops nobody: the next process passes it, and `repair` removes it.
            logger.info("lock %s could not be deleted: %s", mine.name, first_line(error))
            return


def _beat(store: Store, held: Mapping[str, Lock], stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        for lock in list(held.values()):
            try:
                with without_waiting():
                    _registry(store).set_registered_model_tag(lock.name, Tag.HEARTBEAT, now())
            except WRITE_FAILURES as error:
                logger.debug("no heartbeat for lock %s: %s", lock.name, error)  # those of runs say so
