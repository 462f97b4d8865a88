"""Where do a run's artifacts lie in this store, and how do they get there whole?"""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from lmc_mlflow.manifest import sha256_of

BY_SERVER = "mlflow-artifacts"
Writer = Callable[[IO[bytes]], None]
"""Writes the content of one artifact into a file."""


class Place(Protocol):
    """Where the artifacts of one run lie."""

    def paths(self) -> list[str]:
        """The paths of all artifacts, sorted."""

    def fetch(self, path: str, folder: Path, /) -> Path:
        """A local copy of an artifact, in that folder, or the artifact itself where it is a local file."""

    def put(self, files: dict[str, Writer]) -> None:
        """Add artifacts, or replace them."""

    def remove(self, paths: Iterable[str]) -> None:
        """Remove artifacts."""


def place_of(uri: str) -> Place:
    """The place behind an artifact URI."""
    parsed = urlparse(uri)
    if parsed.scheme in ("", "file"):
        return FolderPlace(Path(url2pathname(parsed.path) if parsed.scheme else uri))
    return RemotePlace(uri)


def place_behind_server(uri: str, destination: Path | None) -> Place:
    """The place behind an artifact URI, without asking the server that stores artifacts.

    Args:
        uri: of a run.
        destination: what the server was given as --artifacts-destination.

    Raises:
        ValueError: only a server knows where that is, and its folder was not given.
    """
    parsed = urlparse(uri)
    if parsed.scheme != BY_SERVER:
        return place_of(uri)
    if destination is None:
        raise ValueError(
            f"artifacts at {uri} are stored by a server; give artifacts=<its --artifacts-destination folder>"
        )
    return FolderPlace(destination / parsed.path.strip("/"))


def digests_at(place: Place) -> dict[str, str]:
    """Artifact path -> sha256 of all that are there."""
    digests = {}
    for path in place.paths():
        with tempfile.TemporaryDirectory() as folder:
            digests[path] = sha256_of(place.fetch(path, Path(folder)))
    return digests


@dataclass(frozen=True)
class FolderPlace:
    """A folder of this machine."""

    folder: Path

    def paths(self) -> list[str]:
        """The paths of all artifacts, sorted."""
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())

    def fetch(self, path: str, _folder: Path, /) -> Path:
        """The artifact itself."""
        return self.folder / path

    def put(self, files: dict[str, Writer]) -> None:
        """Add artifacts, or replace them: all are written beside the folder first, then renamed."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        staging = self.folder.with_name(f".lmc_import_{uuid.uuid4().hex}")
        try:
            _write_all(files, staging)
            if self.folder.exists():
                for path in files:
                    (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (staging / path).replace(self.folder / path)
            else:
                staging.rename(self.folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove artifacts, and folders that are empty then."""
        for path in paths:
            (self.folder / path).unlink()
            for parent in Path(path).parents:
                where = self.folder / parent
                if where != self.folder and not any(where.iterdir()):
                    where.rmdir()


@dataclass(frozen=True)
class RemotePlace:
    """A place that MLflow's own artifact code reaches: a server, S3 and its like."""

    uri: str

    def paths(self) -> list[str]:
        """The paths of all artifacts, sorted."""
        return sorted(self._walk(None))

    def _walk(self, folder: str | None) -> Iterator[str]:
        for item in self._repository().list_artifacts(folder):
            if item.is_dir:
                yield from self._walk(item.path)
            else:
                yield item.path

    def fetch(self, path: str, folder: Path, /) -> Path:
        """A download."""
        return Path(self._repository().download_artifacts(path, str(folder)))

    def put(self, files: dict[str, Writer]) -> None:
        """Add artifacts, or replace them."""
        with tempfile.TemporaryDirectory() as folder:
            _write_all(files, Path(folder))
            self._repository().log_artifacts(folder)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove artifacts."""
        for path in paths:
            self._repository().delete_artifacts(path)

    def _repository(self) -> Any:
        return get_artifact_repository(self.uri)


def _write_all(files: dict[str, Writer], folder: Path) -> None:
    for path, write in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            write(file)
