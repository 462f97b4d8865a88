"""Tags that record the code, the versions and the user behind a run."""

import getpass
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import lmc_mlflow
from lmc_mlflow.contract import Tag

PACKAGES = ("mlflow", "torch", "torchvision", "timm", "numpy", "scikit-learn", "safetensors")
OPTIONAL = ("transformers",)
"""Packages that not everybody has: their versions are told where they were imported."""
PROJECT_ROOT = Path(lmc_mlflow.__file__).resolve().parent.parent


def provenance_tags() -> dict[str, str]:
    """Return the tags: project version, git commit, whether files had changed since, Python and packages, user."""
    packages = (*PACKAGES, *(name for name in OPTIONAL if name in sys.modules))
    tags = {
        Tag.VERSION: lmc_mlflow.__version__,
        Tag.PYTHON: platform.python_version(),
        Tag.PACKAGES: " ".join(f"{name}=={version(name)}" for name in packages),
        Tag.PLATFORM: platform.platform(terse=True),
        "mlflow.user": _user(),
    }
    commit = _git("rev-parse", "HEAD")
    if commit is not None:
        tags["mlflow.source.git.commit"] = commit
        changed = _git("status", "--porcelain", "--untracked-files=no")
        tags[Tag.GIT_DIRTY] = "true" if changed else "false"
    return tags


def source_tags() -> dict[str, str]:
    """Return the tags that tell the UI which module was started (`mlflow run` sets its own)."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return {"mlflow.source.name": spec.name if spec is not None else sys.argv[0], "mlflow.source.type": "LOCAL"}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _git(*command: str) -> str | None:
    if not (PROJECT_ROOT / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), *command], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
