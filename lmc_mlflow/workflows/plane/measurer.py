"""Measures parts of the plane through three logged networks on one device: rows, edges, alignments."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from lmc_mlflow.alignment import Matching, Symmetry, permute
from lmc_mlflow.batches import Images
from lmc_mlflow.config.commands import PlaneConfig
from lmc_mlflow.paths.barriers import alpha_grid
from lmc_mlflow.paths.curves import Corners, Segment
from lmc_mlflow.paths.measures import Splits
from lmc_mlflow.paths.plane import Plane, Row, RowMeasurer
from lmc_mlflow.paths.points import BN_POLICIES
from lmc_mlflow.paths.walk import Path, measure_path
from lmc_mlflow.query.networks import LoggedNetwork
from lmc_mlflow.workflows.alignment.find_alignment import find_alignment
from lmc_mlflow.workflows.networks.network_group import Material

EDGES = (("ab", 0, 1), ("ac", 0, 2), ("bc", 1, 2))
"""Edges of the triangle, and which corners they join."""
NUM_ALPHAS = 11
"""Points of an edge; 0.5 is among them."""
Matchings = tuple[Matching, Matching]
"""How B and C are permuted towards A."""


@dataclass(frozen=True)
class PlaneTask:
    """A part of a plane.

    Attributes:
        matchings: how B and C are permuted towards A; None: they are as they were logged.
        index: of the row, or of the edge in `EDGES`.
    """

    matchings: Matchings | None
    index: int = 0


@dataclass(frozen=True)
class MeasuredCorners:
    """What a plane is measured on, before it is on a device.

    Attributes:
        config: how.
        networks: A, B and C.
        symmetry: theirs; None: nothing is aligned.
        material: the data.
    """

    config: PlaneConfig
    networks: tuple[LoggedNetwork, ...]
    symmetry: Symmetry | None
    material: Material

    def on(self, device: torch.device) -> "PlaneMeasurer":
        """Bring the data to a device."""
        return PlaneMeasurer(replace(self, material=self.material.to(device)), device)


class PlaneMeasurer:
    """Aligns networks and measures rows and edges of the planes through them."""

    def __init__(self, measured: MeasuredCorners, device: torch.device) -> None:
        self._measured = measured
        self._settings = measured.config.surface
        self._device = device
        self._network = measured.networks[0].network().to(device)
        self._rows: dict[bool, RowMeasurer] = {}

    def alignment(self, corner: int) -> Matching:
        """Match the units of B (1) or C (2) to those of A."""
        a, other = self._measured.networks[0], self._measured.networks[corner]
        assert self._measured.symmetry is not None
        images, matching = self._measured.material.side(a), self._measured.config.matching
        symmetry, method = self._measured.symmetry, self._settings.align
        return find_alignment((a, other), symmetry, method, matching, images, self._device).matching

    def plane(self, task: PlaneTask) -> Plane:
        """Lay the plane through the three."""
        return self._row_measurer(task.matchings).plane

    def row(self, task: PlaneTask) -> Row:
        """Measure a row."""
        return self._row_measurer(task.matchings).row(task.index)

    def edge(self, task: PlaneTask) -> Path:
        """Measure the path along an edge of the triangle."""
        states, (_, i, j) = self._states(task.matchings), EDGES[task.index]
        segment, alphas = Segment(states[i], states[j]), alpha_grid(NUM_ALPHAS)
        return measure_path(self._network, segment, alphas, self._split, self._settings.bn, self._calibration)

    @cached_property
    def _calibration(self) -> Images | None:
        needs_images = BN_POLICIES[self._settings.bn].needs_images
        return self._measured.material.calibration(self._measured.networks) if needs_images else None

    @property
    def _split(self) -> Splits:
        images = self._measured.material.measured
        return {self._settings.split: (images.images, images.labels)}

    def _row_measurer(self, matchings: Matchings | None) -> RowMeasurer:
        aligned = matchings is not None
        if aligned not in self._rows:
            states, grid = self._states(matchings), (self._settings.num_points, self._settings.margin)
            how = self._split, self._settings.bn, self._calibration
            self._rows[aligned] = RowMeasurer(self._network, states, grid, *how)
        return self._rows[aligned]

    def _states(self, matchings: Matchings | None) -> Corners:
        symmetry = self._measured.symmetry
        states = [network.state for network in self._measured.networks]
        if matchings is not None and symmetry is not None:
            of_b, of_c = (permute(symmetry, states[i + 1], found.permutations) for i, found in enumerate(matchings))
            states = [states[0], of_b, of_c]
        a, b, c = ({name: value.to(self._device) for name, value in state.items()} for state in states)
        return a, b, c
