"""The most uncertain box of an image: a local cluster that a mean over the image would hide.

Two conventions that published code calls by one name: the largest *mean* over a box and the largest *sum*. The side is
told in mm and rounded to voxels along each axis; a box is never longer than the image. What lies outside the region
counts as 0. Box sums are differences of cumulative sums, so the size of the box costs nothing.

Sources: Kahl et al. 2024 (ValUES), arXiv:2401.08501 (sum); Guarino et al. 2026, arXiv:2603.29941 (mean).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from plausible.aggregate.reductions import REDUCTIONS
from plausible.aggregate.regions import Region
from plausible.core import Geometry

PATCH_MM = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class PatchSums:
    """Sum over a box at every place where it fits.

    Attributes:
        sums: by place of the box; empty for an empty region.
        n_voxels: voxels of the box.
        voxel_volume_ml: volume of one voxel in ml.
    """

    sums: Float[np.ndarray, "i j k"]
    n_voxels: int
    voxel_volume_ml: float


def patch_sums(
    values: Float32[np.ndarray, "i j k"], region: Region, geometry: Geometry, *, patch_mm: float = PATCH_MM
) -> PatchSums:
    """Sum a map over every box that touches the box around a region.

    Raises:
        ValueError: `patch_mm` is not above 0.
    """
    size = patch_voxels(geometry, patch_mm=patch_mm)
    if not region.inside.any():
        return PatchSums(np.zeros((0, 0, 0)), math.prod(size), geometry.voxel_volume_ml)
    reach = tuple(
        slice(max(0, part.start - side + 1), min(n, part.stop + side - 1))
        for part, side, n in zip(region.box, size, geometry.shape, strict=True)
    )
    within = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(region.box, reach, strict=True))
    sums = np.zeros([part.stop - part.start for part in reach])
    sums[within] = np.where(region.inside, values[region.box], 0)
    for axis, side in enumerate(size):
        sums = _running_sums(sums, side, axis=axis)
    return PatchSums(sums, math.prod(size), geometry.voxel_volume_ml)


def patch_voxels(geometry: Geometry, *, patch_mm: float) -> tuple[int, int, int]:
    """Sides of the box in voxels: at least one, at most the image's.

    Raises:
        ValueError: `patch_mm` is not above 0.
    """
    if not patch_mm > 0:
        raise ValueError(f"patch_mm must be above 0, got {patch_mm}")
    i, j, k = (
        min(n, max(1, round(patch_mm / spacing)))
        for n, spacing in zip(geometry.shape, geometry.spacing_mm, strict=True)
    )
    return i, j, k


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Guarino et al. 2026, arXiv:2603.29941; here in mm",
    label="largest mean of a box",
    reads=PatchSums,
)
def largest_patch_mean(patches: PatchSums) -> float:
    """Largest mean over a box, wherever it is most uncertain. NaN if the region is empty."""
    return float(patches.sums.max()) / patches.n_voxels if patches.sums.size else math.nan


@REDUCTIONS.add(
    unit="ml",
    higher_is="neither",
    source="Kahl et al. 2024, arXiv:2401.08501; here in mm and times the voxel's ml",
    label="largest sum of a box",
    reads=PatchSums,
)
def largest_patch_sum(patches: PatchSums) -> float:
    """Largest sum over a box, times the volume of a voxel in ml. NaN if the region is empty."""
    return float(patches.sums.max()) * patches.voxel_volume_ml if patches.sums.size else math.nan


def _running_sums(values: Float[np.ndarray, "i j k"], side: int, *, axis: int) -> Float[np.ndarray, "u v w"]:
    """Sums of `side` voxels in a row along an axis, at every place where they fit."""
    sums = np.moveaxis(np.cumsum(values, axis=axis), axis, 0)
    shifted = sums[side - 1 :].copy()
    shifted[1:] -= sums[:-side]
    return np.moveaxis(shifted, 0, axis)
