"""The same voxels with their axes in another order or direction: what converters of one series disagree about."""

from dataclasses import dataclass

import numpy as np

from plausible.core.geometry import Geometry
from plausible.core.problems import InvalidInput, Problem

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


def axes_between(found: Geometry, wanted: Geometry, *, this: str = "results", that: str = "series") -> Axes:
    """Return how the axes of a grid turn into those of another, if both hold the same voxels.

    Args:
        found: a grid.
        wanted: the other.
        this: what the first is of, for the message.
        that: what the other is of.

    Raises:
        InvalidInput: E620, they do not.
    """
    told = f"{this} of {_told(found)}; {that} of {_told(wanted)}"
    turn = np.linalg.solve(wanted.affine[:3, :3], found.affine[:3, :3])
    nearest = np.abs(turn).argmax(axis=1)
    if sorted(nearest) != [0, 1, 2]:
        raise _different(told, "turned against each other")
    signs = turn[range(3), nearest]
    axes = Axes((int(nearest[0]), int(nearest[1]), int(nearest[2])), tuple(int(a) for a in np.flatnonzero(signs < 0)))
    turned = axes.geometry(found)
    if turned.shape != wanted.shape:
        raise _different(told, "of another number of voxels")
    apart = turned.corner_distance_mm(wanted)
    if apart > min(MOST_MM, SHARE * min(wanted.spacing_mm)):
        raise _different(told, f"apart by up to {apart:.3g} mm at the corners")
    return axes


def _different(told: str, how: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E620",
            found=f"{told}; {how}",
            expected="the same voxels, in any order and direction of the axes",
            fix="give the series that the image was converted from (export: --image-series), or resample the members",
        )
    )


def _told(geometry: Geometry) -> str:
    shape = "×".join(map(str, geometry.shape))
    return f"{shape} voxels of {'×'.join(f'{s:.4g}' for s in geometry.spacing_mm)} mm"
