"""How voxels lie in memory: what the compiled kernels take, whatever larger array a member was cut from.

Channels come first; voxels follow in the memory order of the first member, so that arrays in Fortran order, as NIfTI
files give them, are read in place too.
"""

from typing import TypeAlias

import numpy as np

Order: TypeAlias = tuple[int, ...]
"""Axes from the slowest to the fastest in memory, channels first."""


def memory_order(array: np.ndarray) -> Order:
    """Return the order of the axes of `c i j k` in memory."""
    return (0, *sorted((1, 2, 3), key=lambda axis: -abs(array.strides[axis])))


def zeros_in(order: Order, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Zeros of this shape, lying in this order without gaps."""
    zeros: np.ndarray = np.zeros([shape[axis] for axis in order], dtype=dtype)
    return zeros.transpose(np.argsort(order))


def rows(array: np.ndarray, order: Order) -> np.ndarray:
    """Channels by voxels in this order, in the memory of the array, so that it can be written to.

    Raises:
        ValueError: the array lies in another order or has gaps.
    """
    turned = array.transpose(order)
    if not turned.flags.c_contiguous:
        raise ValueError("this statistic is a part of a larger array or lies in another order: pool copies of it")
    return turned.reshape(len(array), -1)


def channels(p: np.ndarray, order: Order) -> tuple[np.ndarray, int]:
    """One flat view over all channels in this order, and the distance from one channel to the next.

    A slab of a larger array is viewed in place; what lies otherwise is copied.
    """
    turned = p.transpose(order)
    if not _viewable(turned):
        turned = np.ascontiguousarray(turned, dtype=np.float32)
    n = turned[0].size
    stride = turned.strides[0] // turned.itemsize if len(turned) > 1 else n
    return np.lib.stride_tricks.as_strided(turned, shape=((len(turned) - 1) * stride + n,), strides=(4,)), stride


def _viewable(turned: np.ndarray) -> bool:
    inner = turned[0]
    apart = len(turned) == 1 or turned.strides[0] >= inner.nbytes
    return bool(turned.dtype == np.float32 and turned.flags.aligned and inner.flags.c_contiguous and apart)
