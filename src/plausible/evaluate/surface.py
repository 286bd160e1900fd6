"""How far apart are the surfaces of two masks, in mm, each piece of surface weighted by its area?

The surface runs between voxel centres. Every 2 × 2 × 2 neighbourhood that holds voxels of both kinds is one surface
element: the polygons through the midpoints of the edges between a voxel inside and a voxel outside, whose area follows
from the spacing. A distance is the one from the element's centre to the nearest element of the other surface. The
image's border counts as outside. An image of a single slice is a picture: its masks have a contour, and no surface
above or below the slice.

If both masks are empty every score is NaN. If one is, normalized surface Dice is 0 and the distances are NaN (no finite
number is right); tables count them, so a missing organ is never hidden in a mean of distances.

Sources: Nikolov et al. 2021, arXiv:1809.04430 (weighting by area); Lorensen and Cline 1987 (the polygons).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import edt
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32

from plausible.core import Catalogue
from plausible.evaluate.surface_elements import element_areas_mm2, neighbourhoods

ROUNDING_MM = 1e-4
"""Distances up to this much above a tolerance are within it: rounding must not decide over a whole slice."""


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """Distance of every surface element to the other surface, ascending, and its area.

    Attributes:
        prediction_mm: from each element of the prediction's surface to the reference's; infinite if that is empty.
        prediction_mm2: area of these elements.
        reference_mm: from each element of the reference's surface to the prediction's; infinite if that is empty.
        reference_mm2: area of these elements.
    """

    prediction_mm: Float[np.ndarray, " a"]
    prediction_mm2: Float[np.ndarray, " a"]
    reference_mm: Float[np.ndarray, " b"]
    reference_mm2: Float[np.ndarray, " b"]

    @property
    def n_elements(self) -> int:
        """Surface elements on both sides."""
        return len(self.prediction_mm) + len(self.reference_mm)

    @property
    def comparable(self) -> bool:
        """Whether both surfaces exist."""
        return len(self.prediction_mm) > 0 and len(self.reference_mm) > 0


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """The surface elements of one mask, made once however many others it is compared with.

    Attributes:
        places: neighbourhood of each element along i, j, k; voxel n of the image lies in n and n + 1.
        areas_mm2: area of each element.
        spacing_mm: along i, j, k.
    """

    places: Int32[np.ndarray, "a 3"]
    areas_mm2: Float[np.ndarray, " a"]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(
        cls,
        mask: Bool[np.ndarray, "i j k"],
        *,
        spacing_mm: tuple[float, float, float],
        offset: tuple[int, int, int] = (0, 0, 0),
        flat: tuple[bool, bool, bool] | None = None,
    ) -> "Surface":
        """Find the surface elements of a mask, or of the part of it in a box that holds all its voxels.

        Args:
            mask: the mask or the part of it.
            spacing_mm: along i, j, k.
            offset: first voxel of the part.
            flat: axes along which the image has one voxel, if this is a part; there a mask has no caps.

        Raises:
            ValueError: a spacing that is not above 0.
        """
        if min(spacing_mm) <= 0:
            raise ValueError(f"spacing must be above 0 mm, got {spacing_mm}")
        box = box_of(mask)
        if box is None:
            return cls(np.zeros((0, 3), np.int32), np.zeros(0), spacing_mm)
        one = flat or tuple(n == 1 for n in mask.shape)
        codes = neighbourhoods(mask[box], one)
        found = np.flatnonzero((codes != 0) & (codes != 255))
        start = [side.start + o for side, o in zip(box, offset, strict=True)]
        places = np.stack(np.unravel_index(found, codes.shape), axis=1).astype(np.int32) + np.array(start, np.int32)
        return cls(places, element_areas_mm2(spacing_mm)[codes.ravel()[found]], spacing_mm)


@dataclass(frozen=True, slots=True, eq=False)
class DistanceField:
    """Distance in mm from every neighbourhood of a box to the nearest element of a surface.

    Attributes:
        start: first neighbourhood of the box along i, j, k.
        distance_mm: distances; None if the surface is empty.
    """

    start: Int32[np.ndarray, " 3"]
    distance_mm: Float32[np.ndarray, "u v w"] | None

    @classmethod
    def around(cls, surface: Surface, others: Sequence[Surface]) -> "DistanceField":
        """Measure in the smallest box that holds this surface and others."""
        places = [each.places for each in (surface, *others) if len(each.places)]
        if not len(surface.places):
            return cls(np.zeros(3, np.int32), None)
        start = np.min([each.min(axis=0) for each in places], axis=0)
        shape = np.max([each.max(axis=0) for each in places], axis=0) - start + 1
        free = np.ones(shape, dtype=bool)
        free[tuple((surface.places - start).T)] = False
        return cls(start, edt.edt(free, anisotropy=surface.spacing_mm, black_border=False, parallel=1))

    def from_surface(self, surface: Surface) -> tuple[Float64[np.ndarray, " a"], Float64[np.ndarray, " a"]]:
        """Distances from the elements of another surface inside the box, ascending, and their areas."""
        areas = surface.areas_mm2
        if self.distance_mm is None:
            return np.full(len(areas), np.inf), areas
        distances = self.distance_mm[tuple((surface.places - self.start).T)]
        order = np.argsort(distances)
        return distances[order].astype(np.float64), areas[order]


def surface_distances(
    prediction: Bool[np.ndarray, "i j k"],
    reference: Bool[np.ndarray, "i j k"],
    *,
    spacing_mm: tuple[float, float, float],
) -> SurfaceDistances:
    """Measure the distances between the surfaces of two masks, both ways.

    Only the box around both masks is looked at, which changes nothing but the time.

    Raises:
        ValueError: a spacing that is not above 0.
    """
    ours, theirs = (Surface.of(mask, spacing_mm=spacing_mm) for mask in (prediction, reference))
    to_ours, to_theirs = DistanceField.around(ours, [theirs]), DistanceField.around(theirs, [ours])
    return SurfaceDistances(*to_theirs.from_surface(ours), *to_ours.from_surface(theirs))


SurfaceScore: TypeAlias = Callable[..., float]

SURFACE_SCORES: Catalogue[SurfaceScore] = Catalogue("surface score")


@SURFACE_SCORES.add(unit="1", higher_is="better", source="Nikolov et al. 2021, arXiv:1809.04430", label="NSD")
def normalized_surface_dice(distances: SurfaceDistances, *, tolerance_mm: float) -> float:
    """Share of both surfaces lying within a tolerance of each other.

    NSD = (area of A near B + area of B near A) / (area of A + area of B), from 0 (nowhere) to 1 (everywhere).
    NaN if both are empty, 0 if one is. MONAI counts boundary voxels instead of area and gives another number.

    Args:
        distances: surface distances of one structure.
        tolerance_mm: distance that raters themselves differ by; at least 0.

    Raises:
        ValueError: the tolerance is negative.
    """
    if tolerance_mm < 0:
        raise ValueError(f"tolerance_mm must be at least 0, got {tolerance_mm}")
    limit = tolerance_mm + ROUNDING_MM
    near = distances.prediction_mm2[distances.prediction_mm <= limit].sum()
    near += distances.reference_mm2[distances.reference_mm <= limit].sum()
    area = distances.prediction_mm2.sum() + distances.reference_mm2.sum()
    return min(1.0, float(near / area)) if area else math.nan


@SURFACE_SCORES.add(unit="mm", higher_is="worse", source="Huttenlocher et al. 1993, doi:10.1109/34.232073", label="HD")
def hausdorff_distance(distances: SurfaceDistances) -> float:
    """Largest distance from a point on one surface to the other surface; one stray voxel decides it.

    From 0 (same surface). NaN if either mask is empty.
    """
    if not distances.comparable:
        return math.nan
    return float(max(distances.prediction_mm[-1], distances.reference_mm[-1]))


@SURFACE_SCORES.add(unit="mm", higher_is="worse", source="Nikolov et al. 2021, arXiv:1809.04430", label="HD95")
def hausdorff_distance_95(distances: SurfaceDistances) -> float:
    """Distance that 95 % of the area of each surface keeps to the other one; the larger of the two directions.

    From 0 (same surface). The 95 % are taken in each direction first, then the maximum. NaN if either mask is empty.
    """
    if not distances.comparable:
        return math.nan
    there = _weighted_quantile(distances.prediction_mm, distances.prediction_mm2, 0.95)
    back = _weighted_quantile(distances.reference_mm, distances.reference_mm2, 0.95)
    return max(there, back)


@SURFACE_SCORES.add(
    unit="mm", higher_is="worse", source="Heimann et al. 2009, doi:10.1109/TMI.2009.2013851", label="ASSD"
)
def average_symmetric_surface_distance(distances: SurfaceDistances) -> float:
    """Mean distance between two surfaces, over the area of both together.

    (∫_A d(a, B) da + ∫_B d(b, A) db) / (area of A + area of B), from 0. NaN if either mask is empty.
    Not the mean of the two directed means, which weighs the smaller surface more.
    """
    if not distances.comparable:
        return math.nan
    moment = distances.prediction_mm @ distances.prediction_mm2 + distances.reference_mm @ distances.reference_mm2
    return float(moment / (distances.prediction_mm2.sum() + distances.reference_mm2.sum()))


def _weighted_quantile(ascending: np.ndarray, weights: np.ndarray, level: float) -> float:
    """Smallest value up to which at least `level` of the weight lies."""
    reached = np.cumsum(weights)
    place = int(np.searchsorted(reached, level * reached[-1] * (1 - 1e-12)))
    return float(ascending[min(place, len(ascending) - 1)])


def box_of(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Smallest box around a mask; None if it is empty."""
    box: list[slice] = []
    for axis in range(3):
        within = mask[box[0]] if axis else mask
        present = np.flatnonzero(within.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(present):
            return None
        box.append(slice(int(present[0]), int(present[-1]) + 1))
    return box[0], box[1], box[2]
