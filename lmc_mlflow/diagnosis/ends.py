"""Examines the two ends of a path: what they differ by, on their own training images, and under other scalings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lmc_mlflow.batches import Images
from lmc_mlflow.diagnosis.causes import OVERFITTING, UNDERTRAINED, WORSE_END
from lmc_mlflow.diagnosis.remedies import RECALIBRATE, Chosen, scratch
from lmc_mlflow.diagnosis.treated_paths import TEST, TreatedPaths, losses_of, rows_of, sample_path
from lmc_mlflow.evaluation import predict
from lmc_mlflow.paths.barriers import Values
from lmc_mlflow.paths.samples import PathSamples
from lmc_mlflow.weights import State

NAMES = ("A", "B")
ENDS = np.array([0.0, 1.0])
"""Alphas of A and B."""


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

    def cause(self, threshold: float) -> str:
        """Name why the worse end is worse.

        Args:
            threshold: nats by which an end that is not fully trained is worse on its own training images too.
        """
        if not self.own_losses:
            return WORSE_END
        more = self.own_losses[self.worse] - self.own_losses[1 - self.worse]
        return UNDERTRAINED if more > threshold else OVERFITTING


def gap_height(paths: TreatedPaths, chosen: Chosen, split: str = TEST) -> Values:
    """Compute half of what the losses of the ends differ by (1 + R,), under remedies."""
    return rows_of(ENDS, PathSamples(_end_losses(paths, chosen, split)), paths.bootstrap, split)["barrier"]


def _end_losses(paths: TreatedPaths, chosen: Chosen, split: str) -> NDArray[np.float32]:
    """Losses (2, N) of every sample at A and at B."""
    return paths.samples(chosen, split).under(chosen).losses[[0, -1]]


def gap_of_ends(paths: TreatedPaths, chosen: Chosen) -> Gap:
    """Measure what the ends differ by on test images, and what they lose on their own training images."""
    of_a, of_b = _end_losses(paths, chosen, TEST).mean(axis=1, dtype=np.float64)
    parts = paths.treatable.subject.own_training
    bn = "recalibrate" if RECALIBRATE in chosen else "interpolate"
    segment = paths.treatable.segment(chosen)
    found = [sample_path(paths.treatable, segment, ENDS[i : i + 1], part, bn) for i, part in enumerate(parts)]
    own = tuple(float(samples.under(chosen).losses.mean()) for samples in found)
    return Gap(int(of_b > of_a), gap_height(paths, chosen), own)


@dataclass(frozen=True)
class OtherScaling:
    """A scaling of the images under which one end has a lower loss.

    Attributes:
        end: index of the end: 0 is A.
        name: of the scaling.
        loss: of the end on the images as they are, nats.
        rescaled_loss: in the other scaling.
        explained: half of the difference (1 + R,), as in a `Gap`.
        explained_calibrated: the same at the best temperatures.
    """

    end: int
    name: str
    loss: float
    rescaled_loss: float
    explained: Values
    explained_calibrated: Values


def better_scalings(paths: TreatedPaths, base: Chosen) -> list[OtherScaling]:
    """Find for each end the scaling of the test images with the lowest loss, if it is not the one at hand.

    Losses are compared at the best temperatures as well: smaller pixels make outputs less sure, which is no sign of
    another scaling where a network is overconfident.

    Args:
        paths: measured.
        base: recalibration, where the statistics do not fit the ends: such networks may do better on other pixels.
    """
    subject, found = paths.treatable.subject, []
    scaled = subject.rescaled_inputs()
    for i, state in enumerate((subject.a, subject.b) if scaled else ()):
        outputs = {name: _outputs(paths, state, images) for name, images in scaled.items()}
        losses = {name: losses_of(own, subject.test[1].cpu()) for name, own in outputs.items()}
        name = min(losses, key=lambda key: float(losses[key].calibrated.mean()))
        samples = paths.samples(base)
        plain, calibrated = (one.losses[-1 if i else 0] for one in (samples.plain, samples.calibrated))
        if calibrated.mean() > losses[name].calibrated.mean() and plain.mean() > losses[name].plain.mean():
            loss, rescaled = float(plain.mean()), float(losses[name].plain.mean())
            drops = _drop(paths, losses[name].plain, plain), _drop(paths, losses[name].calibrated, calibrated)
            found.append(OtherScaling(i, name, loss, rescaled, *drops))
    return found


def _drop(paths: TreatedPaths, rescaled: NDArray[np.float32], own: NDArray[np.float32]) -> Values:
    """Half of the difference of two losses (N,), on all images and on every resample (1 + R,)."""
    return rows_of(ENDS, PathSamples(np.stack([rescaled, own])), paths.bootstrap, TEST)["barrier"]


def _outputs(paths: TreatedPaths, state: State, images: Images) -> Tensor:
    network = scratch(paths.treatable.subject.network)
    network.load_state_dict(dict(state))
    return predict(network, images)
