"""Options of networks that were trained elsewhere: where they are, what they take and give, what they saw."""

from dataclasses import dataclass, field, fields
from typing import Any

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.options import Section, option
from lmc_mlflow.config.runtime import RuntimeConfig, TerminalConfig
from lmc_mlflow.contract import UNKNOWN_SIDE

GIVEN_BY_URI = ("models:/", "runs:/")
"""Beginnings of URIs of MLflow."""
OUTPUTS = ("logits", "log_probabilities", "probabilities")
TRAINED_ON = ("A", "B", "both", UNKNOWN_SIDE)
NO_SHIFT = "none"
_BY_URI = {"identity": False, "logged": False}
"""Rules of options of networks given by URI: what they say stands in the runs that these are adopted as."""
_SIDES = "on which side of the shift it was trained; unknown: only the test set can be used"


def is_uri(text: str) -> bool:
    """Tell whether a text is a URI of MLflow, and no run id, file or name."""
    return text.startswith(GIVEN_BY_URI)


@dataclass(frozen=True)
class AdoptingConfig(Section):
    """A network that was trained elsewhere."""

    model: str = option(
        "",
        "a model in MLflow (models:/m-..., models:/<name>/<version>, models:/<name>@<alias>, runs:/<run id>/<path>), "
        "or with state: which network, as in train_pair",
        own_code=True,
    )
    model_options: str = option("", "further arguments of a network of your own, as JSON: '{\"depth\": 4}'")
    state: str = option(
        "",
        "its weights: a .safetensors, .pt, .pth or .ckpt file, a folder as the hubs lay it out, or such an artifact of "
        "a run (runs:/<run id>/<path>); pickled objects are never loaded",
        identity=False,
    )
    weights: str = option(
        "auto", "which weights of a file that has averaged ones too; auto: raw", choices=("auto", "raw", "ema")
    )
    output: str = option(OUTPUTS[0], "what it gives for an image", choices=OUTPUTS)
    trained_on: str = option(UNKNOWN_SIDE, _SIDES, choices=TRAINED_ON)
    force: bool = option(False, "true: adopt again even if these weights were adopted before", identity=False)

    def check(self) -> None:
        """Check that model and state name one network."""
        if not self.model and not self.state:
            raise ValueError(
                "give model=<URI of a model in MLflow>, or state=<file of weights> with model=<network>; "
                "see docs/any-two-models.md"
            )
        if is_uri(self.model) and self.state:
            raise ValueError(f"model={self.model} has its own weights; leave state out, or name the network as model")
        if self.model and not is_uri(self.model) and not self.state:
            raise ValueError(
                f"model={self.model}: give its weights too, state=<file>; or a URI, models:/... or runs:/..."
            )
        if is_uri(self.model) and (self.model_options or self.weights != "auto"):
            raise ValueError("model_options and weights belong to state=<file>; leave them out")


@dataclass(frozen=True)
class AdoptConfig:
    """Log a network that was trained elsewhere, so that it can be used like a trained one."""

    adopting: AdoptingConfig
    data: DataConfig = field(default_factory=lambda: DataConfig(shift=NO_SHIFT))
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)


@dataclass(frozen=True)
class ForeignConfig(Section):
    """What networks are that are given by URI instead of by run id; they are adopted first."""

    dataset: str = option(
        "", "of networks given by URI (models:/..., runs:/...): what they are tested on", own_code=True, **_BY_URI
    )
    image_size: int | None = option(None, "of networks given by URI: as in adopt", minimum=1, **_BY_URI)
    shift: str = option(NO_SHIFT, "of networks given by URI: as in adopt", own_code=True, **_BY_URI)
    split_seed: int = option(0, "of networks given by URI: as in adopt", minimum=0, **_BY_URI)
    normalization: str = option(
        "centered", "of networks given by URI: as in adopt", choices=("centered", "half", "unit"), **_BY_URI
    )
    output: str = option(
        OUTPUTS[0], "of networks given by URI: what they give for an image", choices=OUTPUTS, **_BY_URI
    )
    trained_on: tuple[str, ...] = option(
        (UNKNOWN_SIDE,),
        f"of networks given by URI: {_SIDES}; one for all, or one for each",
        choices=TRAINED_ON,
        **_BY_URI,
    )

    def data(self, data_root: str) -> DataConfig:
        """Give the configuration of their data.

        Args:
            data_root: folder of the data set; empty: the usual one.
        """
        known = {spec.name for spec in fields(DataConfig)}
        own: dict[str, Any] = {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name in known}
        if data_root:
            own["data_root"] = data_root
        return DataConfig(**own)
