"""Options of networks that were trained elsewhere: where they are, what they take and give, what they saw."""

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

from lmc_mlflow.config.data import DataConfig
from lmc_mlflow.config.options import Section, option, option_of
from lmc_mlflow.config.runtime import RuntimeConfig, TerminalConfig
from lmc_mlflow.contract import UNKNOWN_SIDE

GIVEN_BY_URI = ("models:/", "runs:/")
"""Beginnings of URIs of MLflow."""
ARCHIVE = ".pt2"
"""Ending of files that torch.export saves."""
OUTPUTS = ("logits", "log_probabilities", "probabilities")
TRAINED_ON = ("A", "B", "both", UNKNOWN_SIDE)
NO_SHIFT = "none"
_SIDES = "on which side of the shift it was trained; unknown: only the test set can be used"


def is_uri(text: str) -> bool:
    """Tell whether a text is a URI of MLflow, and no run id, file or name."""
    return text.startswith(GIVEN_BY_URI)


def is_whole(model: str) -> bool:
    """Tell whether a model has its own weights: a URI, or an archive of torch.export."""
    return is_uri(model) or model.endswith(ARCHIVE)


@dataclass(frozen=True)
class AdoptingConfig(Section):
    """A network that was trained elsewhere."""

    model: str = option(
        "",
        "a model in MLflow (models:/m-..., models:/<name>/<version>, models:/<name>@<alias>, runs:/<run id>/<path>), "
        "a file of torch.export (.pt2), or with state: which network, as in train_pair",
        own_code=True,
    )
    model_options: str = option(
        "", "further arguments of a network of your own or of a library, as JSON: '{\"depth\": 4}'"
    )
    state: str = option(
        "",
        "its weights: a .safetensors, .pt, .pth or .ckpt file, a folder as the hubs lay it out, or such an artifact of "
        "a run (runs:/<run id>/<path>); pickled objects are never loaded",
        identity=False,
    )
    weights: str = option(
        "auto",
        "which weights of a file that has averaged ones (ema) beside the usual ones (raw); auto: the usual",
        choices=("auto", "raw", "ema"),
    )
    output: str = option(OUTPUTS[0], "what it gives for an image", choices=OUTPUTS)
    scaling: str = option(
        "data",
        "how pixels are scaled: data: by normalization; timm: by the mean and std of timm's own data configuration of "
        "model=timm:<name>[.<tag>]",
        choices=("data", "timm"),
    )
    trained_on: str = option(UNKNOWN_SIDE, _SIDES, choices=TRAINED_ON)
    force: bool = option(False, "true: adopt again even if these weights were adopted before", identity=False)

    def check(self) -> None:
        """Check that model and state name one network."""
        if not self.model and not self.state:
            raise ValueError(
                "give model=<URI of a model in MLflow>, or state=<file of weights> with model=<network>; "
                "see docs/any-two-models.md"
            )
        if is_whole(self.model) and self.state:
            raise ValueError(f"model={self.model} has its own weights; leave state out, or name the network as model")
        if self.model and not is_whole(self.model) and not self.state:
            raise ValueError(
                f"model={self.model}: give its weights too, state=<file>; or a URI, models:/... or runs:/..."
            )
        if is_whole(self.model) and (self.model_options or self.weights != "auto"):
            raise ValueError("model_options and weights belong to state=<file>; leave them out")


@dataclass(frozen=True)
class AdoptConfig:
    """Log a network that was trained elsewhere, so that it can be used like a trained one."""

    adopting: AdoptingConfig
    data: DataConfig = field(default_factory=lambda: DataConfig(shift=NO_SHIFT))
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    terminal: TerminalConfig = field(default_factory=TerminalConfig)

    def __post_init__(self) -> None:
        plain = DataConfig()
        for name in ("augmentation", "translate_pixels", "crop_padding"):
            if getattr(self.data, name) != getattr(plain, name):
                raise ValueError(f"{name} is about training, and an adopted network is trained; leave it out")


def _as_in_adopt(name: str, default: Any = MISSING) -> Any:
    """Declare an option of `DataConfig` once more, for networks given by URI: what it says stands in their own runs."""
    spec = next(spec for spec in fields(DataConfig) if spec.name == name)
    told = option_of(spec)
    rule = replace(told, identity=False, logged=False, help=f"of networks given by URI: {told.help}")
    return field(default=spec.default if default is MISSING else default, metadata={"option": rule})


@dataclass(frozen=True)
class ForeignConfig(Section):
    """What networks are that are given by URI instead of by run id; they are adopted first."""

    dataset: str = _as_in_adopt("dataset", "")
    image_size: int | None = _as_in_adopt("image_size")
    channels: str = _as_in_adopt("channels")
    shift: str = _as_in_adopt("shift", NO_SHIFT)
    split_seed: int = _as_in_adopt("split_seed")
    normalization: str = _as_in_adopt("normalization")
    mean: tuple[float, ...] = _as_in_adopt("mean")
    std: tuple[float, ...] = _as_in_adopt("std")
    output: str = option(
        OUTPUTS[0],
        "of networks given by URI: what they give for an image",
        choices=OUTPUTS,
        identity=False,
        logged=False,
    )
    trained_on: tuple[str, ...] = option(
        (UNKNOWN_SIDE,),
        f"of networks given by URI: {_SIDES}; one for all, or one for each",
        choices=TRAINED_ON,
        identity=False,
        logged=False,
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
