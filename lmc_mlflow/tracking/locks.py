"""Which process may do a piece of work? Claims that any MLflow store keeps, so that nothing is done twice."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from lmc_mlflow.contract import LOCK_PREFIX, Tag
from lmc_mlflow.tracking.process import HEARTBEAT_SECONDS, is_alive, now, process_tags, signals_wait
from lmc_mlflow.tracking.store import STORE_FAILURES, Store

logger = logging.getLogger(__name__)
NOTE = "A process is doing this work; `repair` removes the claims of dead ones."
PATIENCE_SECONDS = 10.0


class ClaimedError(ValueError):
    """Another process that lives has claimed the work; `tags` say which."""

    def __init__(self, key: str, tags: Mapping[str, str]) -> None:
        self.tags = dict(tags)
        super().__init__(
            f"{key} is being worked on now (process {tags.get(Tag.PID)} on {tags.get(Tag.HOST)}); "
            "wait for it or stop it"
        )


@dataclass(frozen=True)
class Claim:
    """One claim as the store keeps it: a registered model, whose name is unique in every kind of store."""

    name: str
    generation: int
    tags: Mapping[str, str]


def _registry(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)


def claims(store: Store, key: str = "") -> list[Claim]:
    """The claims on a piece of work, or all there are, oldest generation first."""
    where = f"name LIKE '{LOCK_PREFIX}{key}{'-' if key else ''}%'"
    found: list[RegisteredModel] = []
    token: str | None = None
    while True:
        page = _registry(store).search_registered_models(where, max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    made = [(model.name.rsplit("-", 1), model.tags) for model in found]
    kept = [Claim(f"{base}-{i}", int(i), tags) for (base, i), tags in made if base == f"{LOCK_PREFIX}{key}" or not key]
    return sorted(kept, key=lambda claim: claim.generation)


def acquire(store: Store, key: str) -> Claim:
    """Claim a piece of work for this process.

    A claim whose process is gone is not removed but followed by one of the next generation: two
    processes that find it dead want the same name, and one of them gets it. Whoever has announced
    itself looks again, and steps back where another claim lives.

    Raises:
        ClaimedError: a process that lives has it.
    """
    registry = _registry(store)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        before = claims(store, key)
        _refuse_living(key, before)
        generation = before[-1].generation + 1 if before else 0
        mine = Claim(f"{LOCK_PREFIX}{key}-{generation}", generation, process_tags())
        try:
            registry.create_registered_model(mine.name, tags=dict(mine.tags), description=NOTE)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            continue
        others = [other for other in claims(store, key) if other.name != mine.name]
        try:
            _refuse_living(key, others)
        except ClaimedError:
            _delete(registry, mine.name)
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.01, 0.2))
            continue
        return mine


def _refuse_living(key: str, found: list[Claim]) -> None:
    for claim in found:
        if is_alive(claim.tags):
            raise ClaimedError(key, claim.tags)


def release(store: Store, key: str, mine: Claim) -> None:
    """Give a claim back, and with it the dead ones before it, oldest first, so that the living one goes last."""
    for claim in claims(store, key):
        if claim.generation < mine.generation:
            _delete(_registry(store), claim.name)
    _delete(_registry(store), mine.name)


def _delete(registry: MlflowClient, name: str) -> None:
    try:
        registry.delete_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def dead_claims(store: Store) -> list[Claim]:
    """The claims whose processes are gone."""
    return [claim for claim in claims(store) if not is_alive(claim.tags)]


def remove_claim(store: Store, claim: Claim) -> None:
    """Remove a claim for its process, which is gone."""
    _delete(_registry(store), claim.name)


@contextmanager
def claiming(store: Store) -> Iterator[Callable[[str], None]]:
    """Yields a function that claims a piece of work for the length of the block; its heartbeat is kept meanwhile."""
    held: dict[str, Claim] = {}

    def claim(key: str) -> None:
        if key not in held:
            with signals_wait():
                held[key] = acquire(store, key)

    stop = threading.Event()
    pulse = threading.Thread(target=_beat, args=(store, held, stop), daemon=True)
    pulse.start()
    try:
        yield claim
    finally:
        stop.set()
        pulse.join()
        for key, mine in held.items():
            try:
                release(store, key, mine)
            except (*STORE_FAILURES, OSError) as error:
                logger.warning("claim %s could not be given back (%s): use the repair command later", mine.name, error)


def _beat(store: Store, held: Mapping[str, Claim], stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        for claim in list(held.values()):
            try:
                _registry(store).set_registered_model_tag(claim.name, Tag.HEARTBEAT, now())
            except (*STORE_FAILURES, OSError) as error:
                logger.warning("no heartbeat for claim %s: %s", claim.name, error)
