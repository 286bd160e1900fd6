"""The DVH of one structure, from what is known of it: its contours, or a mask.

- **Contours**: exact area of the loops in every pixel of a slab. Full pixels are one cell each, pixels at the edge are
  split 3 × 3, each part shrunk to its covered area; the dose is linear in a cell.
- **A mask**: dose at voxel centres, midpoint rule. A mask says no more than which voxels, so it is never smoothed.

The dose is asked at points of the structure, never the structure laid onto the dose grid.
Source: unpublished; compared with the closed forms of Nelms et al. 2015, doi:10.1118/1.4923175.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64

from plausible.contours.coverage import PARTS, Coverage, plane_coverage
from plausible.contours.planes import Plane, Planes, contour_planes, name_of
from plausible.core import Contours, Dose, Geometry
from plausible.dose.dvh import Dvh, dvh_of_cells, dvh_of_samples
from plausible.dose.interpolation import DoseField, Interpolation

Between: TypeAlias = Literal["slab", "linear"]

LAYERS = 6
"""Layers between two planes if shares change evenly from one to the other."""


def contours_dvh(
    contours: Contours,
    dose: Dose,
    *,
    image: Geometry,
    interpolation: Interpolation = "linear",
    between: Between = "slab",
) -> Dvh:
    """DVH of the volume inside a structure's contours.

    Args:
        contours: loops in parallel planes; see `contour_planes` for slabs and gaps, `plane_coverage` for holes.
        dose: on any grid.
        image: the grid the contours were drawn on; gives pixels and the thickness of a slice, not the region.
        interpolation: of the dose.
        between: "slab": a plane stands for all that is nearer to it than to its neighbours. "linear": from plane to
            plane each pixel's share changes evenly; same volume, less steps where the outline changes fast.

    Raises:
        InvalidInput: E701, loops that are not flat or not parallel.
        ValueError: another interpolation or way between planes.
    """
    if between not in ("slab", "linear"):
        raise ValueError(f'between is "slab" or "linear", not {between!r}')
    field = DoseField.of(dose, interpolation=interpolation)
    step = min(dose.geometry.spacing_mm)
    planes = contour_planes(contours, image, finer=(step, step))
    matrix = field.from_frame(planes.affine)
    found = [_plane_dose(field, matrix, cells, planes) for cells in _cells(planes, contours, step, between)]
    doses, half_widths, volumes, outside = (
        (list(part) for part in zip(*found, strict=True)) if found else ([], [], [], [])
    )
    u, v = planes.pixel_mm
    cell_ml = u * v * max((plane.thickness_mm for plane in planes.planes), default=0.0) / 1000
    return dvh_of_cells(
        _joined(doses),
        _joined(half_widths),
        _joined(volumes),
        outside_ml=float(sum(outside)),
        cell_ml=cell_ml,
        method=f"contours, exact area, {between} between planes, linear in cells; dose {interpolation}",
    )


def mask_dvh(
    mask: Bool[np.ndarray, "i j k"], dose: Dose, *, geometry: Geometry, interpolation: Interpolation = "linear"
) -> Dvh:
    """DVH of the voxels of a mask: dose at their centres, midpoint rule."""
    return voxels_dvh(np.argwhere(mask), DoseField.of(dose, interpolation=interpolation), geometry=geometry)


def voxels_dvh(voxels: np.ndarray, field: DoseField, *, geometry: Geometry) -> Dvh:
    """DVH of voxels by their places `n 3` on a grid."""
    matrix = field.from_frame(geometry.affine)
    points = voxels @ matrix[:, :3].T + matrix[:, 3]
    inside = field.inside(points)
    voxel = geometry.voxel_volume_ml
    return dvh_of_samples(
        field.at(points[inside]),
        np.full(int(inside.sum()), voxel),
        outside_ml=float((~inside).sum()) * voxel,
        cell_ml=voxel,
        method=f"mask, voxel centres, midpoint rule; dose {field.interpolation}",
    )


def _cells(
    planes: Planes, contours: Contours, step_mm: float, between: Between
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Centres, sizes, in-plane scales and shares of the cells of one plane after the other."""
    name = name_of(contours)
    for plane in planes.planes:
        centres, sizes, scales = _flat_cells(plane_coverage(plane, name=name))
        heights, thick, shares = (np.repeat(part, len(centres)) for part in _layers(plane, step_mm, between))
        parts = len(heights) // max(len(centres), 1)
        yield (
            np.column_stack([np.tile(centres, (parts, 1)), heights]),
            np.column_stack([np.tile(sizes, (parts, 2)), thick]),
            np.tile(scales, parts),
            shares,
        )


def _layers(plane: Plane, step_mm: float, between: Between) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middle, thickness and share of the layers that a plane's slab is split into along the normal."""
    if between == "slab":
        parts = max(1, round(plane.thickness_mm / step_mm))
        height = plane.thickness_mm / parts
        middle = plane.position_mm - plane.below_mm + (np.arange(parts) + 0.5) * height
        return middle, np.full(parts, height), np.ones(parts)
    sides = []
    for sign, half, meets in ((-1, plane.below_mm, plane.joined[0]), (1, plane.above_mm, plane.joined[1])):
        reach = 2 * half if meets else half  # the share falls to 0 at the neighbouring plane
        parts = max(LAYERS if meets else 1, round(reach / step_mm))
        place = (np.arange(parts) + 0.5) / parts
        share = 1 - place if meets else np.ones(parts)
        sides.append((plane.position_mm + sign * reach * place, np.full(parts, reach / parts), share))
    middles, heights, parted = (np.concatenate(part) for part in zip(*sides, strict=True))
    return middles, heights, parted


def _flat_cells(coverage: Coverage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (pixels), sizes (pixels) and scales of a plane's full pixels and of the parts of those at the edge."""
    blocks = coverage.blocks
    full = blocks.min(axis=2) > 1 - 1e-9
    edge = np.where(full[..., None], 0.0, blocks)
    x, y, part = np.nonzero(edge)
    inner = np.argwhere(full).astype(np.float64)
    outer = np.column_stack([x + (part // PARTS - 1) / PARTS, y + (part % PARTS - 1) / PARTS])
    centres = np.concatenate([inner, outer]) + coverage.start
    sizes = np.concatenate([np.ones(len(inner)), np.full(len(outer), 1 / PARTS)])[:, None]
    return centres, sizes, np.concatenate([np.ones(len(inner)), np.sqrt(edge[x, y, part])])


def _plane_dose(
    field: DoseField, matrix: np.ndarray, cells: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], planes: Planes
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Dose, half width and volume of the cells inside the dose grid, and the volume outside it."""
    centres, sizes, scales, shares = cells
    u, v = planes.pixel_mm
    volumes = sizes.prod(axis=1) * scales**2 * shares * (u * v / 1000)
    inside = field.inside(centres @ matrix[:, :3].T + matrix[:, 3])
    doses, half_widths = field.in_cells(matrix, centres[inside], scales[inside], np.ascontiguousarray(sizes[inside]))
    return doses, half_widths, volumes[inside], float(volumes[~inside].sum())


def _joined(parts: list[np.ndarray]) -> Float64[np.ndarray, " n"]:
    return np.concatenate(parts) if parts else np.zeros(0)
