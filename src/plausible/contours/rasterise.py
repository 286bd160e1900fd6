"""Contours onto a grid: the exact share of every voxel that lies inside a structure.

Area of the loops in the voxel's pixel, times the part of the voxel's height that their slab fills. A mask at a share of
one half has the structure's volume up to rounding; the shares add up to it.
"""

import numpy as np
from jaxtyping import Float32

from plausible.contours.coverage import PARTS, plane_coverage
from plausible.contours.planes import Planes, contour_planes, name_of
from plausible.core import Contours, Geometry

HALF = 0.5 - 1e-6
"""Share from which a voxel belongs to a structure: one half, up to the rounding of sums."""
FINE = 4
"""Parts a voxel is split into along each axis where contours lie across the grid's slices."""


def rasterise(
    contours: Contours, geometry: Geometry, *, drawn_on: Geometry | None = None
) -> Float32[np.ndarray, "i j k"]:
    """Share from 0 to 1 of each voxel inside a structure's contours.

    Exact where the contours are parallel to slices of the grid along any of its axes; otherwise each voxel is asked at
    4 × 4 × 4 points. What lies outside the grid is lost: compare `sum × voxel volume` with
    the volume of `contours_dvh`.

    Args:
        contours: of one structure.
        geometry: grid.
        drawn_on: grid they were drawn on, whose slices say how thick a plane is; `geometry` itself by default.

    Raises:
        InvalidInput: E701, loops that are not flat or not parallel.
    """
    planes = contour_planes(contours, geometry, drawn_on=drawn_on)
    if planes.axis is None:
        return _across(planes, contours, geometry)
    covered = np.zeros(geometry.shape, np.float64)
    layers = np.moveaxis(covered, planes.axis, 2)
    slice_mm = geometry.spacing_mm[planes.axis]
    for plane in planes.planes:
        low, high = plane.position_mm - plane.below_mm, plane.position_mm + plane.above_mm
        if high <= -slice_mm / 2 or low >= (layers.shape[2] - 0.5) * slice_mm:
            continue
        found = plane_coverage(plane, name=name_of(contours))
        window, part = _window(found.start, found.pixels, layers.shape)
        for k in range(max(round(low / slice_mm), 0), min(round(high / slice_mm) + 1, layers.shape[2])):
            height = min(high / slice_mm, k + 0.5) - max(low / slice_mm, k - 0.5)
            layers[(*window, k)] += part * max(height, 0.0)
    return np.minimum(covered, 1).astype(np.float32)


def _window(
    start: tuple[int, int], share: np.ndarray, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The window inside the grid, and its shares."""
    low = [max(s, 0) for s in start]
    high = [max(min(s + n, limit), edge) for s, n, limit, edge in zip(start, share.shape, shape, low, strict=False)]
    part = share[low[0] - start[0] : high[0] - start[0], low[1] - start[1] : high[1] - start[1]]
    return (slice(low[0], low[0] + part.shape[0]), slice(low[1], low[1] + part.shape[1])), part


def _across(planes: Planes, contours: Contours, geometry: Geometry) -> Float32[np.ndarray, "i j k"]:
    covered = np.zeros(geometry.shape, np.float32)
    matrix = (np.linalg.inv(planes.affine) @ geometry.affine)[:3]
    found = [plane_coverage(plane, name=name_of(contours)) for plane in planes.planes]
    steps = (np.indices((FINE,) * 3).reshape(3, -1).T + 0.5) / FINE - 0.5
    for i in range(geometry.shape[0]):
        layer = np.indices((1, *geometry.shape[1:])).reshape(3, -1).T + np.array([i, 0, 0])
        for step in steps:
            points = (layer + step) @ matrix[:, :3].T + matrix[:, 3]
            share = np.zeros(len(points))
            for plane, coverage in zip(planes.planes, found, strict=True):
                height = points[:, 2] - plane.position_mm
                inside = (height >= -plane.below_mm) & (height < plane.above_mm)
                share[inside] += _at(points[inside, :2], coverage.start, coverage.parts)
            covered[i] += (share / len(steps)).reshape(geometry.shape[1:]).astype(np.float32)
    return np.minimum(covered, 1)


def _at(points: np.ndarray, start: tuple[int, int], parts: np.ndarray) -> np.ndarray:
    """Share of the part that each point lies in."""
    place = np.floor((points + 0.5 - start) * PARTS).astype(int)
    inside = ((place >= 0) & (place < parts.shape)).all(axis=1)
    found = np.zeros(len(points))
    found[inside] = parts[tuple(place[inside].T)]
    return found
