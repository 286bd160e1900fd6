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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TypeAlias

import edt
import numpy as np
from jaxtyping import Bool, Float, UInt8

from plausible.core import Catalogue

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
    if min(spacing_mm) <= 0:
        raise ValueError(f"spacing must be above 0 mm, got {spacing_mm}")
    box = _box(prediction | reference)
    if box is None:
        nothing = np.zeros(0)
        return SurfaceDistances(nothing, nothing, nothing, nothing)
    flat = tuple(n == 1 for n in prediction.shape)
    ours, theirs = (_neighbourhoods(mask[box], flat) for mask in (prediction, reference))
    return SurfaceDistances(*_directed(ours, theirs, spacing_mm), *_directed(theirs, ours, spacing_mm))


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


def _box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Smallest box around a mask; None if it is empty."""
    box = []
    for axis in range(3):
        present = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(present):
            return None
        box.append(slice(int(present[0]), int(present[-1]) + 1))
    return tuple(box)


def _neighbourhoods(mask: np.ndarray, flat: tuple[bool, ...]) -> UInt8[np.ndarray, "u v w"]:
    """Which of its 8 voxels are inside, as one bit each, for every 2 × 2 × 2 neighbourhood; outside beyond the box.

    Along an axis on which the image has one voxel, that voxel goes on.
    """
    padded = np.pad(mask, [(0, 0) if one else (1, 1) for one in flat]).astype(np.uint8)
    padded = np.pad(padded, [(0, 1) if one else (0, 0) for one in flat], mode="edge")
    codes = np.zeros([n - 1 for n in padded.shape], np.uint8)
    for bit, corner in enumerate(CORNERS):
        part = padded[tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))]
        codes |= part << np.uint8(bit)
    return codes


def _directed(
    ours: np.ndarray, theirs: np.ndarray, spacing_mm: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of our surface elements to theirs, ascending, and the areas of ours."""
    mine = (ours != 0) & (ours != 255)
    areas = element_areas_mm2(spacing_mm)[ours[mine]]
    other = (theirs != 0) & (theirs != 255)
    if not other.any():
        return np.full(len(areas), np.inf), areas
    distances = edt.edt(~other, anisotropy=spacing_mm, black_border=False, parallel=1)[mine].astype(np.float64)
    order = np.argsort(distances, kind="stable")
    return distances[order], areas[order]


CORNERS: tuple[tuple[int, int, int], ...] = tuple((i, j, k) for i, j, k in product((0, 1), repeat=3))
"""The 8 voxels of a neighbourhood; the place in this list is the bit in its code."""

Edge: TypeAlias = frozenset[int]


@cache
def element_areas_mm2(spacing_mm: tuple[float, float, float]) -> Float[np.ndarray, "256"]:
    """Area in mm² of the surface element of each of the 256 neighbourhoods."""
    i, j, k = spacing_mm
    stretch = np.array([j * k, k * i, i * j])
    areas = [float(np.linalg.norm(vectors * stretch, axis=1).sum()) for vectors in _area_vectors()]
    return np.array(areas)


@cache
def _area_vectors() -> tuple[np.ndarray, ...]:
    """Area vectors of the triangles of each neighbourhood, for a spacing of 1."""
    return tuple(_triangles(tuple(bool(code >> bit & 1) for bit in range(8))) for code in range(256))


def _triangles(inside: tuple[bool, ...]) -> Float[np.ndarray, "t 3"]:
    """Cut the polygons of one neighbourhood into triangles around their centres."""
    vectors = [np.zeros((0, 3))]
    for loop in _loops(inside):
        points = np.array([np.mean([CORNERS[corner] for corner in edge], axis=0) for edge in loop])
        spokes = points - points.mean(axis=0)
        vectors.append(np.cross(spokes, np.roll(spokes, -1, axis=0)) / 2)
    return np.concatenate(vectors)


def _loops(inside: tuple[bool, ...]) -> Iterator[list[Edge]]:
    """Polygons of one neighbourhood as edges in turn: the segments on the six faces, end to end."""
    links: dict[Edge, list[Edge]] = {}
    for face in _faces():
        for start, end in _segments(face, inside):
            links.setdefault(start, []).append(end)
            links.setdefault(end, []).append(start)
    while links:
        loop = [next(iter(links))]
        while len(ahead := links.pop(loop[-1])) and (free := [edge for edge in ahead if edge in links]):
            loop.append(free[0])
        yield loop


def _faces() -> list[tuple[int, ...]]:
    """The four corners of each face, in turn around it."""
    faces = []
    for axis, side in product(range(3), (0, 1)):
        around = []
        for first, second in ((0, 0), (0, 1), (1, 1), (1, 0)):
            corner = [first, second]
            corner.insert(axis, side)
            around.append(CORNERS.index((corner[0], corner[1], corner[2])))
        faces.append(tuple(around))
    return faces


def _segments(face: tuple[int, ...], inside: tuple[bool, ...]) -> list[tuple[Edge, Edge]]:
    """Segments where the surface meets a face; two corners inside on a diagonal are cut off one by one."""
    edges = [frozenset((face[n], face[(n + 1) % 4])) for n in range(4)]
    crossed = [edge for edge in edges if len({inside[corner] for corner in edge}) == 2]
    if len(crossed) == 4:
        return [(edges[n - 1], edges[n]) for n in range(4) if inside[face[n]]]
    return [(crossed[0], crossed[1])] if crossed else []
