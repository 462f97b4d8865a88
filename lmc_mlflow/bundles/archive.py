"""Reads a bundle: its index, names, sizes and digests are verified before anything else looks at it."""

import hashlib
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from lmc_mlflow.errors import first_line, shortened
from lmc_mlflow.schema import Count, Digest, read_json

FORMAT = 1
BUNDLE_MANIFEST = "manifest.json"
RUNS = "runs.jsonl"
ARTIFACTS = "artifacts"
CHUNK = 1 << 20
MOST_INDEX = 1 << 26
"""Bytes of the largest index that is read; a bundle of 900 runs has 1 MB."""
MOST_RUNS = 1 << 27
"""Bytes of the longest list of runs; 900 runs have 9 MB, and in memory ten times as much."""
MOST_UNPACKED = 100
"""Bytes that a byte of a bundle may unpack to; whole bundles have 5, their most regular tables 20."""
SMALL = 1 << 26
"""Bytes that any bundle may unpack to."""
LONGEST_NAME, LONGEST_PATH = 255, 1024
"""Bytes of a file's name and of its path."""
Reader = Callable[[str], IO[bytes]]
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class StoredFile:
    """What the index says of a file: the digest of its bytes, and how many there are."""

    sha256: Digest
    size: Count


@dataclass(frozen=True)
class _Version:
    format: int


@dataclass(frozen=True)
class _Index:
    files: dict[str, StoredFile]


@dataclass(frozen=True)
class Bundle:
    """An open bundle.

    Attributes:
        path: of the file, or of the folder it was unpacked to.
        read: opens one of its files.
        files: name -> what the index says of the file.
    """

    path: Path
    read: Reader
    files: Mapping[str, StoredFile]

    def copy(self, name: str, target: IO[bytes] | None = None) -> None:
        """Copy a file and check its size and digest; without a target, only check them.

        Raises:
            ValueError: it is not the file that was written.
        """
        digest = hashlib.sha256()
        left = self.files[name].size
        for chunk in self._chunks(name):
            left -= len(chunk)
            if left < 0:
                break
            digest.update(chunk)
            if target is not None:
                target.write(chunk)
        if left or digest.hexdigest() != self.files[name].sha256:
            raise _damaged(self.path, f"the sha256 or the size of {name} is not the one in the manifest")

    def _chunks(self, name: str) -> Iterator[bytes]:
        try:
            with self.read(name) as source:
                while chunk := source.read(CHUNK):
                    yield chunk
        except DAMAGE as error:
            raise _damaged(self.path, f"{name}: {first_line(error)}") from None

    def lines(self, name: str) -> Iterator[str]:
        """Read the lines of a text, one after the other."""
        with tempfile.TemporaryFile() as copied:
            self.copy(name, copied)
            copied.seek(0)
            try:
                yield from (line.decode() for line in copied)
            except UnicodeDecodeError as error:
                raise _damaged(self.path, f"{name}: {error.reason}") from None

    def artifacts(self, run_id: str) -> dict[str, str]:
        """List the artifacts of one run: artifact path -> name in the bundle."""
        start = f"{ARTIFACTS}/{run_id}/"
        return {name.removeprefix(start): name for name in self.files if name.startswith(start)}


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle and verify its index, names and sizes, and then every byte.

    Raises:
        ValueError: there is none, it is damaged or incomplete, of a newer format, or would fill the memory or the disk.
    """
    if path.is_dir():
        sizes = {p.relative_to(path).as_posix(): p.stat().st_size for p in path.rglob("*") if p.is_file()}
        yield _verified(path, lambda name: (path / name).open("rb"), sizes)
        return
    if not path.is_file():
        what = "is no file and no folder" if path.exists() else "does not exist"
        raise ValueError(f"bundle {path} {what}; give what export has written")
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise _damaged(path, first_line(error)) from None
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        sizes = {entry.filename: entry.file_size for entry in entries}
        if len(sizes) < len(entries):
            raise _damaged(path, "a file is in it twice")
        most = SMALL + MOST_UNPACKED * path.stat().st_size
        if sum(sizes.values()) > most:
            raise _too_large(path, "its files", sum(sizes.values()), most)
        yield _verified(path, archive.open, sizes)


def _verified(path: Path, read: Reader, sizes: Mapping[str, int]) -> Bundle:
    if sizes.get(BUNDLE_MANIFEST, 0) > MOST_INDEX:
        raise _too_large(path, BUNDLE_MANIFEST, sizes[BUNDLE_MANIFEST], MOST_INDEX)
    bundle = Bundle(path, read, _read_index(path, read))
    unmatched = sizes.keys() ^ {*bundle.files, BUNDLE_MANIFEST}
    if unmatched:
        raise _damaged(path, f"{min(unmatched)!r} is in the bundle or in its {BUNDLE_MANIFEST}, not in both")
    _check_names(path, bundle.files)
    for name, stored in bundle.files.items():
        if stored.size != sizes[name]:
            raise _damaged(path, f"{name} has {sizes[name]:,} bytes, in the manifest {stored.size:,}")
    if bundle.files[RUNS].size > MOST_RUNS:
        raise _too_large(path, RUNS, bundle.files[RUNS].size, MOST_RUNS)
    for name in tqdm(bundle.files, desc=f"verifying {path.name}", unit="file", leave=False, disable=None):
        bundle.copy(name)
    return bundle


def _check_names(path: Path, names: Mapping[str, StoredFile]) -> None:
    """Check that the list of runs is there, and that every other name is a file in the folder of one run."""
    if RUNS not in names:
        raise _damaged(path, f"{RUNS} is missing")
    for name in names:
        parts = name.split("/")
        inside = parts[0] == ARTIFACTS and len(parts) > 2 and not {"", ".", ".."} & set(parts)
        plain = "\\" not in name and name.isprintable() and len(name.encode()) <= LONGEST_PATH
        short = max(len(part.encode()) for part in parts) <= LONGEST_NAME
        if name != RUNS and not (inside and plain and short):
            raise _damaged(path, f"{shortened(repr(name))} is no path inside a bundle")
        above = next((str(p) for p in PurePosixPath(name).parents if str(p) in names), None)
        if above:
            raise _damaged(path, f"{shortened(repr(above))} is a file, and the folder of another file")


def _read_index(path: Path, read: Reader) -> dict[str, StoredFile]:
    try:
        with read(BUNDLE_MANIFEST) as file:
            content = file.read(MOST_INDEX)
        made = read_json(_Version, content).format
        if made <= FORMAT:
            return read_json(_Index, content).files
    except DAMAGE as error:
        raise _damaged(path, f"{BUNDLE_MANIFEST}: {first_line(error)}") from None
    raise ValueError(f"{path} is of format {made}, this version reads {FORMAT}; update lmc_mlflow")


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} is no whole bundle ({why}); copy it again, or export it again")


def _too_large(path: Path, what: str, size: int, most: int) -> ValueError:
    return ValueError(
        f"{path} is refused: {what} would fill {size / 1e6:,.0f} MB, the most for a bundle of its size is "
        f"{most / 1e6:,.0f} MB; export fewer runs at a time (query=..., experiment=...)"
    )
