"""Runs each operation on simulated cards: checks its devices, counts it, and records it while a graph is captured."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from simulated_device.counts import count_launch
from simulated_device.generators import card_of
from simulated_device.machine import Card, Uses, index_of, machine, wait
from simulated_device.rules import (
    BY_INDEX,
    CONVOLUTIONS,
    CPU,
    DETERMINISTIC_OR_ERROR,
    MATRIX_PRODUCTS,
    NOT_REPEATING,
    WAITING,
    convolutions_in_tf32,
    in_tf32,
    matrix_products_in_tf32,
)
from simulated_device.schemas import Operator, operator, tensors_in
from simulated_device.streams import Stream, use
from simulated_device.tensors import DeviceTensor, check_copy, moved, pinned


class OnCards(TorchDispatchMode):
    """Sends what has no tensor on a card among its arguments, such as factories, the same way."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def run(func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation as CUDA would.

    Raises:
        RuntimeError: its tensors or generators are not all of one device, or a capture does not permit it.
    """
    there, here = _tensors(args, kwargs)
    asked = kwargs.get("device")
    to_card = asked is not None and asked.type == "cuda"
    generator_card = _generator_card(func, args, kwargs)
    if not there and not to_card:
        return _run_on_cpu(func, args, kwargs, generator_card)
    op = operator(func)
    if op.name == "_to_copy" and to_card and (not there or index_of(asked) != there[0].index):
        return _convert(args[0], asked, kwargs)
    if op.name == "_to_copy" and there:
        asked = None  # the CPU is named by C++ alone, which takes cards for it
    crosses = op.name == "copy_" and isinstance(args[0], DeviceTensor) != isinstance(args[1], DeviceTensor)
    if crosses:
        check_copy(args[0], args[1], kwargs.get("non_blocking", args[2] if len(args) > 2 else False))
    elif op.name != "copy_":
        _check_devices(op, there, here, asked if to_card else None)
    if there and asked is not None and not to_card:  # x_like(card's, device="cpu")
        return func(*_lowered(args), **_lowered_flags(kwargs))
    index = there[0].index if there else index_of(asked)
    card = machine().cards[index]
    if generator_card not in (None, index):
        found = "cpu" if generator_card == CPU else f"cuda:{generator_card}"
        raise RuntimeError(f"Expected a 'cuda:{index}' generator device but found '{found}': {func}")
    _check_waits(op, args, kwargs)
    return _run_on_card(func, op, card, args, kwargs, op.launches and not crosses)


def _run_on_card(
    func: Any, op: Operator, card: Card, args: tuple[Any, ...], kwargs: dict[str, Any], counts: bool
) -> Any:
    card.check_kernels()
    call = _kernel(func, op, card, "generator" in kwargs and kwargs["generator"] is not None)
    low_args, low_kwargs = _lowered(args), _lowered_flags(kwargs)
    written = {memory: _argument(args, kwargs, i, name) for i, name, memory in op.written}
    stream = machine().stream(card.index)
    capture = stream.capture
    if capture is None:
        if counts:
            count_launch(op.name)
        out = call(*low_args, **low_kwargs)
    else:
        out = capture.record(call, op, card.index, low_args, low_kwargs, tensors_in(*args, *kwargs.values()))
    _follow_shapes(written)
    first = next((x for x in tensors_in(*args, *kwargs.values()) if isinstance(x, DeviceTensor)), None)
    share = first.allocation if op.is_view and first is not None else None
    if op.launches:
        _note_uses(stream, op.name, tensors_in(*args, *kwargs.values()), tensors_in(*written.values()))
    if not op.returned:
        return None
    outs = out if len(op.returned) > 1 else (out,)
    if op.name == "lift_fresh":
        return args[0]
    found = tuple(
        written[memory] if memory is not None else _wrapped(x, card.index, share)
        for memory, x in zip(op.returned, outs, strict=True)
    )
    for x in tensors_in(*found) if op.launches else []:
        if isinstance(x, DeviceTensor):
            _uses(stream, x).written = (stream, stream.time)
    return found if len(op.returned) > 1 else found[0]


def _note_uses(stream: Stream, name: str, given: list[Tensor], written: list[Tensor]) -> None:
    """Note what a kernel reads and writes, which must be ordered with what other streams do."""
    changed = [_uses(stream, x) for x in written if isinstance(x, DeviceTensor)]
    read = [_uses(stream, x) for x in given if isinstance(x, DeviceTensor) and not any(x is y for y in written)]
    use(stream, read, changed, name)


def _uses(stream: Stream, x: DeviceTensor) -> Uses:
    """Return the uses of a tensor's memory; a capture has its own, because it runs nothing."""
    if stream.capture is None:
        return x.allocation.uses
    return stream.capture.uses.setdefault(x.allocation, Uses())


