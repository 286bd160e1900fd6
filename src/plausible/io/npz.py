"""One array of an .npz file: its header without its values, its values channel by channel.

Nothing is ever unpickled.
"""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Num
from numpy.lib import format as npy

from plausible.core import InvalidInput, Problem

FAULTS = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)
"""What zipfile, zlib and numpy raise at a damaged or encrypted file."""


@runtime_checkable
class Stream(Protocol):
    """A file inside the zip, open for reading."""

    def read(self, n: int = -1, /) -> bytes:
        """Read up to `n` bytes; all that is left if negative."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What the file says about its array: the key it is stored under, shape, type and order of the bytes."""

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool


def read_header(path: Path, *, keys: tuple[str, ...]) -> ArrayHeader:
    """Read which of these keys the file holds and the header of that array.

    Raises:
        InvalidInput: E305, damaged, none of the keys, or an array of Python objects.
    """
    with _array_file(path, keys) as (_, header):
        return header


def read_array(path: Path, *, keys: tuple[str, ...]) -> Num[np.ndarray, "..."]:
    """Read the whole array, and with it the check sum of its bytes.

    Raises:
        InvalidInput: E305.
    """
    with _array_file(path, keys) as (file, header):
        values = _values(file, header.dtype, int(np.prod(header.shape)))
        file.read(1)  # reaching the end makes zipfile compare the check sum
        return values.reshape(header.shape, order="F" if header.fortran_order else "C")


def read_channels(path: Path, *, keys: tuple[str, ...]) -> Iterator[Num[np.ndarray, "..."]]:
    """Yield the entries along the first axis; one is in memory at a time unless the file is in Fortran order.

    Raises:
        InvalidInput: E305.
    """
    if read_header(path, keys=keys).fortran_order:
        yield from read_array(path, keys=keys)
        return
    with _array_file(path, keys) as (file, header):
        channels, *shape = header.shape
        for _ in range(channels):
            yield _values(file, header.dtype, int(np.prod(shape))).reshape(shape)
        file.read(1)


def _values(file: Stream, dtype: np.dtype, count: int) -> np.ndarray:
    data = bytearray(count * dtype.itemsize)
    view, filled = memoryview(data), 0
    while filled < len(data):
        step = file.read(min(2**22, len(data) - filled))
        if not step:
            raise EOFError(f"{filled} of {len(data)} bytes")
        view[filled : filled + len(step)] = step
        filled += len(step)
    return np.frombuffer(data, dtype=dtype)


@contextmanager
def _array_file(path: Path, keys: tuple[str, ...]) -> Iterator[tuple[Stream, ArrayHeader]]:
    try:
        with zipfile.ZipFile(path) as zipped:
            key = next((k for k in keys if f"{k}.npy" in zipped.namelist()), None)
            if key is None:
                raise ValueError(f"no array named {' or '.join(keys)}; there are: {', '.join(zipped.namelist())}")
            with zipped.open(f"{key}.npy") as file:
                yield file, _header(file, key)
    except InvalidInput:
        raise
    except FAULTS as error:
        raise _damaged(path, error) from error


def _header(file: Stream, key: str) -> ArrayHeader:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy format {version}")
    shape, fortran_order, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("an array of Python objects, which is never opened because it can run code")
    if dtype.kind not in "fiu":
        raise ValueError(f"an array of {dtype}, not of numbers")
    return ArrayHeader(key, tuple(shape), dtype, bool(fortran_order))


def _damaged(path: Path, error: BaseException) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E305",
            file=path.name,
            found=f"{type(error).__name__}: {str(error)[:200]}",
            expected="a complete .npz file with the probabilities of one case",
            fix=f"rm {path.name} and predict this case again with nnUNetv2_predict --save_probabilities",
        )
    )
