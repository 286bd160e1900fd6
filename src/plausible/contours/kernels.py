"""What runs once per edge and pixel of an outline, compiled.

Import this module where it is needed, not before: it loads numba. Kernels run in one thread and release Python's lock.
"""

import math
from typing import Any

from numba import float64, njit, types, void

from plausible.core.compiled import compiled

POINTS = types.Array(float64, 2, "C", readonly=True)


@njit(inline="always")
def _add_piece(line: Any, left: float, right: float, height: float, n_columns: int) -> None:
    """Spread one row's piece of an edge over the columns it crosses."""
    if right < left:
        left, right = right, left
    first, last = math.floor(left), math.floor(right)
    width = right - left
    for column in range(first, last + 1):
        start, stop = max(left, float(column)), min(right, float(column + 1))
        part = height if first == last else height * (stop - start) / width
        beyond = column + 1 - 0.5 * (start + stop)  # share of the pixel to the right of the piece
        if 0 <= column < n_columns:
            line[column] += part * beyond
        if 0 <= column + 1 < n_columns:
            line[column + 1] += part * (1 - beyond)


@compiled(void(POINTS, float64[:, ::1]))
def add_outline(points: Any, share: Any) -> None:
    """Add a closed outline's signed crossings to the pixels it touches; pixel (a, b) covers [a, a + 1) × [b, b + 1).

    The running sum along the last axis is the signed area of every pixel inside the outline. Each edge is cut where it
    crosses from one pixel into the next, so that the area beside a piece is that of a trapezium.
    """
    n_rows, n_columns = share.shape
    for n in range(points.shape[0]):
        y0, x0 = points[n - 1, 0], points[n - 1, 1]
        y1, x1 = points[n, 0], points[n, 1]
        if y0 == y1:
            continue
        sign = 1.0 if y1 > y0 else -1.0
        if y1 < y0:
            y0, x0, y1, x1 = y1, x1, y0, x0
        slope = (x1 - x0) / (y1 - y0)
        for row in range(max(math.floor(y0), 0), min(math.ceil(y1), n_rows)):
            top, bottom = max(y0, float(row)), min(y1, float(row + 1))
            left, right = x0 + (top - y0) * slope, x0 + (bottom - y0) * slope
            _add_piece(share[row], left, right, sign * (bottom - top), n_columns)


@compiled(void(float64[:, ::1]))
def sum_rows(share: Any) -> None:
    """Turn crossings into covered shares from 0 to 1, whichever way the outline runs."""
    for row in range(share.shape[0]):
        covered = 0.0
        for column in range(share.shape[1]):
            covered += share[row, column]
            share[row, column] = min(abs(covered), 1.0)
            if share[row, column] < 1e-12:
                share[row, column] = 0.0
