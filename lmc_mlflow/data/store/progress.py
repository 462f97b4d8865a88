"""Records which chunks of a part are converted, in a file that survives a kill at any moment."""

import json
import os
from pathlib import Path
from typing import Any

from lmc_mlflow.data.store.conversion import ChunkResult
from lmc_mlflow.data.store.files import Part, partial_file, progress_file, size_of

CONTENT = "patches"
"""Key of the first line, as the first stores, of patches, wrote it."""


def start_part(root: Path, part: Part, content: str) -> dict[int, ChunkResult]:
    """Make the unfinished files of a part ready, and return the chunks that are done already.

    Args:
        root: of the store.
        part: of the store.
        content: digest of the images; recorded chunks of other images are thrown away.
    """
    progress = progress_file(root, part.name)
    layout = part.layout(root)
    if progress.is_file():
        for path in layout:  # killed between giving the final names and writing the record
            if path.is_file() and not partial_file(path).is_file():
                path.replace(partial_file(path))
        sizes = {partial_file(path): size_of(header) for path, header in layout.items()}
        if all(path.is_file() and path.stat().st_size == size for path, size in sizes.items()):
            lines = _whole_lines(progress)
            if lines and lines[0] == {CONTENT: content}:
                return {line.pop("chunk"): ChunkResult(**line) for line in lines[1:]}
    progress.unlink(missing_ok=True)
    for path, header in layout.items():
        with partial_file(path).open("wb") as file:
            file.write(header)
            file.truncate(size_of(header))
    _append(progress, {CONTENT: content})
    return {}


def record_chunk(root: Path, part: str, chunk: int, result: ChunkResult) -> None:
    """Note that a chunk's rows are on the disk."""
    _append(
        progress_file(root, part), {"chunk": chunk, **{n: value for n, value in vars(result).items() if value != ()}}
    )


def _append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Read the complete lines, and cut an incomplete last line off the file."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
    return [json.loads(line) for line in content[:end].splitlines()]
