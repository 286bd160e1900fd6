"""Dose at points of space: trilinear between the voxel centres of the dose grid, or by cubic spline clipped at 0.

A point belongs to the grid if it lies in one of its voxels. In the outer half of an outermost voxel the dose is that of
the nearest centre, as there is nothing to interpolate with. Trilinear interpolation flattens peaks: for dose spacing h
the mean is off by about h²/12 times the mean Laplacian of the dose. The cubic spline removes most of that and may
overshoot at edges.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64

from plausible.core import Dose, Geometry

Interpolation = Literal["linear", "cubic"]


@dataclass(frozen=True, slots=True, eq=False)
class DoseField:
    """A dose that can be asked at any point.

    Attributes:
        values_gy: dose at the voxel centres.
        geometry: the dose's grid.
        interpolation: "linear" or "cubic".
        coefficients: of the cubic spline; empty for "linear".
    """

    values_gy: Float32[np.ndarray, "i j k"]
    geometry: Geometry
    interpolation: Interpolation
    coefficients: Float32[np.ndarray, "..."] = field(repr=False)

    @classmethod
    def of(cls, dose: Dose, *, interpolation: Interpolation) -> "DoseField":
        """Prepare a dose for many points.

        Raises:
            ValueError: an interpolation other than "linear" and "cubic".
        """
        if interpolation not in ("linear", "cubic"):
            raise ValueError(f'interpolation is "linear" or "cubic", not {interpolation!r}')
        values = np.ascontiguousarray(dose.dose_gy)
        return cls(
            values,
            dose.geometry,
            interpolation,
            cubic_coefficients(values).astype(np.float32) if interpolation == "cubic" else np.zeros(0, np.float32),
        )

    def from_frame(self, affine: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "3 4"]:
        """Matrix from coordinates of another frame, given its affine to world coordinates, to voxels of the dose."""
        return np.ascontiguousarray((np.linalg.inv(self.geometry.affine) @ affine)[:3])

    def inside(self, points: Float64[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Whether points, in voxels of the dose, lie in one of its voxels."""
        return np.all((points >= -0.5 - 1e-6) & (points <= np.array(self.geometry.shape) - 0.5 + 1e-6), axis=1)

    def at(self, points: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, " n"]:
        """Dose in Gy at points in voxels of the dose."""
        from scipy.ndimage import map_coordinates

        from plausible.dose.kernels import trilinear

        if self.interpolation == "cubic":
            held = np.clip(points, 0, np.array(self.geometry.shape) - 1).T
            return np.maximum(
                map_coordinates(self.coefficients, held, np.float64, order=3, mode="mirror", prefilter=False), 0
            )
        found = np.empty(len(points))
        trilinear(self.values_gy, np.ascontiguousarray(points), found)
        return found

    def in_cells(
        self,
        matrix: Float64[np.ndarray, "3 4"],
        centres: Float64[np.ndarray, "n 3"],
        scale: Float64[np.ndarray, " n"],
        size: Float64[np.ndarray, "n 3"],
    ) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Dose at the centres of cells and half the width over which it is spread in each, taken as linear.

        The half width √(3 Σ Δ²/12), Δ the differences between opposite faces, is exact for a gradient along one axis
        and has the right variance otherwise.

        Args:
            matrix: from the frame of the cells to voxels of the dose.
            centres: in the frame of the cells.
            scale: factor to the first two sizes of each cell.
            size: of the cells along the axes of their frame.
        """
        from plausible.dose.kernels import trilinear_cells

        if self.interpolation == "cubic":
            return self._in_cells_by_points(matrix, centres, scale, size)
        found, half_width = np.empty(len(centres)), np.empty(len(centres))
        trilinear_cells(self.values_gy, matrix, centres, scale, size, found, half_width)
        return found, half_width

    def _in_cells_by_points(
        self, matrix: np.ndarray, centres: np.ndarray, scale: np.ndarray, size: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        points = centres @ matrix[:, :3].T + matrix[:, 3]
        variance = np.zeros(len(points))
        for axis in range(3):
            half = 0.5 * size[:, axis] * (scale if axis < 2 else 1.0)
            step = half[:, None] * matrix[:, axis]
            variance += (self.at(points + step) - self.at(points - step)) ** 2 / 12
        return self.at(points), np.sqrt(3 * variance)


def cubic_coefficients(values: np.ndarray) -> Float64[np.ndarray, "u v w"]:
    """Coefficients of the cubic spline through values, mirrored at the outermost centres."""
    from scipy.ndimage import spline_filter1d

    found = values.astype(np.float64)
    for axis, n in enumerate(values.shape):
        if n > 1:
            found = spline_filter1d(found, order=3, axis=axis, mode="mirror")
    return found
