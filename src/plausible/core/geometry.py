"""Where voxels are: the grid of an image, and the one check that two grids are the same.

Axes are NIfTI's voxel axes `i j k`; the affine maps them to world coordinates in mm (RAS+).
"""

from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Num

from plausible.core.problems import InvalidInput, Problem

Box: TypeAlias = tuple[slice, slice, slice]
"""Part of a grid: voxels along i, j, k."""

TOLERANCE_MM = 1e-2
"""Corners of two grids may differ by this much (mm): headers store float32, tools round on the way."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """The grid of an image: its shape in voxels and the affine from voxel to world coordinates in mm.

    Raises:
        InvalidInput: E204, an affine that is not finite, has a zero spacing, or is sheared.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        fault = _fault(self.shape, affine)
        if fault:
            raise InvalidInput(
                Problem(
                    code="E204",
                    found=fault,
                    expected="a 3-D grid with a finite affine, spacing above 0 and orthogonal axes",
                    fix="export the image again from its source, or correct its header with your converter",
                )
            )

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along i, j, k in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in ml."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    @property
    def axial_axis(self) -> int:
        """Voxel axis (0, 1 or 2) that runs closest to foot-head, along which axial slices are counted."""
        direction = np.abs(self.affine[:3, :3]) / np.asarray(self.spacing_mm)
        return int(np.argmax(direction[2]))

    @property
    def bounds_mm(self) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
        """Smallest and largest world coordinates of the outer corners of its voxels."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        corners = self.to_world_mm(np.array(list(product(*ends))))
        return corners.min(axis=0), corners.max(axis=0)

    def slab(self, start: int, stop: int, *, axis: int) -> "Geometry":
        """Return the grid of the voxels from `start` up to but without `stop` along an axis."""
        shape = list(self.shape)
        shape[axis] = stop - start
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, axis] * start
        return Geometry((shape[0], shape[1], shape[2]), affine)

    def cut(self, box: Box) -> "Geometry":
        """Return the grid of the voxels in a box."""
        found = self
        for axis, side in enumerate(box):
            found = found.slab(side.start, side.stop, axis=axis)
        return found

    def to_world_mm(self, places: Num[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
        """World coordinates in mm of places counted in voxels; whole numbers are voxel centres."""
        return np.asarray(places @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_places(self, points_mm: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
        """Places counted in voxels of world coordinates in mm."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(points_mm @ inverse[:3, :3].T + inverse[:3, 3])

    def corner_distance_mm(self, other: "Geometry") -> float:
        """Largest distance in mm between the same corner of two grids of one shape."""
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        corners = np.vstack([corners, np.ones(8)])
        apart = (self.affine - other.affine) @ corners
        return float(np.linalg.norm(apart[:3], axis=0).max())

    def matches(self, other: "Geometry") -> bool:
        """Whether two grids have one shape and corners within a hundredth of a millimetre."""
        return self.shape == other.shape and self.corner_distance_mm(other) <= TOLERANCE_MM

    def check_matches(self, other: "Geometry", *, this: str, that: str, subject: str = "", file: str = "") -> None:
        """Refuse two different grids, saying which, and by how much they differ.

        Raises:
            InvalidInput: E202 if the shapes differ, E201 if the affines do.
        """
        if self.shape != other.shape:
            raise InvalidInput(
                Problem(
                    code="E202",
                    subject=subject,
                    file=file,
                    found=f"{this} has {_times(self.shape)} voxels, {that} has {_times(other.shape)}",
                    expected="the same grid",
                    fix=f"export {this} on the grid of {that}, or resample it there first",
                )
            )
        apart = self.corner_distance_mm(other)
        if apart > TOLERANCE_MM:
            raise InvalidInput(
                Problem(
                    code="E201",
                    subject=subject,
                    file=file,
                    found=f"affine of {this} differs from {that} by up to {apart:.3g} mm on the same "
                    f"{_times(self.shape)} grid",
                    expected=f"corners within {TOLERANCE_MM} mm",
                    fix=f"resample {this} to the grid of {that}, or copy the right header to it",
                )
            )


def whole_mm(point_mm: np.ndarray) -> str:
    """A point for messages, to a millimetre."""
    return "(" + ", ".join(f"{value:.0f}" for value in point_mm) + ") mm"


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _fault(shape: tuple[int, ...], affine: np.ndarray) -> str:
    if len(shape) != 3 or min(shape) < 1:
        return f"shape {shape}"
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        return "an affine that is not a finite 4×4 matrix"
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (spacing < 1e-6).any():
        return f"spacing {', '.join(f'{s:.3g}' for s in spacing)} mm"
    cosines = (affine[:3, :3] / spacing).T @ (affine[:3, :3] / spacing) - np.eye(3)
    if np.abs(cosines).max() > 1e-3:
        return f"axes that are not orthogonal (largest cosine {np.abs(cosines).max():.3g})"
    return ""
