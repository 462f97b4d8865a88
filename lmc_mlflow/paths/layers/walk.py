"""Measures the paths on which some layers of a network go from A to B and all others stay at A."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.paths.curves import Segment
from lmc_mlflow.paths.layers.find import Layer
from lmc_mlflow.paths.walk import Path

Moved = tuple[int, ...]
"""Positions of the layers that go to B, in order, counted from 0."""
MODES: Mapping[str, Callable[[int, int], Moved]] = {
    "each": lambda i, _num_layers: (i,),
    "below": lambda i, _num_layers: tuple(range(i + 1)),
    "above": lambda i, num_layers: tuple(range(i, num_layers)),
    "complement": lambda i, num_layers: tuple(j for j in range(num_layers) if j != i),
}
"""Name -> layer i and the number of layers -> those that move: it alone; it and all below it, which run before it; it
and all above it; all others. `config.path_layers` holds the names again, because the flags must not import PyTorch."""


@dataclass(frozen=True)
class LayerPath:
    """A path on which some layers go from A to B.

    Attributes:
        moved: these layers.
        path: its first end is A, its last is A with these layers of B.
    """

    moved: Moved
    path: Path


def layers_to_move(modes: Sequence[str], num_layers: int) -> list[Moved]:
    """List every set of layers that one of the modes moves, once; all layers, the whole path, are the first.

    Raises:
        ValueError: no such mode; says which there are.
    """
    rules = [lookup(MODES, mode, "layers") for mode in modes]
    everything = tuple(range(num_layers))
    return list(dict.fromkeys([everything, *(rule(i, num_layers) for rule in rules for i in everything)]))


def partial_segment(segment: Segment, layers: Sequence[Layer], moved: Moved) -> Segment:
    """Make the segment from A to A with some layers of B: with all of them the same segment, with none a point.

    Args:
        segment: from A to B.
        layers: of the network; together they have every tensor once.
        moved: the layers that go to B.
    """
    names = {name for i in moved for name in layers[i].tensors}
    return Segment(segment.a, {name: segment.b[name] if name in names else value for name, value in segment.a.items()})


def measure_layers(
    segment: Segment, layers: Sequence[Layer], modes: Sequence[str], measure: Callable[[Segment], Path]
) -> Iterator[LayerPath]:
    """Measure the whole path, and then those of the modes' layers; each set of layers once.

    Adilova et al., Layer-wise linear mode connectivity (2023), average single layers, and cumulate them from both ends.
    The statistics of a layer's batch norm move with it.

    Args:
        segment: from A to B.
        layers: from `find_layers`.
        modes: rows of `MODES`.
        measure: measures one segment, as `measure_path` does; all at the same alphas, on the same splits.

    Raises:
        ValueError: an unknown mode, or what `measure` refuses.
    """
    for moved in tqdm(layers_to_move(modes, len(layers)), desc="layers", unit="path", leave=False, disable=None):
        yield LayerPath(moved, measure(partial_segment(segment, layers, moved)))
