"""Reads arrays of an .npz file; what each declares is checked before memory is taken for it."""

import math
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import psutil
from numpy.lib import format as npy
from numpy.typing import NDArray

from lmc_mlflow.errors import first_line

Arrays = dict[str, NDArray[Any]]
DAMAGE = (ValueError, OSError, EOFError, BadZipFile, UnpicklingError, RuntimeError, zlib.error, KeyError)


def read_arrays(file: Path, names: Collection[str] | None = None) -> Arrays:
    """Read arrays of an .npz file: those of these names, or all.

    Raises:
        PermissionError: it may not be read.
        ValueError: it is damaged, lacks one, holds Python objects, or declares more than it holds or memory can take.
    """
    arrays: Arrays = {}
    where = "the file"
    try:
        with _opened(file) as archive:
            stored = [entry.removesuffix(".npy") for entry in archive.namelist()]
            for where in stored if names is None else names:
                if where not in stored:
                    raise BadZipFile(f"not among {', '.join(map(repr, sorted(stored)[:10])) or 'no arrays'}")
                _check_declared(archive, where)
                with archive.open(f"{where}.npy") as content:
                    arrays[where] = npy.read_array(content, allow_pickle=False)
    except PermissionError:
        raise
    except DAMAGE as error:
        raise ValueError(f"{where}: {first_line(error)}") from None
    return arrays


def array_names(file: Path) -> list[str]:
    """List the names of the arrays in an .npz file.

    Raises:
        PermissionError: it may not be read.
        ValueError: it is no such file.
    """
    try:
        with _opened(file) as archive:
            return [entry.removesuffix(".npy") for entry in archive.namelist()]
    except PermissionError:
        raise
    except DAMAGE as error:
        raise ValueError(f"the file: {first_line(error)}") from None


@contextmanager
def _opened(file: Path) -> Iterator[ZipFile]:
    with file.open("rb") as opened:
        if opened.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise BadZipFile("it is one array, saved by numpy.save")
        opened.seek(0)
        with ZipFile(opened) as archive:
            yield archive


def _check_declared(archive: ZipFile, name: str) -> None:
    """Compare what the header of an array declares with what is stored, and with the memory that is free."""
    stored = archive.getinfo(f"{name}.npy").file_size
    with archive.open(f"{name}.npy") as content:
        version = npy.read_magic(content)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(content)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    declared = math.prod(shape) * dtype.itemsize
    if declared > stored:
        raise ValueError(f"it declares the shape {shape}, {declared:,} bytes, and holds {stored:,}")
    free = psutil.virtual_memory().available
    if declared > free:
        raise ValueError(f"its shape {shape} would fill {declared / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")
