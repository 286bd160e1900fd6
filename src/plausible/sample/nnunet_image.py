"""An image as nnU-Net's readers hand it over, and probabilities back on the image's own grid.

nnU-Net computes on `c z y x` with the spacing in the same order. Which way the axes run depends on the reader that
`plans.json` names: most keep the file's axes, the two `...WithReorient` turn the image to RAS first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    io_orientation,
    ornt_transform,
)

from plausible.core import Geometry, Image

Orientation: TypeAlias = np.ndarray
"""For each axis of the file: which axis of the turned image it becomes, and 1 or -1 for its direction (nibabel's)."""

READERS = ("SimpleITKIO", "NibabelIO", "SimpleITKIOWithReorient", "NibabelIOWithReorient")
"""nnU-Net's readers of volumes in NIfTI; its PNG and TIFF readers know no grid."""

SAME_MM = 1e-7
"""A spacing this close (relative) to a short decimal number was that number before it was stored as float32."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadImage:
    """What nnU-Net's reader returns, and the way back.

    Attributes:
        values: channels on the axes of the turned image, in nnU-Net's order.
        spacing_zyx: mm along z, y, x.
        turn: how the file's axes were turned; None where they were kept.
        shape: voxels of the file, i j k.
    """

    values: Float32[np.ndarray, "n z y x"]
    spacing_zyx: tuple[float, float, float]
    turn: Orientation | None
    shape: tuple[int, int, int]

    @property
    def properties(self) -> Mapping[str, Any]:
        """What nnU-Net's preprocessing wants to know about the image."""
        return {"spacing": list(self.spacing_zyx)}

    def restore(self, probabilities: Float32[np.ndarray, "c z y x"]) -> Float32[np.ndarray, "c i j k"]:
        """Return probabilities of nnU-Net's grid on the file's own axes."""
        values = probabilities.transpose(0, 3, 2, 1)
        if self.turn is not None:
            back = ornt_transform(axcodes2ornt("RAS"), self.turn)
            values = np.stack([apply_orientation(channel, back) for channel in values])
        return np.ascontiguousarray(values, dtype=np.float32)


def as_read(image: Image, *, reader: str) -> ReadImage:
    """Return the image as nnU-Net's reader of this name would have read it from its file.

    Raises:
        ValueError: a reader that is none of `READERS`.
    """
    if reader not in READERS:
        raise ValueError(f"unknown reader {reader!r}; known are {', '.join(READERS)}")
    spacing, values, turn = file_spacing_mm(image.geometry), image.values, None
    if reader.endswith("WithReorient"):
        turn = _orientation(image.geometry, reader=reader)
        values = np.stack([apply_orientation(channel, turn) for channel in values])
        spacing = _turned(spacing, turn)
    z_y_x = np.ascontiguousarray(values.transpose(0, 3, 2, 1), dtype=np.float32)
    return ReadImage(z_y_x, spacing[::-1], turn, image.geometry.shape)


def file_spacing_mm(geometry: Geometry) -> tuple[float, float, float]:
    """Voxel size along i, j, k as it stood in the file's header: float32, without the rounding of an oblique affine.

    nnU-Net decides by ratios of spacings (a third axis more than three times as coarse is resampled on its own), so
    that the last digit counts where a ratio is exactly three, or where half a voxel would be left over.
    """
    i, j, k = (_as_stored(spacing) for spacing in geometry.spacing_mm)
    return i, j, k


def _as_stored(spacing: float) -> float:
    for digits in range(1, 8):
        rounded = float(f"{spacing:.{digits}g}")
        if abs(rounded - spacing) <= SAME_MM * spacing:
            return float(np.float32(rounded))
    return float(np.float32(spacing))


def _orientation(geometry: Geometry, *, reader: str) -> Orientation:
    """Return how the file's axes become RAS, found as the reader finds it."""
    if reader.startswith("Nibabel"):
        return io_orientation(geometry.affine)
    import SimpleITK

    direction = np.diag([-1.0, -1.0, 1.0]) @ (geometry.affine[:3, :3] / np.asarray(geometry.spacing_mm))
    codes = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction.ravel().tolist())
    return axcodes2ornt(codes)


def _turned(spacing: tuple[float, float, float], turn: Orientation) -> tuple[float, float, float]:
    """Spacing along the axes of the turned image."""
    order = np.argsort(turn[:, 0])
    i, j, k = (spacing[axis] for axis in order)
    return i, j, k
