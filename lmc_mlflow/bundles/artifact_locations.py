"""The locations of a run's artifacts, a folder or a server, to which artifacts are added whole."""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from lmc_mlflow.errors import first_line
from lmc_mlflow.manifest import sha256_of
from lmc_mlflow.tracking.connection.store import StoreError

BY_SERVER = "mlflow-artifacts"
Writer = Callable[[IO[bytes]], None]
"""Writes the content of one artifact into a file."""


class ArtifactLocation(Protocol):
    """The location of one run's artifacts."""

    def paths(self) -> list[str]:
        """List the paths of all artifacts, sorted."""

    def fetch(self, path: str, folder: Path, /) -> Path:
        """Copy an artifact into that folder; where it is a local file, return its own path instead."""

    def adding(self, files: Mapping[str, Writer]) -> AbstractContextManager[None]:
        """Add or replace artifacts; an error, also one in the block, leaves those that were there before."""

    def remove(self, paths: Iterable[str]) -> None:
        """Remove artifacts."""


def location_of(uri: str) -> ArtifactLocation:
    """Find the location behind an artifact URI."""
    parsed = urlparse(uri)
    if parsed.scheme in ("", "file"):
        return FolderLocation(Path(url2pathname(parsed.path) if parsed.scheme else uri))
    return RemoteLocation(uri)


def location_behind_server(uri: str, destination: Path | None) -> ArtifactLocation:
    """Find the location behind an artifact URI without asking the server that stores artifacts.

    Args:
        uri: of a run.
        destination: what the server was given as --artifacts-destination.

    Raises:
        ValueError: only a server knows where that is, and its folder was not given.
    """
    parsed = urlparse(uri)
    if parsed.scheme != BY_SERVER:
        return location_of(uri)
    if destination is None:
        raise ValueError(
            f"artifacts at {uri} are stored by a server; give artifacts=<its --artifacts-destination folder>"
        )
    return FolderLocation(destination / parsed.path.strip("/"))


def artifact_digests(location: ArtifactLocation) -> dict[str, str]:
    """Compute the digests of all artifacts at a location: artifact path -> sha256."""
    digests = {}
    for path in location.paths():
        with tempfile.TemporaryDirectory() as folder:
            digests[path] = sha256_of(location.fetch(path, Path(folder)))
    return digests


@dataclass(frozen=True)
class FolderLocation:
    """A folder of this machine."""

    folder: Path

    def paths(self) -> list[str]:
        """List the paths of all artifacts, sorted."""
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())

    def fetch(self, path: str, _folder: Path, /) -> Path:
        """Return the path of the artifact itself."""
        return self.folder / path

    @contextmanager
    def adding(self, files: Mapping[str, Writer]) -> Iterator[None]:
        """Add or replace artifacts: all are written beside the folder first, then renamed.

        An error, also one in the block, leaves the artifacts that were there before.
        """
        made = [self.folder, *self.folder.parents]
        made = [folder for folder in made if not folder.exists()]
        staging, replaced = (self.folder.with_name(f".lmc_import_{uuid.uuid4().hex}") for _ in range(2))
        moved: list[str] = []
        try:
            _write_all(files, staging)
            for path in files:
                if (self.folder / path).exists():
                    _move(self.folder / path, replaced / path)
                moved.append(path)
                _move(staging / path, self.folder / path)
            yield
        except Exception as error:
            self._take_back(moved, replaced)
            for rest in (staging, replaced):
                shutil.rmtree(rest, ignore_errors=True)
            for folder in made:
                with suppress(OSError):  # another process has put something there
                    folder.rmdir()
            if isinstance(error, OSError):
                raise StoreError(
                    f"artifacts cannot be written to {self.folder} ({first_line(error)}); nothing of this bundle was "
                    "imported: put that right and give the same command again"
                ) from None
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            shutil.rmtree(replaced, ignore_errors=True)

    def _take_back(self, moved: Iterable[str], replaced: Path) -> None:
        self.remove(path for path in moved if (self.folder / path).is_file())
        for file in [file for file in replaced.rglob("*") if file.is_file()]:
            _move(file, self.folder / file.relative_to(replaced))

    def remove(self, paths: Iterable[str]) -> None:
        """Remove artifacts, and folders that are empty then."""
        for path in paths:
            (self.folder / path).unlink()
            for parent in Path(path).parents:
                where = self.folder / parent
                if where != self.folder and not any(where.iterdir()):
                    where.rmdir()


@dataclass(frozen=True)
class RemoteLocation:
    """A location that MLflow's own artifact code reaches: a server, S3 and the like."""

    uri: str

    def paths(self) -> list[str]:
        """List the paths of all artifacts, sorted."""
        return sorted(self._walk(None))

    def _walk(self, folder: str | None) -> Iterator[str]:
        for item in self._repository().list_artifacts(folder):
            if item.is_dir:
                yield from self._walk(item.path)
            else:
                yield item.path

    def fetch(self, path: str, folder: Path, /) -> Path:
        """Download an artifact into the folder."""
        return Path(self._repository().download_artifacts(path, str(folder)))

    @contextmanager
    def adding(self, files: Mapping[str, Writer]) -> Iterator[None]:
        """Add or replace artifacts; an error, also one in the block, leaves those that were there before."""
        before = [path for path in self.paths() if path in files]
        with tempfile.TemporaryDirectory() as new, tempfile.TemporaryDirectory() as old:
            _write_all(files, Path(new))
            for path in before:
                self.fetch(path, Path(old))
            try:
                self._repository().log_artifacts(new)
                yield
            except Exception:
                self.remove(path for path in self.paths() if path in files and path not in before)
                self._repository().log_artifacts(old)
                raise

    def remove(self, paths: Iterable[str]) -> None:
        """Remove artifacts."""
        for path in paths:
            self._repository().delete_artifacts(path)

    def _repository(self) -> Any:
        return get_artifact_repository(self.uri)


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    file.replace(target)


def _write_all(files: Mapping[str, Writer], folder: Path) -> None:
    for path, write in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            write(file)
