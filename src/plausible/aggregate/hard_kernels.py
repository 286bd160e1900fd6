"""Hard decisions, compiled: one pass over the probabilities of a member, in runs that stay in the nearest cache.

Import this module where it is needed, not before: it loads numba. Members come flat, as `plausible.measure.layout`
views them: channel c starts at c · stride. Kernels run in one thread and release Python's lock.
"""

from typing import Any

import numpy as np
from numba import boolean, float32, float64, int64, njit, types, uint8, uint16, void

from plausible.core.compiled import compiled

RUN = 256
FLAT = types.Array(float32, 1, "C", readonly=True)


@njit(inline="always")
def most_probable(p: Any, stride: int, n_channels: int, start: int, best: Any, label: Any) -> None:
    """Write highest probability and place of it for the voxels from `start`; the first of equals wins."""
    best[:] = p[start : start + best.size]
    label[:] = 0
    for c in range(1, n_channels):
        values = p[c * stride + start : c * stride + start + best.size]
        for v in range(best.size):
            higher = values[v] > best[v]
            best[v] = values[v] if higher else best[v]
            label[v] = c if higher else label[v]


@compiled(*(void(FLAT, int64, int64, kind[::1]) for kind in (uint8, uint16)))
def write_labels(p: Any, stride: int, n_channels: int, labels: Any) -> None:
    """Write the most probable class of every voxel."""
    best, label = np.empty(RUN, np.float32), np.empty(RUN, np.int32)
    for start in range(0, labels.size, RUN):
        n = min(RUN, labels.size - start)
        most_probable(p, stride, n_channels, start, best[:n], label[:n])
        for v in range(n):
            labels[start + v] = label[v]


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def total(values: Any) -> Any:
    """Sum in float64, several partial sums at a time."""
    found = 0.0
    for v in range(values.size):
        found += np.float64(values[v])
    return found


@compiled(void(FLAT, int64, float64[::1]))
def add_channels(p: Any, stride: int, sums: Any) -> None:
    """Add up each channel."""
    n = p.size - (sums.size - 1) * stride
    for c in range(sums.size):
        sums[c] += total(p[c * stride : c * stride + n])


@compiled(*(void(kind[::1], uint8[:, ::1]) for kind in (uint8, uint16)))
def pack_labels(labels: Any, bits: Any) -> None:
    """Write one bit per voxel and structure (label 1 first) as `np.packbits` does, into zeros."""
    n_structures = bits.shape[0]
    for v in range(labels.size):
        label = np.int64(labels[v])
        if 0 < label <= n_structures:
            bits[label - 1, v >> 3] |= np.uint8(128 >> (v & 7))


@njit(inline="always")
def _stretch(boxes: Any, s: int, i: int, j: int, k: int) -> None:
    for axis, place in enumerate((i, j, k)):
        boxes[s, 0, axis] = min(boxes[s, 0, axis], place)
        boxes[s, 1, axis] = max(boxes[s, 1, axis], place + 1)


@compiled(*(void(kind[:, :, ::1], boolean, int64[:, :, ::1]) for kind in (uint8, uint16)))
def write_boxes(values: Any, by_bit: bool, boxes: Any) -> None:
    """Stretch the box (from, up to; along i, j, k) of every label above 0, or of every bit of the values."""
    n_i, n_j, n_k = values.shape
    for i in range(n_i):
        for j in range(n_j):
            for k in range(n_k):
                value = np.int64(values[i, j, k])
                if value == 0:
                    continue
                if not by_bit:
                    _stretch(boxes, value - 1, i, j, k)
                    continue
                for bit in range(boxes.shape[0]):
                    if value >> bit & 1:
                        _stretch(boxes, bit, i, j, k)
