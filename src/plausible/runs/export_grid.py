"""Results turned onto the axes of an image series: the same voxels, whatever the order and direction of the axes."""

from dataclasses import dataclass

import numpy as np

from plausible.core import Geometry, InvalidInput, Problem

MOST_MM, SHARE = 0.1, 0.1
"""Corners may differ by a tenth of a voxel's shortest edge, and by a tenth of a millimetre: headers round positions."""


@dataclass(frozen=True, slots=True)
class Axes:
    """How the axes of one grid become those of another.

    Attributes:
        order: for each new axis, the old one.
        flipped: new axes that run the other way.
    """

    order: tuple[int, int, int]
    flipped: tuple[int, ...]

    def turn(self, values: np.ndarray) -> np.ndarray:
        """Turn the last three axes of an array."""
        leading = values.ndim - 3
        turned = np.transpose(values, (*range(leading), *(leading + axis for axis in self.order)))
        return np.ascontiguousarray(np.flip(turned, tuple(leading + axis for axis in self.flipped)))

    def geometry(self, old: Geometry) -> Geometry:
        """Grid of the turned array."""
        affine = old.affine[:, [*self.order, 3]].copy()
        shape = tuple(old.shape[axis] for axis in self.order)
        for axis in self.flipped:
            affine[:, 3] += affine[:, axis] * (shape[axis] - 1)
            affine[:, axis] *= -1
        return Geometry((shape[0], shape[1], shape[2]), affine)


def axes_between(found: Geometry, wanted: Geometry) -> Axes:
    """Return how the axes of a grid turn into those of another, if both hold the same voxels.

    Raises:
        InvalidInput: E620, they do not.
    """
    turn = np.linalg.solve(wanted.affine[:3, :3], found.affine[:3, :3])
    nearest = np.abs(turn).argmax(axis=1)
    if sorted(nearest) != [0, 1, 2]:
        raise _different(found, wanted, "turned against each other")
    signs = turn[range(3), nearest]
    axes = Axes((int(nearest[0]), int(nearest[1]), int(nearest[2])), tuple(int(a) for a in np.flatnonzero(signs < 0)))
    turned = axes.geometry(found)
    if turned.shape != wanted.shape:
        raise _different(found, wanted, "of another number of voxels")
    apart = turned.corner_distance_mm(wanted)
    if apart > min(MOST_MM, SHARE * min(wanted.spacing_mm)):
        raise _different(found, wanted, f"apart by up to {apart:.3g} mm at the corners")
    return axes


def _different(found: Geometry, wanted: Geometry, how: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E620",
            found=f"results of {_told(found)}; series of {_told(wanted)}; {how}",
            expected="the same voxels, in any order and direction of the axes",
            fix="give the series that the image was converted from with --image-series; or resample the members to it",
        )
    )


def _told(geometry: Geometry) -> str:
    shape = "×".join(map(str, geometry.shape))
    return f"{shape} voxels of {'×'.join(f'{s:.4g}' for s in geometry.spacing_mm)} mm"
