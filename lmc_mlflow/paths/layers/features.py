"""Measures how linear the features of each layer are: those between two networks against the mean of the networks'."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from tqdm import tqdm

from lmc_mlflow.batches import Images
from lmc_mlflow.normalization.units import evaluated
from lmc_mlflow.paths.layers.find import Layer
from lmc_mlflow.precision import products

BATCH_SIZE = 100
"""Images whose features of all layers are kept at once, of two networks."""
_ELEMENTWISE = (
    "elu",
    "gelu",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "mish",
    "prelu",
    "relu",
    "selu",
    "sigmoid",
    "silu",
)
ACTIVATIONS = frozenset({f"{name}{in_place}" for name in (*_ELEMENTWISE, "softplus", "tanh") for in_place in ("", "_")})
"""Operations whose outputs are a layer's features where they follow it directly."""
Features = Mapping[str, Tensor]
"""Layer -> (n, F), a row an image."""


@torch.no_grad()
@products("float32")
def feature_rows(
    networks: tuple[nn.Module, nn.Module, nn.Module], layers: Sequence[Layer], splits: Mapping[str, Images]
) -> Iterator[dict[str, Any]]:
    """Yield a row a layer and split: `number` (from 1), `layer`, `split`, and means over the images.

    Features are the outputs of a layer, after the activation where one follows directly (Zhou et al., Going beyond
    linear mode connectivity, 2023). Layers without an output of their own have no row.

    - `feature_cosine`: of the middle's features with the mean of the ends'; 1 where features are linear.
    - `feature_scale`: the multiple of that mean which is closest to the middle's features, least squares.
    - `ends_cosine`: of A's features with B's, which says what the first number is worth.

    An image for which one of both is zero counts in none of the means.

    Args:
        networks: at alpha 0, 0.5 and 1, on one device, with their batch-norm statistics; modes are restored.
        layers: from `find_layers`.
        splits: name -> images.
    """
    outputs = [layer.output for layer in layers]
    for split, images in splits.items():
        sums = {name: torch.zeros(3, 2, dtype=torch.float64, device=_device(networks[0])) for name in outputs if name}
        batches = images.batches(None, BATCH_SIZE)
        num_batches = -(-images.shape[0] // BATCH_SIZE)
        for batch in tqdm(batches, f"features on {split}", num_batches, leave=False, unit="batch", disable=None):
            of_a, of_middle, of_b = (_features(network, outputs, batch) for network in networks)
            for name in of_a.keys() & of_b.keys() & of_middle.keys():
                sums[name] += _sums(*(of[name].double() for of in (of_a, of_middle, of_b)))
        for number, layer in enumerate(layers, start=1):
            if layer.output and bool((sums[layer.output][:, 1] > 0).all()):
                cosine, scale, ends = (sums[layer.output][:, 0] / sums[layer.output][:, 1]).tolist()
                row = {"number": number, "layer": layer.name, "split": split}
                yield row | {"feature_cosine": cosine, "feature_scale": scale, "ends_cosine": ends}


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _sums(a: Tensor, middle: Tensor, b: Tensor) -> Tensor:
    """Sums over the images (n, F) of the three numbers, and how many images each counts: (3, 2)."""
    mean = (a + b) / 2
    inner = (mean * middle).sum(1)
    values = torch.stack([_ratio(inner, mean, middle), inner / mean.square().sum(1), _ratio((a * b).sum(1), a, b)])
    counts = values.isfinite()
    return torch.stack([torch.where(counts, values, 0).sum(1), counts.sum(1).double()], dim=1)


def _ratio(inner: Tensor, left: Tensor, right: Tensor) -> Tensor:
    cosines: Tensor = inner / (left.norm(dim=1) * right.norm(dim=1))
    return cosines


def _features(network: nn.Module, outputs: Sequence[str], images: Tensor) -> Features:
    with evaluated(network), _observed(network, outputs) as observer, observer:
        network(images)
    return {name: value.flatten(1) for name, value in observer.features.items()}


class _Observer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps outputs of modules: as their activation leaves them, and as they were before other changes in place."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.features: dict[str, Tensor] = {}

    def see(self, name: str) -> Callable[..., None]:
        """Make a forward hook that keeps the output under this name."""

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                self.features[name] = output

        return hook

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = args[0] if args and isinstance(args[0], Tensor) else None
        names = [name for name, value in self.features.items() if value is first]
        operation = func.overloadpacket.__name__
        if names and operation not in ACTIVATIONS and func._schema.is_mutable:
            assert first is not None
            self.features |= dict.fromkeys(names, first.clone())
        result = func(*args, **(kwargs or {}))
        if names and operation in ACTIVATIONS:
            self.features |= dict.fromkeys(names, result)
        return result


@contextmanager
def _observed(network: nn.Module, outputs: Sequence[str]) -> Iterator[_Observer]:
    observer = _Observer()
    handles = [network.get_submodule(name).register_forward_hook(observer.see(name)) for name in outputs if name]
    try:
        yield observer
    finally:
        for handle in handles:
            handle.remove()
