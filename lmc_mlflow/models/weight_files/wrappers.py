"""Finds the state dict in what a training script has saved, and chooses between raw and averaged weights."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmc_mlflow.config.choices import unknown_name
from lmc_mlflow.errors import shortened

WEIGHTS = ("auto", "raw", "ema")
"""Which weights are taken where a file has those of the training (raw) and a moving average of them (EMA)."""
RAW_NAMES = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("net_state_dict", "model_dict", "weights", "params"),
)
EMA_NAMES = (
    *("state_dict_ema", "model_ema", "ema", "ema_state_dict", "ema_model", "model_ema_state_dict"),
    *("ema_model_state_dict", "net_ema", "params_ema", "averaged_model", "shadow"),
)
EMA_PREFIXES = ("ema_model.", "model_ema.", "ema.", "net_ema.", "ema_net.", "averaged_model.")
"""Beginnings of the names of averaged weights that stand beside the raw ones in one state dict."""
_DEEPEST = 5
"""Wrappers around a state dict that are looked into; a file may hold a dict that contains itself."""
_MOST_NAMES = 5
"""Names that a message repeats."""


@dataclass(frozen=True)
class FoundState:
    """A state dict in a file.

    Attributes:
        place: the keys that lead to it.
        tensors: name -> tensor, as the file gives them.
        others: names of its values that are no tensors.
        averaged: whether it is a moving average.
    """

    place: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    others: tuple[str, ...] = ()
    averaged: bool = False

    @property
    def shown(self) -> str:
        """The place as Python writes it."""
        return "".join(f"[{shortened(key)!r}]" for key in self.place) or "the top level"


def find_state(content: object, weights: str = "auto") -> tuple[FoundState, list[str]]:
    """Find the state dict of the network in what a file holds.

    Args:
        content: of the file.
        weights: a row of `WEIGHTS`; auto: the raw ones where both are there.

    Returns:
        The state dict, and sentences that say what was found where.

    Raises:
        ValueError: there is no state dict, there are several different ones, or not the weights that were asked for.
    """
    if weights not in WEIGHTS:
        raise unknown_name("weights", weights, WEIGHTS)
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds a {type(content).__name__} and no state dict; save network.state_dict()")
    found = list(_named_states(content, (), averaged=False)) or _other_states(content)
    if not found:
        raise ValueError(f"it holds no state dict{_there(content)}; save network.state_dict()")
    raw, averaged = ([state for state in found if state.averaged == wanted] for wanted in (False, True))
    if raw and not averaged:
        raw, averaged = _split_by_prefix(raw)
    chosen = averaged if weights == "ema" or (weights == "auto" and not raw) else raw
    if not chosen:
        there, way_out = ("raw", "raw") if weights == "ema" else ("EMA", "ema")
        raise ValueError(f"it holds {there} weights alone; give weights={way_out}")
    state = _one_of(chosen)
    return state, _notes(state, averaged if chosen is raw else raw)


def _named_states(value: object, place: tuple[str, ...], averaged: bool) -> Iterator[FoundState]:
    """Yield the state dicts that lie under known names; a mapping with none of them is one itself."""
    if not isinstance(value, Mapping) or len(place) > _DEEPEST:
        return
    inner = [
        state
        for key in (*RAW_NAMES, *EMA_NAMES)
        if isinstance(value.get(key), Mapping)
        for state in _named_states(value[key], (*place, key), averaged or key in EMA_NAMES)
    ]
    if inner:
        yield from inner
        return
    tensors = {key: part for key, part in value.items() if isinstance(key, str) and isinstance(part, Tensor)}
    if tensors:
        yield FoundState(place, tensors, tuple(str(key) for key in value if key not in tensors), averaged)


def _other_states(content: Mapping[Any, Any]) -> list[FoundState]:
    """Look one level down, under whatever name."""
    return [
        state
        for key, value in content.items()
        if isinstance(key, str)
        for state in _named_states(value, (key,), averaged=False)
    ]


def _split_by_prefix(states: Sequence[FoundState]) -> tuple[list[FoundState], list[FoundState]]:
    """Take averaged weights out of state dicts that hold raw ones of the same shapes as well."""
    raw, averaged = [], []
    for state in states:
        ema = {name: value for name, value in state.tensors.items() if name.startswith(EMA_PREFIXES)}
        rest = {name: value for name, value in state.tensors.items() if name not in ema}
        if ema and _shapes(ema) <= _shapes(rest):
            raw.append(FoundState(state.place, rest, state.others))
            averaged.append(FoundState(state.place, ema, (), averaged=True))
        else:
            raw.append(state)
    return raw, averaged


def _shapes(tensors: Mapping[str, Tensor]) -> Counter[torch.Size]:
    """Count the shapes of tensors, counters of steps (which have none) apart."""
    return Counter(value.shape for value in tensors.values() if value.ndim)


def _one_of(states: Sequence[FoundState]) -> FoundState:
    first, *others = states
    for other in others:
        if not _equal(first.tensors, other.tensors):
            where = " and ".join(state.shown for state in (first, other))
            raise ValueError(f"it holds several networks, {where}; save the state dict of one of them alone")
    return first


def _equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[name].shape == b[name].shape and a[name].dtype == b[name].dtype and torch.equal(a[name], b[name])
        for name in a
    )


def _notes(state: FoundState, passed_over: Sequence[FoundState]) -> list[str]:
    kind, other = ("EMA", "raw") if state.averaged else ("raw", "ema")
    notes = [f"the state dict lies under {state.shown}"] if state.place else []
    if passed_over:
        notes.append(
            f"both raw and EMA weights are there; the {kind} ones were taken (weights={other} takes the others)"
        )
    elif state.averaged:
        notes.append("the weights are a moving average (EMA)")
    if state.others:
        notes.append(f"left out, as no tensors: {_some(state.others)}")
    return notes


def _there(content: Mapping[Any, Any]) -> str:
    return f" (there are {_some([str(key) for key in content])})" if content else " (it is empty)"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(shortened(name, 60) for name in names[:_MOST_NAMES]) + more
