"""Measures on one device the path on which some layers move, and the features of all layers."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lmc_mlflow.alignment import Symmetry
from lmc_mlflow.config.commands import InterpolateConfig
from lmc_mlflow.data.labelled import LabelledImages, move_all
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.grid import Grid
from lmc_mlflow.paths.intervals import Bootstrap, resampled_curves
from lmc_mlflow.paths.layers.barriers import Curves
from lmc_mlflow.paths.layers.features import feature_rows
from lmc_mlflow.paths.layers.find import Layer
from lmc_mlflow.paths.layers.walk import LayerPath, Moved, partial_segment
from lmc_mlflow.paths.points import BN_POLICIES, point_loader
from lmc_mlflow.paths.walk import measure_path
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.workflows.alignment.find_alignment import Alignment, find_alignment
from lmc_mlflow.workflows.networks.pair_of_networks import Ends, both_training_sides
from lmc_mlflow.workflows.path.images import measured_splits


@dataclass(frozen=True)
class MeasuredLayers:
    """What paths are measured on, before it is on a device.

    Attributes:
        config: how.
        ends: A and B.
        layers: theirs.
        splits: name -> images that are measured on, or that alignment or batch norm needs.
    """

    config: InterpolateConfig
    ends: Ends
    layers: tuple[Layer, ...]
    splits: Mapping[str, LabelledImages]

    def on(self, device: torch.device) -> "LayersMeasurer":
        """Bring the data to a device."""
        return LayersMeasurer(replace(self, splits=move_all(self.splits, device)), device)


@dataclass(frozen=True)
class LayersTask:
    """Layers that move towards B.

    Attributes:
        moved: their positions.
        aligned: B with its units permuted towards A; None: B as it was logged.
    """

    moved: Moved
    aligned: LoggedNetwork | None = None


@dataclass(frozen=True)
class MeasuredLayerPath:
    """A path on which some layers move.

    Attributes:
        own: the path, without its samples.
        curves: split -> losses and scores (1 + R, T): of the split itself, and of R resamples of its images.
    """

    own: LayerPath
    curves: Mapping[str, Curves]


class LayersMeasurer:
    """Measures paths on which some layers move."""

    def __init__(self, measured: MeasuredLayers, device: torch.device) -> None:
        self._measured = measured
        self._device = device
        self._network = measured.ends[0].network().to(device).eval()
        bn = measured.config.path.bn
        self._calibration = both_training_sides(dict(measured.splits)) if BN_POLICIES[bn].needs_images else None

    def alignment(self, symmetry: Symmetry) -> Alignment:
        """Permute the units of B towards A."""
        config, images = self._measured.config, self._measured.splits.get("train_a")
        return find_alignment(
            self._measured.ends, symmetry, config.aligning.align, config.matching, images, self._device
        )

    def path(self, task: LayersTask) -> MeasuredLayerPath:
        """Measure the path on which these layers move."""
        config, splits = self._measured.config.path, self._measured.splits
        segment = partial_segment(self._segment(task), self._measured.layers, task.moved)
        path = measure_path(
            self._network,
            segment,
            Grid(alpha_grid(config.num_alphas), keep_samples=config.num_resamples > 0),
            {name: (splits[name].images, splits[name].labels) for name in measured_splits(self._measured.config)},
            config.bn,
            self._calibration,
            config.path_engine,
        )
        bootstrap = Bootstrap(config.num_resamples, config.confidence, config.resamples_seed)
        curves: dict[str, Curves] = {}
        for split in measured_splits(self._measured.config):
            losses, scores = path.losses[split][None], path.scores[split][None]
            if path.samples is not None:
                resampled = resampled_curves(path.samples[split], bootstrap, split)
                losses, scores = (np.concatenate([a, b[1:]]) for a, b in zip((losses, scores), resampled, strict=True))
            curves[split] = losses, scores
        return MeasuredLayerPath(LayerPath(task.moved, replace(path, samples=None)), curves)

    def features(self, task: LayersTask) -> Sequence[Mapping[str, Any]]:
        """Compare the features of the network in the middle with those of both ends; `moved` does not count."""
        config, splits = self._measured.config.path, self._measured.splits
        load = point_loader(copy.deepcopy(self._network), self._segment(task), config.bn, self._calibration)
        a, middle, b = (copy.deepcopy(load(alpha)) for alpha in (0.0, 0.5, 1.0))
        images = {name: splits[name].images for name in measured_splits(self._measured.config)}
        return list(feature_rows((a, middle, b), self._measured.layers, images))

    def _segment(self, task: LayersTask) -> Segment:
        ends = self._measured.ends[0], task.aligned or self._measured.ends[1]
        return Segment(*({name: value.to(self._device) for name, value in end.state.items()} for end in ends))
