"""In which slice should somebody look first? Uncertain area of each structure, slice by slice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from plausible.core import Geometry, ScalarMap


@dataclass(frozen=True, slots=True, eq=False)
class SliceProfiles:
    """Area of one structure in every slice, and how much of it is undecided.

    Attributes:
        structure: organ or target.
        axis: voxel axis along which the slices follow.
        uncertain_area_cm2: Σ 4 p (1 - p) over the slice's voxels times the area of a pixel, in cm². A voxel at
            p = 0.5 counts in full, a certain one not at all.
        area_cm2: Σ p times the area of a pixel, in cm²: the area to expect.
    """

    structure: str
    axis: int
    uncertain_area_cm2: Float[np.ndarray, " n"]
    area_cm2: Float[np.ndarray, " n"]


def slice_profiles(
    probability: ScalarMap, *, structures: Sequence[str], axis: int | None = None
) -> list[SliceProfiles]:
    """Profile of every structure along an axis.

    Args:
        probability: map with a frame per structure. The mean probability tells where members or the model are
            undecided, the vote share only where members disagree.
        structures: whose profiles.
        axis: voxel axis; by default the one closest to foot-head.
    """
    along = probability.geometry.axial_axis if axis is None else axis
    pixel_cm2 = _pixel_cm2(probability.geometry, axis=along)
    profiles = []
    for structure in structures:
        p = probability.frame(structure)
        uncertain = 4 * _slice_sums(p * (1 - p), axis=along) * pixel_cm2
        profiles.append(SliceProfiles(structure, along, uncertain, _slice_sums(p, axis=along) * pixel_cm2))
    return profiles


def worst_slice(profile: SliceProfiles) -> int | None:
    """Slice with the largest uncertain area, the first of equals; None if nothing is uncertain anywhere."""
    place = int(np.argmax(profile.uncertain_area_cm2))
    return place if profile.uncertain_area_cm2[place] > 0 else None


def _slice_sums(values: Float32[np.ndarray, "i j k"], *, axis: int) -> Float[np.ndarray, " n"]:
    return values.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64)


def _pixel_cm2(geometry: Geometry, *, axis: int) -> float:
    first, second = (geometry.spacing_mm[other] for other in range(3) if other != axis)
    return first * second / 100
