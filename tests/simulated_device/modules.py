"""Lets modules and optimizers treat tensors on simulated cards as they treat those on CUDA."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.optim import optimizer
from torch.utils import _foreach_utils

from simulated_device.machine import index_of, machine
from simulated_device.tensors import DeviceTensor

Grouped = dict[tuple[torch.device, torch.dtype], Any]


def module_replacements() -> Iterator[tuple[object, str, object]]:
    """Yield what stands for which attribute of modules."""
    yield torch.nn.Module, "to", _moved_as_objects(torch.nn.Module.to)
    yield torch.nn.Module, "cuda", lambda self, device=None: self.to(torch.device("cuda", index_of(device)))
    yield torch.nn.Module, "cpu", lambda self: self.to("cpu")


def _moved_as_objects(plain: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
    """Let parameters that change their device stay the objects that they are, as on CUDA."""

    def module_to(self: torch.nn.Module, *args: object, **kwargs: object) -> torch.nn.Module:
        device = torch._C._nn._parse_to(*args, **kwargs)[0]
        if device is not None and device.type == "cuda":
            device = torch.device("cuda", index_of(device))
        before = torch.__future__.get_swap_module_params_on_conversion()
        moves = device is not None and any(parameter.device != device for parameter in self.parameters())
        torch.__future__.set_swap_module_params_on_conversion(moves or before)
        try:
            return plain(self, *args, **kwargs)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(before)

    return module_to


def optimizer_replacements() -> Iterator[tuple[object, str, object]]:
    """Yield what lets optimizers take the same calls as on CUDA: foreach, and fused where asked for."""

    def regrouped(plain: Callable[..., Grouped]) -> Callable[..., Grouped]:
        def group(lists: list[list[torch.Tensor]], *args: object, **kwargs: object) -> Grouped:
            found = plain(lists, *args, **kwargs)
            return {(_device_of(value[0], device), dtype): value for (device, dtype), value in found.items()}

        return group

    def check_capture(self: optimizer.Optimizer) -> None:
        if machine().capture is not None and not all(group.get("capturable") for group in self.param_groups):
            raise RuntimeError("Attempting CUDA graph capture of step() of an optimizer, but capturable is False.")

    group = regrouped(_foreach_utils._group_tensors_by_device_and_dtype)
    for owner in (_foreach_utils, optimizer, torch.nn.utils.clip_grad):
        yield owner, "_group_tensors_by_device_and_dtype", group
        if hasattr(owner, "_foreach_supported_types"):
            yield owner, "_foreach_supported_types", [*owner._foreach_supported_types, DeviceTensor]
    static = regrouped(optimizer.Optimizer._group_tensors_by_device_and_dtype)
    yield optimizer.Optimizer, "_group_tensors_by_device_and_dtype", staticmethod(static)
    for name in ("_cuda_graph_capture_health_check", "_accelerator_graph_capture_health_check"):
        if hasattr(optimizer.Optimizer, name):
            yield optimizer.Optimizer, name, check_capture


def _device_of(lists: list[list[torch.Tensor]], otherwise: torch.device) -> torch.device:
    cards = [x.device for values in lists for x in values if isinstance(x, DeviceTensor)]
    return cards[0] if cards else otherwise