def _kernel(func: Any, op: Operator, card: Card, has_generator: bool) -> Callable[..., Any]:
    """Return what computes an operation: with the card's generator, with factors rounded to TF32 if that is allowed."""
    if op.name in MATRIX_PRODUCTS:
        machine().check_cublas()
    if op.name in NOT_REPEATING and torch.get_deterministic_debug_mode() == DETERMINISTIC_OR_ERROR:
        raise RuntimeError(f"{op.name}_cuda does not have a deterministic implementation")
    if op.draws and not has_generator:
        return partial(_drawn, func, card.generator)
    if (op.name in MATRIX_PRODUCTS and matrix_products_in_tf32()) or (
        op.name in CONVOLUTIONS and convolutions_in_tf32()
    ):
        return partial(in_tf32, func)
    return func


def _drawn(func: Any, generator: torch.Generator, *args: Any, **kwargs: Any) -> Any:
    before = torch.get_rng_state()
    torch.set_rng_state(generator.get_state())
    try:
        return func(*args, **kwargs)
    finally:
        generator.set_state(torch.get_rng_state())
        torch.set_rng_state(before)


def _run_on_cpu(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], generator_card: int | None) -> Any:
    if generator_card not in (None, CPU):
        raise RuntimeError(f"Expected a 'cpu' generator device but found 'cuda:{generator_card}': {func}")
    if kwargs.get("pin_memory"):
        return pinned(func(*args, **{**kwargs, "pin_memory": False}))
    return func(*args, **kwargs)


def _convert(tensor: Tensor, device: torch.device, kwargs: dict[str, Any]) -> Tensor:
    form = kwargs.get("memory_format") or torch.preserve_format
    return moved(tensor, device, kwargs.get("dtype") or tensor.dtype, kwargs.get("non_blocking", False), form)


def _check_devices(op: Operator, there: list[DeviceTensor], here: list[Tensor], asked: torch.device | None) -> None:
    cards = {x.index for x in there}
    if here and op.name in BY_INDEX:
        wait("copy of an index to the device")
    elif here:
        cards.add(CPU)
    if len(cards) > 1:
        names = " and ".join("cpu" if i == CPU else f"cuda:{i}" for i in sorted(cards))
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {names}: {op.name}")
    if asked is not None and there and index_of(asked) not in cards:
        raise NotImplementedError(f"{op.name} of a tensor on cuda:{there[0].index} with device={asked}")


def _check_waits(op: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if op.name in WAITING or (op.name == "repeat_interleave" and kwargs.get("output_size") is None):
        wait(op.name)
    if op.name in BY_INDEX:
        masks = [i for i in args[1] if isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8)]
        fills = len(args) > 2 and len(args[1]) == 1 and args[2].numel() == 1  # CUDA takes masked_fill for it
        if masks and not fills:
            wait("index by a mask")


def _follow_shapes(written: dict[str, Any]) -> None:
    """Give tensors the shape and strides that an operation has given to their values."""
    for value in written.values():
        for x in value if isinstance(value, list | tuple) else (value,):
            if isinstance(x, DeviceTensor) and (x.elem.shape != x.shape or x.elem.stride() != x.stride()):
                x.data = DeviceTensor(x.elem, x.index, x.allocation)


def _generator_card(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Return the card of the generator that is given, -1 for the CPU, None without one."""
    generator = kwargs.get("generator")
    return None if generator is None else card_of(generator)


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[DeviceTensor], list[Tensor]]:
    """Return the tensors on cards, and those on the CPU that are no numbers."""
    there, here = [], []
    for x in tensors_in(*args, *kwargs.values()):
        if isinstance(x, DeviceTensor):
            there.append(x)
        elif x.dim():
            here.append(x)
    return there, here


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return args[position] if position < len(args) else kwargs.get(name)


def _low(x: Any) -> Any:
    if isinstance(x, DeviceTensor):
        return x.elem
    if isinstance(x, list | tuple):
        return type(x)(_low(part) for part in x)
    return torch.device("cpu") if isinstance(x, torch.device) else x


def _lowered(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_low(x) for x in args)


def _lowered_flags(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: False if name == "pin_memory" and x else _low(x) for name, x in kwargs.items()}


def _wrapped(x: Any, index: int, share: Any) -> Any:
    if isinstance(x, Tensor):
        return DeviceTensor(x, index, share)
    return type(x)(_wrapped(part, index, share) for part in x) if isinstance(x, list | tuple) else x
