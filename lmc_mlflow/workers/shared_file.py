"""Writes what all workers need to a file that they map, so that its tensors lie in memory once for all of them."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LARGE = 2**20
"""Bytes from which on an array is mapped as a tensor is."""


class _Pickler(pickle.Pickler):
    """Pickles large arrays as the tensors of the same memory, which `torch.save` keeps apart from the pickle."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.ndarray and value.nbytes >= LARGE and value.dtype.kind in "iuf" and value.flags.writeable:
            return _array_of, (torch.from_numpy(value),)
        return NotImplemented


class _Pickling:
    """What `torch.save` takes for a pickle module."""

    Pickler = _Pickler


def _array_of(tensor: Tensor) -> NDArray[Any]:
    return tensor.numpy()


def write_shared(value: Any, path: Path) -> None:
    """Write a value to a file; every tensor of it is on the CPU."""
    torch.save(value, path, pickle_module=_Pickling)


def read_shared(source: Path | NDArray[np.uint8]) -> Any:
    """Read a value back from the file, or from its bytes.

    The tensors are the file, mapped: what is changed of them stays in this process.
    """
    if isinstance(source, Path):
        return torch.load(source, map_location="cpu", mmap=True, weights_only=False)
    return torch.load(io.BytesIO(source.data), map_location="cpu", weights_only=False)
