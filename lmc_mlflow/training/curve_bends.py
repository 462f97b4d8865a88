"""Trains the bends of a curve between two networks: gradients reach the bends alone (Garipov et al., 2018)."""

import copy
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.func import functional_call

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.models.freezing import freeze
from lmc_mlflow.paths.curves import CURVES, Curve, straight_bends
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.training.at_points import PointNetwork
from lmc_mlflow.weights import State


class CurveNetwork(PointNetwork[float]):
    """The bends of a curve, trained at its points: what an optimizer and a state dict see are the bends.

    In evaluation mode it is the network in the middle of the curve.
    """

    def __init__(
        self, network: nn.Module, form: str, ends: tuple[State, State], num_bends: int, frozen: Sequence[str] = ()
    ) -> None:
        """Put the bends evenly on the segment between the ends.

        Args:
            network: of the ends' architecture, on their device; copied.
            form: a row of `CURVES`.
            ends: A and B.
            num_bends: trained points between them.
            frozen: patterns of the names of tensors that are not trained.
        """
        super().__init__()
        self.bends = nn.ModuleList()
        for state in straight_bends(*ends, num_bends):
            bend = copy.deepcopy(network).requires_grad_(True)
            bend.load_state_dict(state)
            freeze(bend, frozen)
            self.bends.append(bend)
        self._ends = ends
        self._make_curve = lookup(CURVES, form, "path")

    def forward(self, images: Tensor) -> Tensor:
        """Compute (N, C, H, W) -> (N, K): of the curve's next point in training mode."""
        t = self.next_point() if self.training else 0.5
        outputs: Tensor = functional_call(self.bends[0], self._curve().point(t), (images,))
        return outputs

    def states(self) -> list[dict[str, Tensor]]:
        """Copy the bends' states, in order."""
        return [{name: value.detach().clone() for name, value in bend.state_dict().items()} for bend in self.bends]

    def _curve(self) -> Curve:
        a, b = self._ends
        return self._make_curve((a, *(bend.state_dict(keep_vars=True) for bend in self.bends), b))


def draw_positions(seed: int, epoch: int, num_steps: int) -> list[float]:
    """Draw the point of each step of an epoch, uniform from 0 to 1, from the stream `curve/t`."""
    found: list[float] = np.random.default_rng(derive_seed(seed, "curve/t", epoch)).random(num_steps).tolist()
    return found
