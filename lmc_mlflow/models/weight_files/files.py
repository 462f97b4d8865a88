"""Reads the weights of a network from a file that somebody else has written, and runs nothing of it."""

import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lmc_mlflow.config.choices import lookup
from lmc_mlflow.errors import first_line, shortened
from lmc_mlflow.models.weight_files.wrappers import find_state

_LFS = b"version https://git-lfs"
_PICKLE = b"\x80"
_GLOBAL = re.compile(r"(?:GLOBAL|Unsupported global: GLOBAL|Unsupported class) ([\w.]+)")
_OPERATION = re.compile(r"Unsupported operand|Unsupported persistent id|can only")


@dataclass(frozen=True)
class StateFile:
    """The weights that a file holds.

    Attributes:
        tensors: name -> tensor, on the CPU, contiguous, with memory of its own.
        notes: sentences that say what was found where.
    """

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def read_state(path: Path, weights: str = "auto") -> StateFile:
    """Read the state dict of a network from a file, whatever a training script has put around it.

    A file of PyTorch is read with `weights_only=True`: what would run code is refused and not run.

    Args:
        path: of a file with one of the suffixes of `READERS`.
        weights: `raw`, `ema` (a moving average), or `auto`, which takes the raw ones where both are there.

    Raises:
        ValueError: no such file, another kind of file, a damaged one, one that needs code to be read, or one without
            a state dict of dense tensors.
    """
    try:
        reader = lookup(READERS, path.suffix.lower(), "suffix")
        _check_file(path)
        state, notes = find_state(reader(path), weights)
        return StateFile(_own_copies(state.tensors), tuple(notes))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError("this is a folder; name the file of weights in it")
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_LFS))
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None
    if not beginning:
        raise ValueError("the file is empty; copy it again")
    if beginning == _LFS:
        raise ValueError("this is a pointer of Git LFS and no weights; run `git lfs pull` in its folder")


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"it is damaged, or no file of safetensors ({first_line(error)}); copy it again") from None


def _read_torch(path: Path) -> object:
    _check_archive(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # about kinds of tensors that are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 (a file of somebody else's may raise anything)
        raise _refusal(error) from None


def _check_archive(path: Path) -> None:
    """Refuse what `torch.load` would not read as weights, by its first bytes and its table of contents."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if any(Path(entry.filename).name == "constants.pkl" for entry in entries):
            raise ValueError(
                "this is a TorchScript archive, which holds code; where you trust it, save its weights alone: "
                "torch.save(torch.jit.load(<file>).state_dict(), 'weights.pt')"
            )
        _check_memory(sum(entry.file_size for entry in entries))
    elif tarfile.is_tarfile(path):
        raise ValueError(
            "this is a tar archive, of PyTorch before 0.4 or of something else; unpack it, or where you trust it save "
            "its weights again with a newer PyTorch: torch.save(torch.load(<file>, weights_only=False), 'weights.pt')"
        )
    else:
        with path.open("rb") as file:
            if file.read(1) != _PICKLE:
                raise ValueError("it is damaged, or no file of torch.save; copy it again")


def _refusal(error: Exception) -> ValueError:
    """Make the one line for a file that PyTorch did not read; PyTorch's own advice is to run what is in it."""
    found = _GLOBAL.search(str(error))
    if found or _OPERATION.search(str(error)):
        what = shortened(found[1]) if found else "what is no tensor"
        return ValueError(
            f"to read it, {what} would have to run, which may be any code; nothing was run; where you trust the file, "
            "save its weights alone: torch.save(<network>.state_dict(), 'weights.pt')"
        )
    return ValueError(f"it is damaged, or no file of torch.save ({first_line(error)}); copy it again")


READERS: Mapping[str, Callable[[Path], object]] = {
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".ckpt": _read_torch,
    ".bin": _read_torch,
    ".tar": _read_torch,  # model_best.pth.tar, as PyTorch's own examples call what torch.save writes
}


def _own_copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors into memory of their own: those of a file may be views of one another, or of one number."""
    for name, value in tensors.items():
        kind = _unusual_kind(value)
        if kind:
            raise ValueError(f"{shortened(name)} is {kind}; save it as a dense tensor of float32")
    _check_memory(sum(value.numel() * value.element_size() for value in tensors.values()))
    return {name: torch.clone(value.detach(), memory_format=torch.contiguous_format) for name, value in tensors.items()}


def _unusual_kind(value: Tensor) -> str:
    if value.is_quantized:
        return "quantized"
    if value.is_nested:
        return "a nested tensor"
    if value.layout != torch.strided:
        return "sparse"
    if value.device.type != "cpu":
        return f"without numbers (device {value.device})"
    if type(value) not in (Tensor, torch.nn.Parameter):
        return f"a {type(value).__name__}"
    return "complex" if value.is_complex() else ""


def _check_memory(needed: int) -> None:
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(f"its tensors take {needed / 2**30:,.1f} GiB, {free / 2**30:,.1f} GiB of memory are free")
