"""What do the networks (1 - alpha) A + alpha B do, alpha by alpha?"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow import weights
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.images import Images
from lmc_mlflow.interpolation.barriers import Curve, PathSummary, summarize
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.normalization import recalibrate
from lmc_mlflow.predictions.scores import ACCURACY, Scores, score_name
from lmc_mlflow.seeds import stream

State = Mapping[str, Tensor]
RECALIBRATION_BATCH = 1000


@dataclass(frozen=True)
class Path:
    """Measurements of a segment: one row an alpha.

    Attributes:
        alphas: (T,) from 0 to 1.
        losses: split -> (T,).
        scores: split -> (T,), accuracies or average precisions, fractions.
        score: which of the two, `accuracy` or `average_precision`.
        angles_deg: (T,) angle between the network at alpha and A, trainable parameters.
        manhattan: (T,) distance of the network at alpha from A.
    """

    alphas: Curve
    losses: dict[str, Curve]
    scores: dict[str, Curve]
    score: str
    angles_deg: Curve
    manhattan: Curve
    summaries: dict[str, PathSummary] = field(init=False)

    def __post_init__(self) -> None:
        summaries = {
            split: summarize(self.alphas, self.losses[split], self.scores[split], self._test_scores(split))
            for split in self.losses
        }
        object.__setattr__(self, "summaries", summaries)

    def _test_scores(self, split: str) -> Curve:
        return self.scores["test"] if "test" in self.scores else self.scores[split]


def walk(
    network: nn.Module,
    ends: tuple[State, State],
    alphas: Curve,
    splits: Mapping[str, tuple[Images, Tensor]],
    bn: str,
    calibration: Images | None = None,
) -> Path:
    """Measure the segment between two states of one network; nothing that is passed in is changed.

    Args:
        network: gives the architecture and the device; its own weights do not matter.
        ends: states of A (alpha 0) and B (alpha 1).
        alphas: (T,) from 0 to 1.
        splits: name -> images and labels.
        bn: what batch norm's statistics are on the way: a row of `BN_POLICIES`.
        calibration: images of both training sides together, for `recalibrate`.

    Raises:
        ValueError: the states do not fit each other, or the policy is unknown.
    """
    weights.check_compatible(*ends)
    lookup(BN_POLICIES, bn, "bn")
    scratch = copy.deepcopy(network).requires_grad_(False).eval()
    names = trainable(network)
    measured: dict[str, list[Scores]] = {split: [] for split in splits}
    angles, distances = [], []
    for alpha in tqdm(alphas, desc="walking the path", unit="alpha", leave=False, disable=None):
        state = network_at(scratch, ends, float(alpha), bn, calibration)
        for split, (images, labels) in splits.items():
            measured[split].append(evaluate(scratch, images, labels))
        angles.append(weights.angle_deg(ends[0], state, names))
        distances.append(weights.manhattan(ends[0], state, names))
    return Path(
        alphas=alphas,
        losses={split: np.array([s.loss for s in scores]) for split, scores in measured.items()},
        scores={split: np.array([s.score for s in scores]) for split, scores in measured.items()},
        score=next((score_name(labels) for _, labels in splits.values()), ACCURACY),
        angles_deg=np.array(angles),
        manhattan=np.array(distances),
    )


def network_at(
    network: nn.Module, ends: tuple[State, State], alpha: float, bn: str, calibration: Images | None
) -> State:
    """Put a network at a point of the segment (in place); returns the interpolated state.

    Args:
        network: of the ends' architecture, on their device.
        ends: states of A and B.
        alpha: 0 at A, 1 at B.
        bn: a row of `BN_POLICIES`.
        calibration: images of both training sides, for `recalibrate`.
    """
    state = weights.interpolate(*ends, alpha)
    network.load_state_dict(state)
    lookup(BN_POLICIES, bn, "bn")(network, ends, alpha, calibration)
    return state


BatchNormPolicy = Callable[[nn.Module, tuple[State, State], float, Images | None], None]


def _interpolate(_network: nn.Module, _ends: tuple[State, State], _alpha: float, _calibration: Images | None) -> None:
    """Buffers lie on the segment like weights; `weights.interpolate` has put them there."""


def _nearest(network: nn.Module, ends: tuple[State, State], alpha: float, _calibration: Images | None) -> None:
    """The statistics of the nearer end (A's in the middle): parameters alone are interpolated."""
    end = ends[0] if alpha <= 0.5 else ends[1]
    for name, buffer in network.named_buffers():
        buffer.copy_(end[name])


def _recalibrate(network: nn.Module, _ends: tuple[State, State], _alpha: float, calibration: Images | None) -> None:
    """Reset, then a cumulative average over both training sides, in batches that mix the two."""
    assert calibration is not None, "recalibration needs the training sides"
    order = torch.randperm(calibration.shape[0], generator=stream(0, "recalibration"))
    recalibrate(network, calibration.batches(order, RECALIBRATION_BATCH))


BN_POLICIES: Mapping[str, BatchNormPolicy] = {
    "interpolate": _interpolate,
    "recalibrate": _recalibrate,
    "nearest": _nearest,
}
