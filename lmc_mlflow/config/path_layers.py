"""Options of paths on which some layers move: which layers, alone or cumulated, and how tensors are grouped."""

from dataclasses import dataclass

from lmc_mlflow.config.options import Section, option
from lmc_mlflow.config.path import ADAPTIVE, EpochsConfig, PathConfig

LAYER_MODES = ("each", "below", "above", "complement")
"""The names of `paths.layers.walk.MODES`, which a configuration cannot import: PyTorch would come with it."""


@dataclass(frozen=True)
class LayersConfig(Section):
    """The layers that move on paths of their own."""

    layers: tuple[str, ...] = option(
        (),
        "measure, for each layer, a path on which some layers go from A to B and the others stay as in A; "
        "each: this layer alone; below: it and all before it; above: it and all after it; complement: all but it; one "
        "or several of them",
        choices=LAYER_MODES,
    )
    layer_groups: tuple[str, ...] = option(
        (),
        "with layers: patterns of a shell for names of layers or tensors, each makes a group that moves as one layer; "
        "what none matches is the last group; empty: single layers",
    )

    def check(self) -> None:
        """Check the rules that tie the fields together."""
        for name, values in (("layers", self.layers), ("layer_groups", self.layer_groups)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}={','.join(values)}: each of them once")
        if self.layer_groups and not self.layers:
            raise ValueError("layer_groups needs layers: each, below, above or complement")


def check_layers(by_layer: LayersConfig, by_epoch: EpochsConfig, path: PathConfig) -> None:
    """Check that the options of a path are those that are measured layer by layer.

    Raises:
        ValueError: epochs, a grid that differs from path to path, samples that are to be logged, or temperatures.
    """
    if not by_layer.layers:
        return
    if by_epoch.epochs:
        raise ValueError("layers and epochs are two questions; leave one of them out")
    if path.alphas == ADAPTIVE:
        raise ValueError("alphas=adaptive is of one path; layers are compared on one grid, alphas=even")
    if path.keep_samples:
        raise ValueError("keep_samples is of one path; leave layers out")
    if path.calibrate:
        raise ValueError("calibrate=true is of one path; leave layers out")
