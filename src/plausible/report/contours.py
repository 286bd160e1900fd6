"""Contours of equal probability as SVG paths, traced on log-odds so that small structures keep their size.

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

PROBABILITY_FLOOR = 1 / 131070
TOLERANCE_PX = 0.1
"""Points that lie closer than this to the line between their neighbours are left out."""


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


def probability_contours(
    probability: Float[np.ndarray, "rows columns"], levels: Sequence[Level], *, hard: bool = False
) -> list[list[Float[np.ndarray, "_ 2"]]]:
    """Closed lines of each level, as x, y in voxels from the slice's top left corner; outermost level first.

    Args:
        probability: one structure in one slice.
        levels: what to trace, lowest first.
        hard: trace masks instead of interpolating, because the values are shares of votes.
    """
    box = _box(probability >= min(level.threshold for level in levels))
    if box is None:
        return [[] for _ in levels]
    rows, columns = box
    part = np.clip(probability[rows, columns].astype(np.float64), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    offset = np.array([columns.start - 0.5, rows.start - 0.5])
    if hard:
        return [_lines((part >= level.threshold).astype(float), 0.5, outside=0.0, offset=offset) for level in levels]
    field = np.log(part / (1 - part))
    return [
        _lines(field, math.log(t / (1 - t)), outside=float(_log_odds(PROBABILITY_FLOOR)), offset=offset)
        for t in (level.threshold for level in levels)
    ]


def mask_contours(mask: Bool[np.ndarray, "rows columns"]) -> list[Float[np.ndarray, "_ 2"]]:
    """Closed lines around a mask, halfway between the centres of voxels inside and outside."""
    return probability_contours(mask.astype(np.float32), (Level("p50", "reference", 0.5),), hard=True)[0]


def svg_path(lines: Sequence[Float[np.ndarray, "_ 2"]], *, precision: int) -> str:
    """SVG path of closed lines in whole steps of 1/precision voxel, each point relative to the one before."""
    return "".join(_closed(simplify(line, tolerance=TOLERANCE_PX), precision) for line in lines)


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


def _lines(
    field: Float[np.ndarray, "rows columns"], level: float, *, outside: float, offset: Float[np.ndarray, "2"]
) -> list[Float[np.ndarray, "_ 2"]]:
    padded = np.pad(field, 1, constant_values=outside)
    return [np.asarray(line) + offset for line in contour_generator(z=padded).lines(level)]


def _box(inside: Bool[np.ndarray, "rows columns"]) -> tuple[slice, slice] | None:
    """Rows and columns that hold the mask and one voxel around it."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    height, width = inside.shape
    return (
        slice(max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 2, height)),
        slice(max(int(columns[0]) - 1, 0), min(int(columns[-1]) + 2, width)),
    )


def _distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    chord, away = end - start, points - start
    length = float(np.hypot(*chord))
    if length == 0:
        return np.asarray(np.hypot(away[:, 0], away[:, 1]))
    return np.asarray(np.abs(chord[0] * away[:, 1] - chord[1] * away[:, 0]) / length)


def _closed(line: np.ndarray, precision: int) -> str:
    steps = np.rint(line * precision).astype(int)
    moves = np.diff(steps[:-1], axis=0) if (steps[0] == steps[-1]).all() else np.diff(steps, axis=0)
    moves = moves[np.any(moves != 0, axis=1)]
    if len(moves) < 2:
        return ""
    return f"M{steps[0, 0]} {steps[0, 1]}l" + " ".join(f"{x} {y}" for x, y in moves) + "z"


def _log_odds(p: float) -> float:
    return math.log(p / (1 - p))
