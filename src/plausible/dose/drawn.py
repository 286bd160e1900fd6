"""The DVH of what most raters drew: contours of several members to one volume, below the size of a voxel.

A mask on the image's grid would not do beside the members' own DVHs, which are of their contours as they are drawn: a
structure of few voxels has another volume and another hot end then, even if all members agree.
"""

import math
from collections.abc import Sequence

import numpy as np

from plausible.contours import HALF, rasterise
from plausible.core import Box, Contours, Geometry
from plausible.dose.dvh import Dvh
from plausible.dose.interpolation import DoseField
from plausible.dose.structure import voxels_dvh

FINEST_MM = 0.25
"""Smallest edge of the voxels that are asked how many members hold them; small structures get it."""
MOST_VOXELS = 3_000_000
"""Of a large structure's box: its voxels are larger, and the image's own where the box has more of those."""


def majority_dvh(drawn: Sequence[Contours], field: DoseField, *, image: Geometry) -> Dvh:
    """DVH of the voxels of a fine grid that more than half of the members hold, as the label rule has it.

    Args:
        drawn: contours of one structure, of each member.
        field: the dose.
        image: grid they were drawn on.
    """
    grid = finer(image.cut(_box(drawn, image)))
    held = np.zeros(grid.shape, dtype=np.uint16)
    for contours in drawn:
        held += rasterise(contours, grid, drawn_on=image) >= HALF
    return voxels_dvh(np.argwhere(2 * held > len(drawn)), field, geometry=grid)


def finer(grid: Geometry) -> Geometry:
    """The same volume in smaller voxels."""
    edge = FINEST_MM
    while True:
        parts = [max(1, math.ceil(spacing / edge - 1e-6)) for spacing in grid.spacing_mm]
        shape = tuple(n * part for n, part in zip(grid.shape, parts, strict=True))
        if math.prod(shape) <= MOST_VOXELS or max(parts) == 1:
            break
        edge *= 1.25
    affine = grid.affine.copy()
    corner = grid.affine @ np.array([-0.5, -0.5, -0.5, 1.0])
    affine[:3, :3] = grid.affine[:3, :3] / parts
    affine[:3, 3] = corner[:3] + affine[:3, :3] @ np.array([0.5, 0.5, 0.5])
    return Geometry((shape[0], shape[1], shape[2]), affine)


def _box(drawn: Sequence[Contours], image: Geometry) -> Box:
    """Voxels of the image around all points; it may reach beyond the image, as contours do."""
    places = image.to_places(np.concatenate([loop.points_mm for one in drawn for loop in one.loops]))
    low, high = np.floor(places.min(axis=0)).astype(int) - 1, np.ceil(places.max(axis=0)).astype(int) + 2
    i, j, k = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return i, j, k
