"""How a volume is shown on screen: axial slices, patient left on the image's right, anterior up."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from plausible.core import Geometry


@dataclass(frozen=True, slots=True, eq=False)
class AxialView:
    """The voxel axes that run along slices, rows and columns of the screen.

    Attributes:
        axis: voxel axis along which slices are counted.
        row_axis, column_axis: voxel axes that run down and across the screen.
        flip_rows, flip_columns: whether they run against the screen's direction.
        towards_head: 1 if a higher slice number is closer to the head, else -1.
    """

    geometry: Geometry
    axis: int
    row_axis: int
    column_axis: int
    flip_rows: bool
    flip_columns: bool
    towards_head: int

    @classmethod
    def of(cls, geometry: Geometry) -> "AxialView":
        """Choose the axes closest to right-left and anterior-posterior; oblique grids are shown in their own slices."""
        direction = geometry.affine[:3, :3] / np.asarray(geometry.spacing_mm)
        axis = geometry.axial_axis
        first, second = (a for a in range(3) if a != axis)
        straight = abs(direction[0, first]) + abs(direction[1, second])
        crossed = abs(direction[0, second]) + abs(direction[1, first])
        column, row = (first, second) if straight >= crossed else (second, first)
        return cls(
            geometry=geometry,
            axis=axis,
            row_axis=row,
            column_axis=column,
            flip_rows=bool(direction[1, row] > 0),
            flip_columns=bool(direction[0, column] > 0),
            towards_head=1 if direction[2, axis] > 0 else -1,
        )

    @property
    def n_slices(self) -> int:
        """Number of slices."""
        return self.geometry.shape[self.axis]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a slice in voxels."""
        return self.geometry.shape[self.column_axis], self.geometry.shape[self.row_axis]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Width and height of a voxel on the screen, in mm."""
        spacing = self.geometry.spacing_mm
        return spacing[self.column_axis], spacing[self.row_axis]

    def slices(self, values: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, "n rows columns"]:
        """All slices as they are shown; a view, nothing is copied."""
        turned = np.moveaxis(values, (self.axis, self.row_axis, self.column_axis), (0, 1, 2))
        return turned[:, :: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def position_mm(self, index: int) -> float:
        """Height of the middle of a slice in world coordinates (mm, towards the head)."""
        middle = [(n - 1) / 2 for n in self.geometry.shape]
        middle[self.axis] = index
        return float((self.geometry.affine @ [*middle, 1.0])[2])
