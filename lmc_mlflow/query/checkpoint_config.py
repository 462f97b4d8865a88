"""Reads what rebuilds a logged network and its data: the content of `checkpoint/config.json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lmc_mlflow.schema import RunId, read_json

FORMAT = 1
SECTIONS = ("data", "model", "noise", "optimization")
"""Sections of the training's configuration that every version has written."""
Size = Annotated[int, Field(ge=1, lt=2**31)]
DataDigest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{8,64}$")]


@dataclass(frozen=True)
class _Version:
    format: int


@dataclass(frozen=True)
class _Network:
    model: str
    channels: Size
    height: Size
    width: Size
    num_classes: Size
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = 0.5
    output: str = "log_probabilities"
    weights_init: str = "default"
    model_options: str = ""
    source: Annotated[str, StringConstraints(pattern="^([0-9a-f]{64})?$")] = ""
    gives: str = "logits"


@dataclass(frozen=True)
class _Digests:
    data: DataDigest
    test: DataDigest
    train: DataDigest | Literal[""]


@dataclass(frozen=True)
class CheckpointConfig:
    """What rebuilds a logged network and its data, as it is stored.

    Attributes:
        network: the fields of a `NetworkSpec`.
        config: section -> field -> text.
        side: whose training images it saw.
        split_run: the run that holds the split.
        digests: of the data set, the test set and the training subset, which is empty where nobody knows it.
    """

    network: _Network
    config: dict[str, dict[str, str]]
    side: Literal["A", "B", "both", "unknown"]
    split_run: RunId
    digests: _Digests


def read_checkpoint_config(file: Path) -> CheckpointConfig:
    """Read a local copy of `checkpoint/config.json`.

    Raises:
        ValueError: a newer version wrote it, or it is not what any version writes; names the first such value.
    """
    text = file.read_bytes()
    made = read_json(_Version, text).format
    if made != FORMAT:
        raise ValueError(f"written in format {made}, this version reads {FORMAT}; update lmc_mlflow")
    content = read_json(CheckpointConfig, text)
    missing = [name for name in SECTIONS if name not in content.config]
    if missing:
        raise ValueError(f"config has no section {missing[0]}, found {', '.join(content.config) or 'none'}")
    return content
