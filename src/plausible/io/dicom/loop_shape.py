"""Areas of one loop in its plane: signed, even-odd, and the part inside a rectangle."""

import numpy as np
from jaxtyping import Float, Float64

N_LINES = 64
"""Lines across a loop on which signed and even-odd length are compared; both are exact on each line."""


def signed_area(points: Float[np.ndarray, "n 2"]) -> float:
    """Area by the trapezoid rule, positive counter-clockwise; 0 for fewer than three points."""
    x, y = points[:, 0], points[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def crosses_itself_by(points: Float[np.ndarray, "n 2"]) -> float:
    """Share by which signed and even-odd area differ: 0 for a simple loop or a keyhole, 1 for a figure of eight.

    Both areas are integrated over the same lines across the loop, so that a loop that does not cross itself gives
    exactly 0 whatever its shape.
    """
    lengths = _lengths_on_lines(points)
    signed, even_odd = abs(float(lengths[0].sum())), float(lengths[1].sum())
    larger = max(signed, even_odd)
    return abs(signed - even_odd) / larger if larger > 0 else 0.0


def _lengths_on_lines(points: Float[np.ndarray, "n 2"]) -> Float64[np.ndarray, "2 lines"]:
    """Signed and even-odd length of the inside on each line."""
    low, high = points[:, 1].min(), points[:, 1].max()
    lines = low + (np.arange(N_LINES) + 0.5) * (high - low) / N_LINES
    x0, y0 = points[:, 0], points[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    line, edge = np.nonzero((y0 <= lines[:, None]) != (y1 <= lines[:, None]))
    at = x0[edge] + (lines[line] - y0[edge]) / (y1[edge] - y0[edge]) * (x1[edge] - x0[edge])
    upwards = np.where(y1[edge] > y0[edge], 1.0, -1.0)
    signed = np.bincount(line, weights=at * upwards, minlength=N_LINES)
    order = np.lexsort((at, line))
    turn = np.arange(len(order)) % 2 * 2.0 - 1  # every line has an even number of crossings
    even_odd = np.bincount(line[order], weights=at[order] * turn, minlength=N_LINES)
    return np.stack([signed, even_odd])


def area_inside(points: Float[np.ndarray, "n 2"], low: tuple[float, float], high: tuple[float, float]) -> float:
    """Area of the part of a loop that lies in a rectangle (clipped at each side, Sutherland and Hodgman 1974)."""
    clipped = points
    for axis in (0, 1):
        for bound, sign in ((low[axis], 1.0), (high[axis], -1.0)):
            clipped = _clipped(clipped, axis, bound, sign)
    return abs(signed_area(clipped))


def _clipped(points: np.ndarray, axis: int, bound: float, sign: float) -> np.ndarray:
    """Points of a loop on one side of a line, with the points where it crosses."""
    depth = sign * (points[:, axis] - bound)
    if len(points) == 0 or depth.min() >= 0:
        return points
    following, next_depth = np.roll(points, -1, axis=0), np.roll(depth, -1)
    kept = list[np.ndarray]()
    for point, after, d, e in zip(points, following, depth, next_depth, strict=True):
        if d >= 0:
            kept.append(point)
        if (d >= 0) != (e >= 0):
            kept.append(point + (after - point) * (d / (d - e)))
    return np.array(kept).reshape(-1, 2)
