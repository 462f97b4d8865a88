"""Examines the two ends of a path: what they differ by, on their own training images, and under other scalings."""

from dataclasses import dataclass

import numpy as np
import torch

from lmc_mlflow.batches import Images
from lmc_mlflow.diagnosis.remedies import CALIBRATE, RECALIBRATE, Chosen, scratch
from lmc_mlflow.diagnosis.treated_paths import TreatedPaths, rows_of, sample_path
from lmc_mlflow.evaluation import batch_outputs
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.samples import PathSamples
from lmc_mlflow.predictions.scores import sample_losses
from lmc_mlflow.weights import State

NAMES = ("A", "B")


@dataclass(frozen=True)
class Gap:
    """What the ends differ by.

    Attributes:
        worse: index of the end with the higher loss: 0 is A.
        height: half of the difference (1 + R,), which is part of the barrier over the mean of both ends.
        own_losses: of A and B on a sample of their own training images, nats; empty where nobody knows these.
    """

    worse: int
    height: Values
    own_losses: tuple[float, ...]

    def is_undertrained(self, threshold: float) -> bool:
        """Judge whether the worse end is worse on its own training images too, by a threshold in nats.

        Where nobody knows the training images, the test images have to do.
        """
        if len(self.own_losses) < 2:
            return True
        return bool(self.own_losses[self.worse] - self.own_losses[1 - self.worse] > threshold)


def gap_of_ends(paths: TreatedPaths, chosen: Chosen) -> Gap:
    """Measure what the ends differ by on test images, under remedies."""
    own = paths.samples(chosen).under(chosen)
    two = PathSamples(own.losses[[0, -1]])
    alphas = np.array([0.0, 1.0])
    heights = rows_of(alphas, two, paths.bootstrap, "test")["barrier"]
    worse = int(own.losses[-1].mean() > own.losses[0].mean())
    parts = paths.treatable.subject.own_training
    if len(parts) < len(NAMES):
        return Gap(worse, heights, ())
    bn = "recalibrate" if RECALIBRATE in chosen else "interpolate"
    segment = paths.treatable.segment(chosen)
    found = [sample_path(paths.treatable, segment, alphas[i : i + 1], parts[i], bn) for i in range(len(NAMES))]
    measured = [samples.calibrated if CALIBRATE in chosen else samples.plain for samples in found]
    return Gap(worse, heights, tuple(float(samples.losses.mean()) for samples in measured))


@dataclass(frozen=True)
class OtherScaling:
    """A scaling of the images under which one end has a lower loss.

    Attributes:
        end: index of the end: 0 is A.
        name: of the scaling.
        loss: of the end on the images as they are, nats.
        rescaled_loss: in the other scaling.
        explained: what of the barrier that makes (1 + R,): half of the difference, as in a `Gap`.
    """

    end: int
    name: str
    loss: float
    rescaled_loss: float
    explained: Values


def better_scalings(paths: TreatedPaths) -> list[OtherScaling]:
    """Find for each end the scaling of the test images with the lowest loss, if it is not the one at hand."""
    subject, found = paths.treatable.subject, []
    scaled = subject.rescaled_inputs()
    for i, state in enumerate((subject.a, subject.b)):
        losses = {name: _losses(paths, state, images) for name, images in scaled.items()}
        if not losses:
            continue
        name = min(losses, key=lambda key: float(losses[key].mean()))
        own = paths.samples().plain.losses[-1 if i else 0]
        two = PathSamples(np.stack([losses[name], own]))
        drop = rows_of(np.array([0.0, 1.0]), two, paths.bootstrap, "test")["barrier"]
        if own.mean() > losses[name].mean():
            found.append(OtherScaling(i, name, float(own.mean()), float(losses[name].mean()), drop))
    return found


@torch.no_grad()
def _losses(paths: TreatedPaths, state: State, images: Images) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    network = scratch(paths.treatable.subject.network)
    network.load_state_dict(dict(state))
    outputs = torch.cat(list(batch_outputs(network, images)))
    return sample_losses(outputs, paths.treatable.subject.test[1]).float().cpu().numpy()
