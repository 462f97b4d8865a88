"""Options of a published model: which run, which point of its path, what the model takes, under which name."""

import re
from dataclasses import dataclass, field

from lmc_mlflow.config.options import Section, option
from lmc_mlflow.config.runtime import RuntimeConfig, TerminalConfig
from lmc_mlflow.contract import LOCK_PREFIX

PIXELS, SCALED = "pixels", "scaled"
"""Choices of `input`."""
NAME = re.compile(r"[A-Za-z0-9]([\w.\- ]*[\w.\-])?", re.ASCII)
"""Names that every kind of store can register and search."""


@dataclass(frozen=True)
class PublicationConfig(Section):
    """The network that is published, and what it takes."""

    run: str = option(
        "", "run id, or a prefix of it, of an endpoint, alignment, star, pruned network, ensemble or path"
    )
    alpha: float | None = option(
        None, "of a path: which of its points is published, 0 at A and 1 at B", minimum=0.0, maximum=1.0
    )
    input: str = option(
        PIXELS,
        "pixels: the model takes images from 0 to 1, as torchvision's ToTensor gives them, and scales them itself; "
        "scaled: it takes images that are scaled already, as in training",
        choices=(PIXELS, SCALED),
    )
    name: str = option("", "register the model under this name; empty: it is not registered")
    data_root: str = option(
        "", "folder of the data set on this machine; empty: as the runs were trained", identity=False
    )

    def check(self) -> None:
        """Check that a run is named, and that the name of the model can be registered."""
        if not self.run:
            raise ValueError("give run=<run id>")
        if self.name and not NAME.fullmatch(self.name):
            raise ValueError(
                f"name={self.name!r}: use letters, digits, spaces, _, - and ., and begin with one of the first two"
            )
        if self.name.startswith(LOCK_PREFIX):
            raise ValueError(f"name={self.name!r}: names that begin with {LOCK_PREFIX} are locks; choose another")


@dataclass(frozen=True)
class PublishingConfig(Section):
    """Whether what a command makes is published too."""

    publish: bool = option(
        False, "true: at the end, publish what was made as an MLflow model, as the command publish does", identity=False
    )


@dataclass(frozen=True)
class PublishCommandConfig:
    """Publish a network, an ensemble or a point of a path as a model that MLflow loads without this project."""

    publication: PublicationConfig
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)
