"""Outlines of a structure in every slice of an image, as closed loops in world coordinates.

What a planning system draws: the line of one probability, of the label rule, or around a mask. Slices are those of the
grid's last axis `k`; each loop stands for its slice from half a slice distance below to half a slice distance above.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from plausible.aggregate.tracing import (
    CORNERS_PX,
    OUTSIDE,
    PROBABILITY_FLOOR,
    TOLERANCE_PX,
    Level,
    field_contours,
    mask_contours,
    probability_contours,
    signed_area,
    simplify_keeping_area,
)
from plausible.core import Geometry, Loop

PARTS = 3
"""Each voxel edge is cut into so many: areas are within 1 % from 2 voxels of radius on, instead of from 6."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """The loops of one structure at one level.

    Attributes:
        loops: outer lines and lines around holes, in world coordinates; they run in opposite directions.
        n_holes: how many of them are holes.
        n_lost: parts too small to be left with three points.
        volume_ml: area of all slices times the slice distance.
        radius_px: radius, in voxels, of a circle as large as the largest slice; below 2, areas are a few percent off.
    """

    loops: tuple[Loop, ...]
    n_holes: int
    n_lost: int
    volume_ml: float
    radius_px: float

    @property
    def n_points(self) -> int:
        """Number of points of all loops."""
        return sum(len(loop.points_mm) for loop in self.loops)


def probability_outlines(
    probability: Float[np.ndarray, "i j k"], geometry: Geometry, levels: Sequence[Level], *, hard: bool
) -> tuple[Outlines, ...]:
    """Outlines of each level of a mean probability, or of a share of votes if members are hard."""
    slices = [probability_contours(plane, levels, hard=hard, parts=PARTS) for plane in _planes(probability)]
    missing = CORNERS_PX if hard else 0.0
    return tuple(_gathered([lines[n] for lines in slices], geometry, missing) for n in range(len(levels)))


def class_outlines(probabilities: Float[np.ndarray, "c i j k"], geometry: Geometry, *, channel: int) -> Outlines:
    """Outlines of where one of several exclusive classes is the most probable, between voxels too.

    Traced where log p of the class equals that of the most probable other one; with two classes this is p = 0.5.
    """
    slices = []
    for k in range(probabilities.shape[-1]):
        plane = np.maximum(probabilities[..., k], PROBABILITY_FLOOR)
        others = np.delete(plane, channel, axis=0).max(axis=0)
        slices.append(field_contours(np.log(plane[channel] / others), 0.0, outside=OUTSIDE, parts=PARTS))
    return _gathered(slices, geometry)


def mask_outlines(mask: Bool[np.ndarray, "i j k"], geometry: Geometry) -> Outlines:
    """Outlines of a mask with the area of its voxels, about halfway between the centres inside and outside."""
    return _gathered([mask_contours(plane) for plane in _planes(mask)], geometry, CORNERS_PX)


def _planes(values: np.ndarray) -> Iterator[np.ndarray]:
    return (np.ascontiguousarray(values[..., k]) for k in range(values.shape[-1]))


def _gathered(slices: Sequence[Sequence[np.ndarray]], geometry: Geometry, missing_px: float = 0.0) -> Outlines:
    """Simplify the lines of every slice (x is j, y is i, from the voxel's corner) and place them in the world."""
    loops, n_holes, n_lost, areas = list[Loop](), 0, 0, np.zeros(len(slices))
    for k, lines in enumerate(slices):
        for line in lines:
            points = simplify_keeping_area(line, tolerance=TOLERANCE_PX, missing_px=missing_px)
            if not len(points):
                n_lost += 1
                continue
            area = signed_area(points)
            areas[k] += area
            n_holes += area < 0
            voxels = np.column_stack([points[:, ::-1] - 0.5, np.full(len(points), float(k))])
            loops.append(Loop(geometry.to_world_mm(voxels)))
    largest = max(float(areas.max(initial=0.0)), 0.0)
    volume_ml = float(areas.sum()) * geometry.voxel_volume_ml
    return Outlines(tuple(loops), n_holes, n_lost, volume_ml, (largest / np.pi) ** 0.5)
