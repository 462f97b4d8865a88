"""What do the networks (1 - alpha) A + alpha B do, alpha by alpha?"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lmc_mlflow import weights
from lmc_mlflow.batches import Images
from lmc_mlflow.config.choices import lookup
from lmc_mlflow.evaluation import evaluate
from lmc_mlflow.models.parameters import trainable
from lmc_mlflow.paths.barriers import Curve, PathSummary, summarize
from lmc_mlflow.paths.engines.folding import plan_folding
from lmc_mlflow.paths.engines.mlp import plan_mlp
from lmc_mlflow.paths.engines.one_pass import (
    MEMORY_BUDGET,
    Place,
    Plan,
    Planner,
    Splits,
    measure_together,
)
from lmc_mlflow.paths.points import placer
from lmc_mlflow.paths.variance import Deviations
from lmc_mlflow.predictions.scores import ACCURACY, Scores, score_name

State = Mapping[str, Tensor]


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
        engine: the row of `ENGINES` that did it: `exact` too where there was no fast way for the network.
        variance_ratio: mean standard deviation of the last hidden layer's units at alpha 0.5 over the mean of both
            ends', on up to 1,000 images; None without hidden units or without these alphas.
    """

    alphas: Curve
    losses: dict[str, Curve]
    scores: dict[str, Curve]
    score: str
    angles_deg: Curve
    manhattan: Curve
    engine: str
    variance_ratio: float | None = None
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
    splits: Splits,
    bn: str,
    calibration: Images | None = None,
    engine: str = "fast",
) -> Path:
    """Measure the segment between two states of one network; nothing that is passed in is changed.

    Args:
        network: gives the architecture and the device; its own weights do not matter.
        ends: states of A (alpha 0) and B (alpha 1).
        alphas: (T,) from 0 to 1.
        splits: name -> images and labels.
        bn: what the statistics of units are on the way: a row of `placing.BN_POLICIES`.
        calibration: images of both training sides together, for the policies that `CALIBRATED` names.
        engine: a row of `ENGINES`. `fast` and `exact` agree to the rounding of float32, and to the last bit at
            the ends on the split `test`.

    Raises:
        ValueError: the states do not fit each other, or the policy or the engine is unknown.
    """
    weights.check_compatible(*ends)
    measure = lookup(ENGINES, engine, "engine")
    scratch = copy.deepcopy(network).requires_grad_(False).eval()
    put, deviations = placer(scratch, ends, bn, calibration), Deviations(splits)

    def place(alpha: float) -> nn.Module:
        deviations.see(put(alpha), alpha)
        return scratch

    measured, used = measure(scratch, ends, [float(alpha) for alpha in alphas], place, splits)
    angles, distances = from_a(ends, trainable(network), alphas)
    return Path(
        alphas=alphas,
        losses={split: np.array([s.loss for s in scores]) for split, scores in measured.items()},
        scores={split: np.array([s.score for s in scores]) for split, scores in measured.items()},
        score=next((score_name(labels) for _, labels in splits.values()), ACCURACY),
        angles_deg=angles,
        manhattan=distances,
        engine=used,
        variance_ratio=deviations.ratio(),
    )


Measured = tuple[dict[str, list[Scores]], str]
"""Split -> one row an alpha, and the engine that was used."""
PLANNERS: tuple[Planner, ...] = (plan_mlp, plan_folding)


def _exact(
    _scratch: nn.Module, _ends: tuple[State, State], alphas: Sequence[float], place: Place, splits: Splits
) -> Measured:
    """Each network by itself, through `evaluate`, which the endpoints went through too."""
    measured: dict[str, list[Scores]] = {split: [] for split in splits}
    for alpha in tqdm(alphas, desc="walking the path", unit="alpha", leave=False, disable=None):
        network = place(alpha)
        for split, (images, labels) in splits.items():
            measured[split].append(evaluate(network, images, labels))
    return measured, "exact"


def _fast(
    scratch: nn.Module, ends: tuple[State, State], alphas: Sequence[float], place: Place, splits: Splits
) -> Measured:
    """All networks in one pass over the images, if the architecture allows it (`one_pass.py`)."""
    plan = _plan(scratch, ends, splits)
    if plan is None:
        return _exact(scratch, ends, alphas, place, splits)
    return measure_together(plan, alphas, place, splits, MEMORY_BUDGET), "fast"


ENGINES: Mapping[str, Callable[..., Measured]] = {"fast": _fast, "exact": _exact}


def _plan(scratch: nn.Module, ends: tuple[State, State], splits: Splits) -> Plan | None:
    """The first plan that there is for the network."""
    for images, _ in splits.values():
        sample = next(images.batches(torch.arange(min(2, images.shape[0])), 2))
        plans = (planner(scratch, ends, sample) for planner in PLANNERS)
        return next((plan for plan in plans if plan is not None), None)
    return None


def from_a(ends: tuple[State, State], names: Sequence[str], alphas: Curve) -> tuple[Curve, Curve]:
    """Angle (degrees) and Manhattan distance (T,) between A and the networks at alpha, in double precision.

    With D = B - A the network is A + alpha D: |A| + alpha (D . A / |A|) along A and alpha |D'| across it,
    where D' is what of D is at right angles to A. An arc tangent of the two keeps its digits near 0 and 180.
    The angle with a network of zeros is nan.

    Args:
        ends: states of A and B.
        names: of the tensors that count.
        alphas: (T,).
    """
    a, b = (torch.cat([end[name].detach().double().flatten() for name in names]) for end in ends)
    step, norm = b - a, float(a.norm())
    distances = alphas * float(step.abs().sum())
    if norm == 0:
        return np.full_like(distances, np.nan), distances
    along_a = float(step @ a) / norm
    along, across = norm + alphas * along_a, alphas * float((step - a * (along_a / norm)).norm())
    angles = np.degrees(np.arctan2(across, along))
    return np.where((along == 0) & (across == 0), np.nan, angles), distances
