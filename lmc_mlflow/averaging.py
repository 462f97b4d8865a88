"""What is the average of networks? The uniform mean of their weights (SWA, Izmailov et al. 2018)."""

from collections.abc import Iterable, Mapping

from torch import Tensor


def average(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of states, summed in double precision; integers (batch norm's counters) are the last one's.

    Raises:
        ValueError: there is no state.
    """
    total: dict[str, Tensor] = {}
    last: Mapping[str, Tensor] = {}
    number = 0
    for state in states:
        number, last = number + 1, state
        for name, value in state.items():
            if value.is_floating_point():
                total[name] = total[name] + value.double() if name in total else value.double()
    if not number:
        raise ValueError("there is nothing to average")
    return {
        name: (total[name] / number).to(value.dtype) if name in total else value.clone() for name, value in last.items()
    }
