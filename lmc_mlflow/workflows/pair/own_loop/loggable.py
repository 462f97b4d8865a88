"""Checks the network that a loop of a user's own gives back, before it is logged."""

from collections.abc import Sequence

from torch import Tensor, nn

from lmc_mlflow.models.registry import NetworkSpec, empty_state
from lmc_mlflow.weights import check_compatible


def loggable_state(label: str, network: object, others: Sequence[nn.Module], spec: NetworkSpec) -> dict[str, Tensor]:
    """Return the weights of a network that is to be logged.

    Args:
        label: of its side, for messages.
        network: as the loop gives it.
        others: networks that it must not be.
        spec: of the networks of the pair.

    Raises:
        ValueError: it is no network, that of another side, or one of another architecture or type.
        FloatingPointError: a weight is not finite.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"{label}: a {type(network).__name__} is no network; give the torch.nn.Module")
    if any(network is other for other in others):
        raise ValueError(f"{label}: this is the network of the other side; log each with its own side")
    state = dict(network.state_dict())
    try:
        check_compatible(empty_state(spec), state)
    except ValueError as error:
        raise ValueError(
            f"{label}: this is not the network of side.network(): {error}; log the network itself in float32, without "
            "what is wrapped around it"
        ) from None
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise FloatingPointError(f"{label}: {name} is not finite; lower your loop's learning rate")
    return state
