"""Measures the curvature of the loss at points of a path, one piece of work after the other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lmc_mlflow.batches import Images
from lmc_mlflow.config.curvature import ENDS, MIDPOINT, BendingConfig
from lmc_mlflow.data.loading import LabelledImages
from lmc_mlflow.hessian.measures import MEASURES, Probing, layers_of, measure_loss
from lmc_mlflow.hessian.sample_loss import Sample, SampleLoss, draw_sample
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.points import network_at

WHOLE = ""
"""In the place of a layer: all parameters."""
DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True)
class Piece:
    """A piece of work: one point, one split, one layer or all parameters (`WHOLE`)."""

    alpha: float
    split: str
    layer: str = WHOLE


def alphas_of(config: BendingConfig) -> list[float]:
    """List the positions on the path that are measured."""
    if config.points == ENDS:
        return [0.0, 1.0]
    return [0.0, 0.5, 1.0] if config.points == MIDPOINT else [float(alpha) for alpha in alpha_grid(config.num_alphas)]


def pieces_of(config: BendingConfig, network: nn.Module, splits: Sequence[str]) -> list[Piece]:
    """List the pieces of work, the points of the path in order."""
    layers = [WHOLE, *(layers_of(trainable(network)) if config.layers else ())]
    return [Piece(alpha, split, layer) for alpha in alphas_of(config) for split in splits for layer in layers]


def columns_of(config: BendingConfig) -> list[str]:
    """Name the numbers of a piece of work."""
    return ["loss", *(column for name in config.measures for column in MEASURES[name].columns(name))]


def measure_pieces(
    config: BendingConfig,
    network: nn.Module,
    segment: Segment,
    splits: Mapping[str, LabelledImages],
    calibration: Images | None,
    pieces: Sequence[Piece],
) -> Iterator[dict[str, float]]:
    """Yield the numbers of each piece of work.

    Args:
        config: how.
        network: of the architecture, on the device (overwritten).
        segment: between the two networks, on the device.
        splits: name -> images.
        calibration: images of both training sides, for the batch-norm policies that need them.
        pieces: the work, those of one point one after the other.
    """
    samples: dict[str, Sample] = {}
    probing = Probing(config.num_probes, config.confidence, config.sample_seed)
    at: float | None = None
    for piece in pieces:
        if piece.alpha != at:
            network, at = network_at(network, segment, piece.alpha, config.bn, calibration), piece.alpha
        if piece.split not in samples:
            images = splits[piece.split]
            samples[piece.split] = draw_sample(images.images, images.labels, config.num_images, config.sample_seed)
        names = None if piece.layer == WHOLE else layers_of(trainable(network))[piece.layer]
        loss = SampleLoss(network, samples[piece.split], DTYPES[config.precision], names)
        yield measure_loss(loss, config.measures, probing)
