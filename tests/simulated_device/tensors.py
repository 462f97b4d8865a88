"""Tensors that say they are on a card and hold memory of the CPU."""

import torch
from torch import Tensor

from simulated_device.counts import count_copy
from simulated_device.machine import Allocation, index_of, machine, wait


class DeviceTensor(Tensor):
    """A tensor on a card: for C++ one on the CPU, so that autograd needs no CUDA; for Python one on `cuda:N`.

    Attributes:
        elem: the values, as a tensor on the CPU.
        index: the number of the card.
        allocation: its memory, which views share.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __new__(cls, elem: Tensor, index: int, allocation: Allocation | None = None) -> "DeviceTensor":
        """Wrap values; without an allocation they are new memory on the card."""
        self = Tensor._make_wrapper_subclass(
            cls,
            elem.shape,
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
        )
        self.elem, self.index = elem, index
        self.allocation = allocation or Allocation(machine().cards[index], elem.numel() * elem.element_size())
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        from simulated_device.operators import run

        return run(func, args, kwargs or {})

    device = property(lambda self: torch.device("cuda", self.index))
    is_cuda = property(lambda _: True)
    is_cpu = property(lambda _: False)

    @property
    def data(self) -> Tensor:
        """Return the tensor without its history; set: take over the memory of another."""
        return self.detach()

    @data.setter
    def data(self, new: "DeviceTensor") -> None:
        Tensor.data.__set__(self, new)
        self.elem, self.index, self.allocation = new.elem, new.index, new.allocation

    def get_device(self) -> int:
        return self.index

    def cpu(self, memory_format: torch.memory_format = torch.preserve_format) -> Tensor:
        return to(self, "cpu", memory_format=memory_format)

    def tolist(self) -> object:
        return self.cpu().tolist()

    def numpy(self, **_: object) -> None:
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )

    __array__ = __dlpack__ = numpy

    def data_ptr(self) -> int:
        return self.elem.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.elem.untyped_storage()

    def is_pinned(self, *_: object) -> bool:
        return False

    def pin_memory(self, *_: object) -> None:
        raise RuntimeError(f"cannot pin a tensor on {self.device}: only dense CPU tensors can be pinned")

    def __setitem__(self, index: object, value: object) -> None:
        """Fill with a number by a kernel, as CUDA does; C++ would copy it from the host."""
        basic = all(
            part is None or part is ... or isinstance(part, int | slice)
            for part in (index if isinstance(index, tuple) else (index,))
        )
        if basic and isinstance(value, int | float):
            self[index].fill_(value)
        else:
            super().__setitem__(index, value)

    def __deepcopy__(self, memo: dict[int, object]) -> "DeviceTensor":
        if id(self) not in memo:
            new = self.detach().clone().requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                new._is_param = True
            memo[id(self)] = new
        return memo[id(self)]

    def __reduce_ex__(self, protocol: int) -> tuple[object, ...]:
        return _unpickled, (self.detach().cpu(), str(self.device), self.requires_grad, hasattr(self, "_is_param"))

    def __repr__(self, **_: object) -> str:
        return f"{self.detach().cpu()!r} on {self.device}"


def _unpickled(values: Tensor, device: str, requires_grad: bool, is_parameter: bool) -> Tensor:
    tensor = to(values, device).requires_grad_(requires_grad)
    return torch.nn.Parameter(tensor, requires_grad) if is_parameter else tensor


class _Move(torch.autograd.Function):
    """Moves a tensor to another device, and its gradient back."""

    @staticmethod
    def forward(ctx, tensor, *where):
        ctx.back = tensor.device, tensor.dtype
        return moved(tensor, *where)

    @staticmethod
    def backward(ctx, grad):
        device, dtype = ctx.back
        return grad.to(device, dtype), None, None, None, None


def to(self: Tensor, *args: object, copy: bool = False, **kwargs: object) -> Tensor:
    """Return the tensor on the device and in the type and format asked for, like `torch.Tensor.to`."""
    device, dtype, non_blocking, form = torch._C._nn._parse_to(*args, **kwargs)
    if args and isinstance(args[0], Tensor):
        device = args[0].device
    if device is not None and device.type == "cuda":
        device = torch.device("cuda", index_of(device))
    if device is None or device == self.device:
        extra = {} if form is None else {"memory_format": form}
        return PLAIN_TO(self, dtype or self.dtype, copy=copy, **extra)
    where = device, dtype or self.dtype, non_blocking, form or torch.preserve_format
    return _Move.apply(self, *where) if self.requires_grad and torch.is_grad_enabled() else moved(self, *where)


PLAIN_TO = Tensor.to


def moved(
    tensor: Tensor, device: torch.device, dtype: torch.dtype, non_blocking: bool, form: torch.memory_format
) -> Tensor:
    """Copy a tensor to another device; to the CPU without blocking means to pinned memory."""
    tensor = tensor.detach()
    like = tensor.elem if isinstance(tensor, DeviceTensor) else tensor
    values = torch.empty_like(like, dtype=dtype, memory_format=form)
    if device.type == "cuda":
        new: Tensor = DeviceTensor(values, index_of(device))
    else:
        new = pinned(values) if non_blocking else values
    return new.copy_(tensor, non_blocking=non_blocking)


def pinned(tensor: Tensor, *_: object) -> Tensor:
    """Mark the memory of a tensor on the CPU as pinned, and return it."""
    tensor.untyped_storage().pinned = True
    return tensor


def is_pinned(tensor: Tensor, *_: object) -> bool:
    """Return whether copies between this tensor and a card may go on without the host."""
    return getattr(tensor.untyped_storage(), "pinned", False)


def check_copy(target: Tensor, source: Tensor, non_blocking: bool) -> None:
    """Count a copy between host and card, and wait if it makes the host wait."""
    count_copy()
    host = source if isinstance(target, DeviceTensor) else target
    if not (non_blocking and is_pinned(host)):
        wait("copy to the device" if host is source else "copy to the host")
