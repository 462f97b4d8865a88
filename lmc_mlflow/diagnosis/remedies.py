"""The table of remedies: what can be done to two networks, or to their outputs, that may take a barrier away.

All of them leave what the ends compute as it is, but for the statistics of batch norm and the confidence.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import nn

from lmc_mlflow.alignment import MatchingInputs, align, permute, units_moved
from lmc_mlflow.alignment.rescaling import (
    ScaledGroup,
    balance,
    find_scaled_groups,
    rescale_towards,
    scales_between,
)
from lmc_mlflow.alignment.symmetry import Permutations
from lmc_mlflow.batches import evenly_spaced
from lmc_mlflow.config.alignment import MatchingConfig
from lmc_mlflow.diagnosis.subject import Subject
from lmc_mlflow.normalization.recalibration import batch_norms
from lmc_mlflow.paths.curves import Segment

RECALIBRATE, ALIGN, RESCALE, CALIBRATE = "recalibrate", "align", "rescale", "calibrate"
FEW = 8
"""Images with which it is tried whether units may be rescaled."""
SAME_SCALE = 0.05
"""Units whose scales differ by less than this fraction are not rescaled."""
Chosen = frozenset[str]
"""Remedies that are applied together."""


@dataclass
class Treatable:
    """Two networks, with what the remedies need computed once, when it is first asked for."""

    subject: Subject
    matching: MatchingConfig = field(default_factory=MatchingConfig)

    @cached_property
    def scaled_groups(self) -> list[ScaledGroup]:
        """Groups of units that may be rescaled."""
        subject = self.subject
        if subject.symmetry is None or not subject.symmetry.sizes:
            return []
        images = evenly_spaced(subject.test[0], FEW)
        return find_scaled_groups(subject.network, subject.symmetry, subject.a, images)

    @cached_property
    def permutations(self) -> Permutations:
        """How B's units are brought into A's order, by their weights as they are."""
        return self._match(balanced=False)

    @cached_property
    def balanced_permutations(self) -> Permutations:
        """The same by weights whose scales are made comparable first."""
        return self._match(balanced=True)

    def _match(self, balanced: bool) -> Permutations:
        subject = self.subject
        assert subject.symmetry is not None
        a, b = subject.a, subject.b
        if balanced:
            a, b = (balance(subject.symmetry, self.scaled_groups, state) for state in (a, b))
        inputs = MatchingInputs(subject.symmetry, subject.network, a, b, self.matching, seed=0)
        return align("weights", inputs).permutations

    def segment(self, chosen: Chosen) -> Segment:
        """Give the segment from A to B after the remedies that change B."""
        a, b, symmetry = self.subject.a, self.subject.b, self.subject.symmetry
        if symmetry is not None and ALIGN in chosen:
            b = permute(symmetry, b, self.balanced_permutations if RESCALE in chosen else self.permutations)
        if symmetry is not None and RESCALE in chosen:
            b = rescale_towards(symmetry, self.scaled_groups, a, b)
        return Segment(a, b)


@dataclass(frozen=True)
class Remedy:
    """One row of the table.

    Attributes:
        applies: whether it can change anything for two networks.
    """

    applies: Callable[[Treatable], bool]


def _has_statistics(treatable: Treatable) -> bool:
    return treatable.subject.calibration is not None and bool(batch_norms(treatable.subject.network))


def _units_move(treatable: Treatable) -> bool:
    symmetry = treatable.subject.symmetry
    if symmetry is None or not symmetry.sizes:
        return False
    moved = units_moved(treatable.permutations) > 0
    return moved or (bool(treatable.scaled_groups) and units_moved(treatable.balanced_permutations) > 0)


def _scales_differ(treatable: Treatable) -> bool:
    subject = treatable.subject
    if subject.symmetry is None or not treatable.scaled_groups:
        return False
    ratios = scales_between(subject.symmetry, treatable.scaled_groups, subject.a, subject.b)
    return any(bool(((ratio.log().abs() > SAME_SCALE) & ratio.isfinite()).any()) for ratio in ratios.values())


def _has_classes(treatable: Treatable) -> bool:
    return treatable.subject.test[1].ndim == 1


REMEDIES: Mapping[str, Remedy] = {
    RECALIBRATE: Remedy(_has_statistics),
    CALIBRATE: Remedy(_has_classes),
    ALIGN: Remedy(_units_move),
    RESCALE: Remedy(_scales_differ),
}
"""Name -> remedy, the cheap ones first."""


def applicable(treatable: Treatable) -> tuple[str, ...]:
    """Name the remedies that can change anything."""
    return tuple(name for name, remedy in REMEDIES.items() if remedy.applies(treatable))


def scratch(network: nn.Module) -> nn.Module:
    """Copy a network into which points of paths are loaded."""
    return copy.deepcopy(network).requires_grad_(False).eval()
