"""Puts the simulated machine in the place of CUDA, and takes it away again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from simulated_device import graphs, tensors
from simulated_device import machine as machines
from simulated_device.generators import CARDS_OF_GENERATORS, PLAIN_GENERATOR, generator_on
from simulated_device.machine import ARCHITECTURES, Card, Machine, index_of, machine, wait
from simulated_device.modules import module_replacements, optimizer_replacements
from simulated_device.operators import OnCards
from simulated_device.streams import Event, Stream
from simulated_device.tensors import DeviceTensor, to


@contextmanager
def simulated_gpus(count: int = 2, capability: tuple[int, int] = (9, 0), memory_gb: float = 16.0) -> Iterator[Machine]:
    """Let this process have simulated GPUs within the block; it is then as before.

    Args:
        count: how many.
        capability: of all; one that no kernel is compiled for makes every kernel raise.
        memory_gb: of each; tensors beyond it raise `torch.OutOfMemoryError`.
    """
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(CARDS_OF_GENERATORS))
        cards = tuple(Card(i, capability, int(memory_gb * 2**30)) for i in range(count))
        machines._machine.append(Machine(cards))
        stack.callback(machines._machine.pop)
        for card in cards:
            card.default_stream = Stream(card.index)
        for owner, name, value in _replacements():
            stack.enter_context(mock.patch.object(owner, name, value))
        stack.enter_context(OnCards())
        yield machine()


def _replacements() -> Iterator[tuple[object, str, object]]:
    """Yield what stands for which attribute of PyTorch while GPUs are simulated."""
    for name, value in (_CUDA | _memory_and_properties() | _generators()).items():
        yield torch.cuda, name, value
    yield torch.Tensor, "to", to
    yield torch.Tensor, "cuda", lambda self, device=None, **rest: to(self, _card(device), **rest)
    yield torch.Tensor, "pin_memory", tensors.pinned
    yield torch.Tensor, "is_pinned", tensors.is_pinned
    yield torch, "tensor", _made_on_cpu(torch.tensor)
    yield torch, "as_tensor", _made_on_cpu(torch.as_tensor)
    yield torch, "Generator", Generator
    for owner in (torch, torch.amp):
        yield owner, "autocast", Autocast
    yield threading.Thread, "run", _run_on_cards(threading.Thread.run)
    yield torch.accelerator, "is_available", lambda: False
    yield torch.accelerator, "current_accelerator", lambda *_, **__: None
    yield from module_replacements()
    yield from optimizer_replacements()
    from lmc_mlflow.alignment.derivation import trace

    yield trace, "make_fx", _traced_on_cpu(trace.make_fx)


def _memory_and_properties() -> dict[str, Callable[..., object]]:
    def card(device: object = None) -> Card:
        return machine().cards[index_of(device)]

    def reset(device: object = None) -> None:
        card(device).peak = card(device).allocated

    def properties(device: object = None) -> SimpleNamespace:
        major, minor = card(device).capability
        return SimpleNamespace(
            name=f"simulated GPU {card(device).index}",
            total_memory=card(device).memory,
            major=major,
            minor=minor,
            multi_processor_count=132,
        )

    return {
        "memory_allocated": lambda device=None: card(device).allocated,
        "max_memory_allocated": lambda device=None: card(device).peak,
        "memory_reserved": lambda device=None: card(device).allocated,
        "max_memory_reserved": lambda device=None: card(device).peak,
        "reset_peak_memory_stats": reset,
        "empty_cache": lambda: None,
        "mem_get_info": lambda device=None: (card(device).memory - card(device).allocated, card(device).memory),
        "get_device_properties": properties,
        "get_device_name": lambda device=None: properties(device).name,
        "get_device_capability": lambda device=None: card(device).capability,
        "get_arch_list": lambda: list(ARCHITECTURES),
    }


def _generators() -> dict[str, object]:
    def generator(device: object = None) -> torch.Generator:
        return machine().cards[index_of(device)].generator

    def seed_all(seed: int) -> None:
        for card in machine().cards:
            card.generator.manual_seed(seed)

    return {
        "default_generators": tuple(card.generator for card in machine().cards),
        "manual_seed": lambda seed: generator().manual_seed(seed) and None,
        "manual_seed_all": seed_all,
        "initial_seed": lambda: generator().initial_seed(),
        "get_rng_state": lambda device="cuda": generator(device).get_state(),
        "set_rng_state": lambda state, device="cuda": generator(device).set_state(state) and None,
        "get_rng_state_all": lambda: [card.generator.get_state() for card in machine().cards],
    }


def _card(device: object) -> torch.device:
    return torch.device("cuda", index_of(device))


def _exchange_device(index: int) -> int:
    before = machine().current
    if index >= 0:
        machine().current = index_of(index)
    return before


def _set_device(device: object) -> None:
    _exchange_device(index_of(device))


_CUDA: dict[str, object] = {
    "is_available": lambda: True,
    "device_count": lambda: len(machine().cards),
    "is_initialized": lambda: True,
    "init": lambda: None,
    "_lazy_init": lambda: None,
    "_is_in_bad_fork": lambda: False,
    "current_device": lambda: machine().current,
    "set_device": _set_device,
    "_exchange_device": _exchange_device,
    "_maybe_exchange_device": _exchange_device,
    "can_device_access_peer": lambda *_: True,
    "is_bf16_supported": lambda *_, **__: True,
    "synchronize": lambda device=None: wait("synchronize"),
    "Stream": Stream,
    "Event": Event,
    "stream": graphs.on_stream,
    "set_stream": lambda stream: machine().set_stream(stream),
    "current_stream": lambda device=None: machine().stream(index_of(device)),
    "default_stream": lambda device=None: machine().cards[index_of(device)].default_stream,
    "CUDAGraph": graphs.Graph,
    "graph": graphs.capture,
    "graph_pool_handle": lambda: (0, 0),
    "is_current_stream_capturing": lambda: machine().stream(machine().current).is_capturing(),
}


class _Generators(type):
    def __call__(cls, device: object = "cpu") -> torch.Generator:
        return PLAIN_GENERATOR() if torch.device(device).type == "cpu" else generator_on(index_of(device))

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, PLAIN_GENERATOR)


class Generator(metaclass=_Generators):
    """Stands for `torch.Generator`, and makes generators of cards too."""


class Autocast(torch.autocast):
    """Stands for `torch.autocast`: for C++ the simulated tensors are on the CPU."""

    def __init__(self, device_type: str, *args: object, **kwargs: object) -> None:
        super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)


def _made_on_cpu(plain: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def make(data: object, *args: object, device: object = None, **kwargs: Any) -> torch.Tensor:
        if isinstance(data, DeviceTensor):
            return to(data, *args, device=device, **kwargs)
        made = plain(data, *args, **kwargs)
        return made if device is None else to(made, device)

    return make


def _run_on_cards(plain: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def run(self: threading.Thread) -> None:
        with OnCards():  # a mode holds for its own thread alone
            plain(self)

    return run


def _traced_on_cpu(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Trace on the CPU: only shapes count there."""

    def make_fx(*args: object, **kwargs: object) -> Callable[..., Any]:
        record = plain(*args, **kwargs)

        def trace(*given: object) -> object:
            with _disable_current_modes():
                return record(*tree_map(lambda x: x.elem if isinstance(x, DeviceTensor) else x, given))

        return trace

    return make_fx
