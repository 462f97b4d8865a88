"""Draws points of a star's segments, and trains the star at them: gradients reach the star alone."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.config.star import SegmentsConfig
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.seeds import derive_seed
from lmc_mlflow.training.at_points import PointNetwork
from lmc_mlflow.weights import State

Positions = Callable[[np.random.Generator, int, SegmentsConfig], NDArray[np.float64]]
T_DISTRIBUTIONS: Mapping[str, Positions] = {
    "uniform": lambda rng, size, _: rng.random(size),
    "beta": lambda rng, size, c: rng.beta(c.beta_a, c.beta_b, size),
    "constant": lambda _, size, c: np.full(size, c.t_value),
}


def draw_points(
    config: SegmentsConfig, num_sources: int, num_draws: int, seed: int, what: str, index: int = 0
) -> list[tuple[int, float]]:
    """Draw points of the star's segments: each a source, all equally likely, and t, 0 at the star and 1 at the source.

    Sources and positions come from two streams, `star/<what>/source` and `star/<what>/t`, so that another
    distribution of t leaves the sources as they are.

    Args:
        config: the distribution of t.
        num_sources: segments to choose from.
        num_draws: how many points.
        seed: of both streams.
        what: the draws are for.
        index: of the streams, an epoch for example.
    """
    sources = np.random.default_rng(derive_seed(seed, f"star/{what}/source", index))
    positions = np.random.default_rng(derive_seed(seed, f"star/{what}/t", index))
    draw = lookup(T_DISTRIBUTIONS, config.t_distribution, "t_distribution")
    chosen = sources.integers(0, num_sources, num_draws).tolist()
    return list(zip(chosen, draw(positions, num_draws, config).tolist(), strict=True))


class SegmentNetwork(PointNetwork[tuple[State, float]]):
    """A star that is trained at points of its segments: what an optimizer and a state dict see of it is the star.

    In training mode each forward pass takes the next point (1 - t) star + t source, of a source's state and t. The
    interpolation is part of the graph, so that the star's gradient is (1 - t) times the gradient at that point and a
    source gets none (equation 8 of Sonthalia et al.). Batch norm there normalizes by the batch, and no running
    statistics are kept: those of a star are averaged anew whenever it is evaluated.
    """

    def __init__(self, star: nn.Module, own_loss_weight: float = 0.0) -> None:
        """Wrap a star.

        Args:
            star: trained in place.
            own_loss_weight: mu of equation 9. The mean of the two outputs, weighted 1 and mu, stands for the mean
                of the two losses: they are the same for a loss that is linear in the outputs, as the negative
                log-likelihood is in log-probabilities.
        """
        super().__init__()
        self.star = star
        self._own_loss_weight = own_loss_weight

    def forward(self, images: Tensor) -> Tensor:
        """Compute (N, C, H, W) -> (N, K): of the next point in training mode, of the star itself in evaluation mode."""
        if not self.training:
            outputs: Tensor = self.star(images)
            return outputs
        source, t = self.next_point()
        on_segment = self._at(source, t, images)
        if self._own_loss_weight == 0:
            return on_segment
        own = self._at(source, 0.0, images)
        return (on_segment + self._own_loss_weight * own) / (1 + self._own_loss_weight)

    def _at(self, source: State, t: float, images: Tensor) -> Tensor:
        named = {**dict(self.star.named_parameters()), **dict(self.star.named_buffers())}
        segment = Segment({name: named[name] for name in source}, source)
        outputs: Tensor = functional_call(self.star, segment.point(t), (images,))
        return outputs
