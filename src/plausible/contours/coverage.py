"""Which share of each pixel of a plane lies inside a structure, exactly, and how the loops of a plane combine.

A loop's share is its signed area in the pixel, so keyholes (an outline that runs in to a hole and back along the same
way) need no rule of their own. Loops of one plane combine by what lies in what:

- a loop inside an odd number of others is a hole, inside an even number it adds;
- loops that overlap in part: CLOSED_PLANAR unites them, with a warning; CLOSEDPLANAR_XOR leaves out what both hold.

Exact but for pixels which the outlines of two partly overlapping loops both cross.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from plausible.contours.planes import Plane, warn_of

PARTS = 3
"""Pixels are split into this many parts along both axes."""
ON_THE_LINE = 0.05
"""Points of a loop closer than this to another's outline (pixels) say nothing about which lies in which."""
MEND = "mend the contours where they were drawn"
PROBES = 96
"""Points spread over a loop's outline that are asked."""


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Shares of the parts of a window of pixels.

    Attributes:
        start: first pixel of the window along both axes.
        parts: share from 0 to 1 of each part; three parts a pixel along both axes.
    """

    start: tuple[int, int]
    parts: Float64[np.ndarray, "a b"]

    @property
    def blocks(self) -> Float64[np.ndarray, "x y p"]:
        """The parts of each pixel."""
        x, y = (n // PARTS for n in self.parts.shape)
        return self.parts.reshape(x, PARTS, y, PARTS).swapaxes(1, 2).reshape(x, y, PARTS * PARTS)

    @property
    def pixels(self) -> Float64[np.ndarray, "x y"]:
        """Share of each pixel."""
        return self.blocks.mean(axis=2)


def plane_coverage(plane: Plane, *, name: str) -> Coverage:
    """Share of each pixel's parts that lies inside the loops of one plane, combined."""
    everything = np.concatenate(plane.pixels)
    start = np.floor(everything.min(axis=0) + 0.5).astype(int)
    size = np.floor(everything.max(axis=0) + 0.5).astype(int) - start + 1
    areas = [abs(_area(points)) for points in plane.pixels]
    order = sorted(range(len(areas)), key=lambda n: -areas[n])
    exclusive = any(loop.kind == "CLOSEDPLANAR_XOR" for loop in plane.loops)
    total = np.zeros(PARTS * size)
    where = f", {plane.position_mm:.2f} mm along the normal"
    for rank, n in enumerate(order):
        window, share = _loop_share((plane.pixels[n] + 0.5 - start) * PARTS, total.shape)
        relations = [relation(plane.pixels[n], plane.pixels[larger]) for larger in order[:rank]]
        total[window] = _combined(total[window], share, relations, exclusive=exclusive)
        if not exclusive and ("partly" in relations or "same" in relations):
            overlapping = "loops inside or beside each other; their union was taken"
            warn_of(name, f"two loops that overlap in part{where}", overlapping, MEND)
        if abs(share.sum() / PARTS**2 - areas[n]) > 0.01 * max(areas[n], 1e-3):
            warn_of(name, f"a loop that crosses itself{where}", "a simple outline; both lobes were counted", MEND)
    return Coverage((int(start[0]), int(start[1])), total)


Relation = Literal["inside", "outside", "partly", "same"]


def relation(smaller: Float64[np.ndarray, "n 2"], larger: Float64[np.ndarray, "m 2"]) -> Relation:
    """How a loop lies to a larger one."""
    if (smaller.min(axis=0) >= larger.max(axis=0)).any() or (smaller.max(axis=0) <= larger.min(axis=0)).any():
        return "outside"
    extent = float(np.ptp(smaller, axis=0).max())
    inside, on_line = _probe(_spread(smaller), larger, min(ON_THE_LINE, 0.02 * extent))
    asked = ~on_line
    if not asked.any():
        return "same" if abs(_area(smaller)) > 0.5 * abs(_area(larger)) else "inside"
    share = float(inside[asked].mean())
    return "inside" if share > 0.98 else "outside" if share < 0.02 else "partly"


def _combined(total: np.ndarray, share: np.ndarray, relations: list[Relation], *, exclusive: bool) -> np.ndarray:
    if exclusive and "same" in relations:
        return np.abs(total - share)
    if "partly" in relations or "same" in relations:
        return total + share - 2 * total * share if exclusive else np.maximum(total, share)
    hole = relations.count("inside") % 2
    return np.maximum(total - share, 0) if hole else np.minimum(total + share, 1)


def _loop_share(points: np.ndarray, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Window of a loop in an array of parts, and the shares in it."""
    from plausible.contours.kernels import add_outline, sum_rows

    low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, None)
    high = np.minimum(np.floor(points.max(axis=0)).astype(int) + 1, shape)
    share = np.zeros(np.maximum(high - low, 1))
    add_outline(np.ascontiguousarray(points - low), share)
    sum_rows(share)
    return (slice(low[0], low[0] + share.shape[0]), slice(low[1], low[1] + share.shape[1])), share


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def _spread(points: np.ndarray) -> np.ndarray:
    """Points at equal distances along a closed outline."""
    closed = np.vstack([points, points[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    asked = (np.arange(PROBES) + 0.5) / PROBES * along[-1]
    return np.stack([np.interp(asked, along, closed[:, axis]) for axis in range(2)], axis=1)


def _probe(probes: np.ndarray, outline: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether points lie inside an outline (even-odd), and whether they lie on it."""
    start, step = outline, np.roll(outline, -1, axis=0) - outline
    to = probes[:, None] - start
    above = (start[:, 1] > probes[:, None, 1]) != ((start + step)[:, 1] > probes[:, None, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = start[:, 0] + to[..., 1] * step[:, 0] / step[:, 1]
    inside = (above & (probes[:, None, 0] < crossing)).sum(axis=1) % 2 == 1
    length = np.maximum((step**2).sum(axis=1), 1e-30)
    nearest = np.clip((to * step).sum(axis=2) / length, 0, 1)
    distance = np.linalg.norm(to - nearest[..., None] * step, axis=2).min(axis=1)
    return inside, distance <= tolerance
