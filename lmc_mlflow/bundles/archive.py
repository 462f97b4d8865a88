"""Writes a bundle to a file, wholly or not at all, and reads one with a check of every digest."""

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

FORMAT = 1
BUNDLE_MANIFEST = "manifest.json"
RUNS = "runs.jsonl"
ARTIFACTS = "artifacts"
CHUNK = 1 << 20
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; always the same, so that the same store gives the same bytes."""
COMPRESSED_SUFFIXES = (".npz", ".safetensors", ".png", ".jpg")
Reader = Callable[[str], IO[bytes]]
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, OSError, ValueError)


class BundleWriter:
    """Writes the files of a bundle.

    Attributes:
        files: name -> `sha256` and `size` of every file that was written.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.files: dict[str, dict[str, Any]] = {}

    def add_file(self, name: str, local: Path) -> None:
        """Add a copy of a file."""
        with local.open("rb") as source:
            self._add(name, source, local.stat().st_size)

    def add_text(self, name: str, text: str) -> None:
        """Add a text."""
        with tempfile.TemporaryFile() as source:
            size = source.write(text.encode())
            source.seek(0)
            self._add(name, source, size)

    def _add(self, name: str, source: IO[bytes], size: int) -> None:
        entry = zipfile.ZipInfo(name, ZIP_TIME)
        entry.file_size = size
        entry.external_attr = 0o644 << 16
        compressed = name.endswith(COMPRESSED_SUFFIXES)
        entry.compress_type = zipfile.ZIP_STORED if compressed else zipfile.ZIP_DEFLATED
        digest = hashlib.sha256()
        with self._archive.open(entry, "w") as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
        self.files[name] = {"sha256": digest.hexdigest(), "size": size}


@contextmanager
def write_bundle(out: Path, facts: Mapping[str, Any]) -> Iterator[BundleWriter]:
    """Yield a writer; the bundle appears under its name when the block ends without an error, else not at all.

    Args:
        out: path of the bundle.
        facts: what the manifest of the bundle says, besides its format and files.

    Raises:
        ValueError: the folder does not exist, or there is such a file already.
    """
    check_free(out)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        part = Path(folder) / "part"
        with zipfile.ZipFile(part, "w") as archive:
            writer = BundleWriter(archive)
            yield writer
            content = {**facts, "format": FORMAT, "files": writer.files}
            writer.add_text(BUNDLE_MANIFEST, json.dumps(content, indent=1, sort_keys=True))
        check_free(out)
        part.rename(out)


def check_free(out: Path) -> None:
    """Check that a bundle can be written there.

    Raises:
        ValueError: it cannot.
    """
    if not out.parent.is_dir():
        raise ValueError(f"out={out}: there is no folder {out.parent}; make it first")
    if out.exists():
        raise ValueError(f"out={out}: exists already and is not overwritten; choose another name or remove it")


@dataclass(frozen=True)
class Bundle:
    """An open bundle.

    Attributes:
        path: of the file, or of the folder it was unpacked to.
        read: opens one of its files.
        files: name -> `sha256` and `size`.
    """

    path: Path
    read: Reader
    files: Mapping[str, Mapping[str, Any]]

    def copy(self, name: str, target: IO[bytes] | None = None) -> None:
        """Copy a file and check its digest; without a target, only check it.

        Raises:
            ValueError: it is not the file that was written.
        """
        digest = hashlib.sha256()
        for chunk in self._chunks(name):
            digest.update(chunk)
            if target is not None:
                target.write(chunk)
        if digest.hexdigest() != self.files[name]["sha256"]:
            raise _damaged(self.path, f"the sha256 of {name} is not the one in the manifest")

    def _chunks(self, name: str) -> Iterator[bytes]:
        try:
            with self.read(name) as source:
                while chunk := source.read(CHUNK):
                    yield chunk
        except DAMAGE as error:
            raise _damaged(self.path, f"{name}: {error}") from None

    def text(self, name: str) -> str:
        """Read the text of a file."""
        with tempfile.TemporaryFile() as copied:
            self.copy(name, copied)
            copied.seek(0)
            return copied.read().decode()

    def artifacts(self, run_id: str) -> dict[str, str]:
        """List the artifacts of one run: artifact path -> name in the bundle."""
        start = f"{ARTIFACTS}/{run_id}/"
        return {name.removeprefix(start): name for name in self.files if name.startswith(start)}


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle and verify every byte.

    Raises:
        ValueError: there is none, it is damaged or incomplete, or of a newer format.
    """
    if path.is_dir():
        names = {item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file()}
        yield _verified(path, lambda name: (path / name).open("rb"), names)
        return
    if not path.exists():
        raise ValueError(f"bundle {path} does not exist")
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise _damaged(path, str(error)) from None
    with archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        yield _verified(path, archive.open, names)


def _verified(path: Path, read: Reader, names: set[str]) -> Bundle:
    bundle = Bundle(path, read, _read_manifest(path, read))
    unmatched = names ^ {*bundle.files, BUNDLE_MANIFEST}
    if unmatched:
        raise _damaged(path, f"{min(unmatched)} is in the bundle or in its {BUNDLE_MANIFEST}, not in both")
    for name in bundle.files:
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or str(PurePosixPath(name)) != name:
            raise _damaged(path, f"{name!r} is no path inside a bundle")
    if RUNS not in bundle.files:
        raise _damaged(path, f"{RUNS} is missing")
    for name in tqdm(bundle.files, desc=f"verifying {path.name}", unit="file", leave=False, disable=None):
        bundle.copy(name)
    return bundle


def _read_manifest(path: Path, read: Reader) -> dict[str, dict[str, Any]]:
    try:
        with read(BUNDLE_MANIFEST) as file:
            content = json.load(file)
        made = int(content["format"])
    except (*DAMAGE, TypeError) as error:
        raise _damaged(path, f"{BUNDLE_MANIFEST}: {error}") from None
    if made > FORMAT:
        raise ValueError(f"{path} is of format {made}, this version reads {FORMAT}; update lmc_mlflow")
    try:
        return {name: {"sha256": row["sha256"], "size": row["size"]} for name, row in content["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"{BUNDLE_MANIFEST}: {error}") from None


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} is no whole bundle ({why}); copy it again, or export it again")
