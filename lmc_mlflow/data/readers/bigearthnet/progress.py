"""Records which chunks of a band are converted, in a file that survives a kill at any moment."""

import json
import os
from pathlib import Path
from typing import Any

from lmc_mlflow.data.readers.bigearthnet.conversion import ChunkResult
from lmc_mlflow.data.readers.bigearthnet.store_files import (
    layout_of,
    partial_file,
    progress_file,
    size_of,
)


def start_band(root: Path, band: str, patches: str, num_patches: int) -> dict[int, ChunkResult]:
    """Make a band's unfinished files ready, and return the chunks that are done already.

    Args:
        root: of the store.
        band: its name.
        patches: sha256 of the patches; recorded chunks of other patches are thrown away.
        num_patches: how many there are.
    """
    progress = progress_file(root, band)
    layout = layout_of(root, band, num_patches)
    if progress.is_file():
        for path in layout:  # killed between giving the final names and writing store.json
            if path.is_file() and not partial_file(path).is_file():
                path.replace(partial_file(path))
        sizes = {partial_file(path): size_of(header) for path, header in layout.items()}
        if all(path.is_file() and path.stat().st_size == size for path, size in sizes.items()):
            lines = _whole_lines(progress)
            if lines and lines[0] == {"patches": patches}:
                return {line.pop("chunk"): ChunkResult(**line) for line in lines[1:]}
    progress.unlink(missing_ok=True)
    for path, header in layout.items():
        with partial_file(path).open("wb") as file:
            file.write(header)
            file.truncate(size_of(header))
    _append(progress, {"patches": patches})
    return {}


def record_chunk(root: Path, band: str, chunk: int, result: ChunkResult) -> None:
    """Note that a chunk's pixels and sums are on the disk."""
    _append(progress_file(root, band), {"chunk": chunk, **vars(result)})


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
