"""Writes a bundle to a file, wholly or not at all."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lmc_mlflow.bundles.archive import BUNDLE_MANIFEST, CHUNK, FORMAT, MOST_RUNS, RUNS

ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; always the same, so that the same store gives the same bytes."""
COMPRESSED_SUFFIXES = (".npz", ".safetensors", ".png", ".jpg")


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
            if name == RUNS and size > MOST_RUNS:
                raise ValueError(
                    f"the runs have {size / 1e6:,.0f} MB of numbers, a bundle has at most {MOST_RUNS / 1e6:,.0f} MB; "
                    "export fewer at a time (query=..., experiment=...)"
                )
            source.seek(0)
            self._add(name, source, size)

    def _add(self, name: str, source: IO[bytes], size: int) -> None:
        entry = zipfile.ZipInfo(name, ZIP_TIME)
        entry.file_size = size
        entry.external_attr = 0o644 << 16
        entry.compress_type = _compression(name)
        digest = hashlib.sha256()
        with self._archive.open(entry, "w") as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
        self.files[name] = {"sha256": digest.hexdigest(), "size": size}


def _compression(name: str) -> int:
    if name == RUNS:  # numbers that repeat far apart: 6.8 MB of 57.5, where deflate leaves 10.8
        return zipfile.ZIP_LZMA
    return zipfile.ZIP_STORED if name.endswith(COMPRESSED_SUFFIXES) else zipfile.ZIP_DEFLATED


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
