"""Writes and verifies manifests: the sha256 of every artifact of a run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lmc_mlflow.contract import Artifact
from lmc_mlflow.errors import first_line
from lmc_mlflow.schema import Digest, read_json


def sha256_of(path: Path) -> str:
    """Compute the hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def render_manifest(digests: Mapping[str, str]) -> str:
    """Render the text of manifest.json: artifact path -> sha256."""
    return json.dumps({"sha256": dict(sorted(digests.items()))}, indent=1)


@dataclass(frozen=True)
class _Content:
    sha256: dict[str, Digest]


def read_manifest(manifest: Path) -> dict[str, str]:
    """Read a local copy of manifest.json: artifact path -> sha256.

    Raises:
        ValueError: it is no manifest.
    """
    try:
        return read_json(_Content, manifest.read_bytes()).sha256
    except (OSError, ValueError) as error:
        reason = f"{Artifact.MANIFEST} cannot be read ({first_line(error)})"
        raise ValueError(f"{reason}: the run's artifacts are damaged") from None


def verify(manifest: Path, files: Mapping[str, Path]) -> None:
    """Verify local copies of a run's artifacts against its manifest.

    Args:
        manifest: local copy of manifest.json.
        files: artifact path -> local copy.

    Raises:
        ValueError: a file is not listed, or not the one that was logged.
    """
    listed = read_manifest(manifest)
    for name, local in files.items():
        if name not in listed:
            raise ValueError(f"{name} is not in {Artifact.MANIFEST}: the run's artifacts are not complete")
        if sha256_of(local) != listed[name]:
            raise ValueError(
                f"{name} was altered after it was logged (its sha256 differs from {Artifact.MANIFEST}); do not use it"
            )
