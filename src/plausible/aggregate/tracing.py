"""Lines of equal probability, traced on log-odds so that small structures keep their size.

Linear interpolation of p pushes the 5 % contour out and the 95 % contour in; log(p / (1 - p)) is nearly straight across
a soft edge. Shares of votes of hard members have no meaning between their steps: there the mask "at least so many
members" is traced, and named any, half, all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from jaxtyping import Bool, Float
from scipy.ndimage import zoom

PROBABILITY_FLOOR = 1 / 131070
"""Half a step of a map stored as uint16: log-odds of smaller probabilities are unknown."""
TOLERANCE_PX = 0.1
"""Points that lie closer than this to the line between their neighbours are left out."""
CUBIC_MARGIN = 4
"""Voxels around what is traced that a cubic interpolation is told of: farther ones change it by less than 1 %."""
CORNERS_PX = 0.5
"""Area that a line around a mask lacks: each corner cuts off or adds an eighth of a voxel, and four more cut off."""
SHARPEST = 0.2
"""Corners are moved by at most 1 / this times what edges are."""


@dataclass(frozen=True, slots=True)
class Level:
    """One contour of a band: its name on the page, its line style (key), and the probability or share it stands for."""

    key: str  # "p05", "p50" or "p95": dotted, solid, dashed
    label: str
    threshold: float


SOFT_LEVELS = (Level("p05", "5 %", 0.05), Level("p50", "50 %", 0.5), Level("p95", "95 %", 0.95))


def levels_of(*, hard: bool, n_members: int) -> tuple[Level, ...]:
    """Levels to trace: 5, 50 and 95 %, or any, half and all of hard members."""
    if not hard:
        return SOFT_LEVELS
    half = math.ceil(n_members / 2)
    names = (("p05", "any member", 1), ("p50", "at least half", half), ("p95", "all members", n_members))
    return tuple(Level(key, label, (count - 0.5) / n_members) for key, label, count in names)


def log_odds(probability: Float[np.ndarray, "*axes"]) -> Float[np.ndarray, "*axes"]:
    """log(p / (1 - p)) in float64, with p kept half a step of uint16 away from 0 and 1."""
    part = np.clip(probability.astype(np.float64), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return np.log(part / (1 - part))


OUTSIDE = math.log(PROBABILITY_FLOOR / (1 - PROBABILITY_FLOOR))
"""Log-odds beyond the border of the image."""


def probability_contours(
    probability: Float[np.ndarray, "rows columns"], levels: Sequence[Level], *, hard: bool = False, parts: int = 1
) -> list[list[Float[np.ndarray, "_ 2"]]]:
    """Closed lines of each level, as x, y in voxels from the slice's top left corner; outermost level first.

    Args:
        probability: one structure in one slice.
        levels: what to trace, lowest first.
        hard: trace masks instead of interpolating, because the values are shares of votes.
        parts: cut each voxel edge into so many, with cubic log-odds between them: lines through few voxels get round.
    """
    box = _box(probability >= min(level.threshold for level in levels), margin=1 if parts == 1 else CUBIC_MARGIN)
    if box is None:
        return [[] for _ in levels]
    part = probability[box]
    corner = np.array([box[1].start, box[0].start], dtype=np.float64)
    if hard:
        masks = [(part >= level.threshold).astype(np.float64) for level in levels]
        return [[line + corner for line in _lines(mask, [0.5], outside=0.0)[0]] for mask in masks]
    field = log_odds(part)
    thresholds = [math.log(level.threshold / (1 - level.threshold)) for level in levels]
    return [[line + corner for line in found] for found in _lines(field, thresholds, outside=OUTSIDE, parts=parts)]


def field_contours(
    field: Float[np.ndarray, "rows columns"], threshold: float, *, outside: float, parts: int = 1
) -> list[Float[np.ndarray, "_ 2"]]:
    """Closed lines around the part of a slice where a field reaches a threshold, as x, y in voxels from its corner.

    Args:
        field: any quantity that is about linear from one voxel to the next.
        threshold: value on the lines.
        outside: value beyond the border of the image; below the threshold, so that lines close there.
        parts: cut each voxel edge into so many, with a cubic field between them.
    """
    box = _box(field >= threshold, margin=1 if parts == 1 else CUBIC_MARGIN)
    if box is None:
        return []
    corner = np.array([box[1].start, box[0].start], dtype=np.float64)
    (lines,) = _lines(field[box].astype(np.float64), [threshold], outside=outside, parts=parts)
    return [line + corner for line in lines]


def mask_contours(mask: Bool[np.ndarray, "rows columns"]) -> list[Float[np.ndarray, "_ 2"]]:
    """Closed lines around a mask, halfway between the centres of voxels inside and outside."""
    return field_contours(mask.astype(np.float64), 0.5, outside=0.0)


def signed_area(line: Float[np.ndarray, "n 2"]) -> float:
    """Area inside a closed line: above 0 around what a contour holds, below 0 around a hole (shoelace formula)."""
    x, y = (line - line[0]).T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def simplify(line: Float[np.ndarray, "n 2"], *, tolerance: float) -> Float[np.ndarray, "k 2"]:
    """Leave out points closer than a tolerance to the line that remains (Douglas and Peucker 1973)."""
    keep = np.zeros(len(line), dtype=bool)
    keep[[0, -1]] = True
    open_spans = [(0, len(line) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        away = _distance(line[first + 1 : last], line[first], line[last])
        farthest = int(np.argmax(away))
        if away[farthest] > tolerance:
            middle = first + 1 + farthest
            keep[middle] = True
            open_spans += [(first, middle), (middle, last)]
    return line[keep]


def simplify_keeping_area(
    line: Float[np.ndarray, "n 2"], *, tolerance: float, missing_px: float = 0.0
) -> Float[np.ndarray, "k 2"]:
    """Simplify a closed line, then move its edges by the one distance that gives it back its area.

    Leaving points out cuts bulges off, which makes round structures smaller by up to 1 % at 10 voxels of radius.

    Args:
        line: closed; the first point stands at the end again.
        tolerance: how far a point that is left out may lie from the line that remains.
        missing_px: area that the line itself lacks, see `CORNERS_PX`; of a hole it is what the hole lacks.

    Returns:
        Points without the repeated first one; none if less than a triangle remains.
    """
    kept = simplify(line, tolerance=tolerance)[:-1]
    if len(kept) < 3:
        return kept[:0]
    area = signed_area(line[:-1])
    target = area + math.copysign(missing_px, area)
    for _ in range(2):  # the first step is exact but for the corners
        edges = np.roll(kept, -1, axis=0) - kept
        lengths = np.hypot(*edges.T)
        normals = np.column_stack([edges[:, 1], -edges[:, 0]]) / lengths[:, None]
        before = np.roll(normals, 1, axis=0)
        stretch = np.maximum(1 + np.sum(normals * before, axis=1), SHARPEST)
        kept = kept + (normals + before) / stretch[:, None] * (target - signed_area(kept)) / lengths.sum()
    return kept


def _lines(
    field: Float[np.ndarray, "rows columns"], thresholds: Sequence[float], *, outside: float, parts: int = 1
) -> list[list[np.ndarray]]:
    """Lines in voxels from the corner of the field; one voxel of the outside value around it closes them."""
    padded = np.pad(field, 1, constant_values=outside)
    if parts > 1:
        padded = _finer(padded, parts)
    traced = contour_generator(z=padded)
    return [[np.asarray(line) / parts - 0.5 for line in traced.lines(one)] for one in thresholds]


def _finer(field: Float[np.ndarray, "rows columns"], parts: int) -> np.ndarray:
    """Cut each voxel edge into parts by a cubic spline that stays between the values of the voxels around.

    Without that limit splines swing beside steep edges, and make islands where no voxel reaches the level.
    """
    finer = zoom(field, [((n - 1) * parts + 1) / n for n in field.shape], order=3, mode="nearest")
    rows, columns = (np.arange(n) for n in finer.shape)
    around = [
        field[np.ix_(r, c)]
        for r in (rows // parts, -(-rows // parts))
        for c in (columns // parts, -(-columns // parts))
    ]
    return np.clip(finer, np.minimum.reduce(around), np.maximum.reduce(around))


def _box(inside: Bool[np.ndarray, "rows columns"], *, margin: int) -> tuple[slice, slice] | None:
    """Rows and columns that hold the mask and a margin around it."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    height, width = inside.shape
    return (
        slice(max(int(rows[0]) - margin, 0), min(int(rows[-1]) + margin + 1, height)),
        slice(max(int(columns[0]) - margin, 0), min(int(columns[-1]) + margin + 1, width)),
    )


def _distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    chord, away = end - start, points - start
    length = float(np.hypot(*chord))
    if length == 0:
        return np.asarray(np.hypot(away[:, 0], away[:, 1]))
    return np.asarray(np.abs(chord[0] * away[:, 1] - chord[1] * away[:, 0]) / length)
