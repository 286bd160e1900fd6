"""Reductions that weigh by structure, or by the distance to the predicted boundary.

Mean over classes (BCA): a small organ counts as much as a large one. Weighted by size (ICA): each by its voxels, which
is the mean over all of them together. The background is no class; a structure that is predicted nowhere is left out,
and n of the row says how many are in.

Sources: Guarino et al. 2026, arXiv:2603.29941 (BCA, ICA); Jungo et al. 2020, doi:10.3389/fnins.2020.00282 (distance).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt64

from plausible.aggregate.reductions import REDUCTIONS
from plausible.aggregate.regions import CaseMasks, Region, distance_across
from plausible.core import Geometry

SATURATION_MM = 4.0
"""Distance from the boundary from which on a voxel counts in full."""


@dataclass(frozen=True, slots=True, eq=False)
class RegionMeans:
    """Mean of a map in every region of one kind, such as every predicted structure.

    Attributes:
        means: mean in each region; NaN where it is empty.
        voxels: voxels of each region.
    """

    means: Float[np.ndarray, " s"]
    voxels: Int64[np.ndarray, " s"]


@dataclass(frozen=True, slots=True, eq=False)
class DistanceValues:
    """Values of a map in a region, and how far each voxel is from the predicted boundary.

    Attributes:
        values: one per voxel.
        distances_mm: to the nearest voxel on the other side of the boundary, right up to `SATURATION_MM`.
    """

    values: Float32[np.ndarray, " n"]
    distances_mm: Float32[np.ndarray, " n"]


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Guarino et al. 2026, arXiv:2603.29941",
    label="balanced class mean",
    reads=RegionMeans,
)
def balanced_class_mean(classes: RegionMeans) -> float:
    """Mean over the structures of the mean in each (BCA): each counts the same, whatever its size.

    Structures that are predicted nowhere are left out. NaN if none is predicted.
    """
    present = classes.voxels > 0
    return float(classes.means[present].mean()) if present.any() else math.nan


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Guarino et al. 2026, arXiv:2603.29941",
    label="size-weighted class mean",
    reads=RegionMeans,
)
def size_weighted_class_mean(classes: RegionMeans) -> float:
    """Mean over the structures of the mean in each, weighted by its voxels (ICA).

    Σ_s n_s ū_s / Σ_s n_s: for exclusive classes the mean over the predicted foreground. NaN if none is predicted.
    """
    present = classes.voxels > 0
    if not present.any():
        return math.nan
    return float(np.average(classes.means[present], weights=classes.voxels[present]))


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Jungo et al. 2020, doi:10.3389/fnins.2020.00282",
    label="distance-weighted mean",
    reads=DistanceValues,
)
def distance_weighted_mean(region: DistanceValues) -> float:
    """Mean that counts what is uncertain away from the predicted boundary, where it is expected, more.

    Σ w u / Σ w with w = min(distance to the boundary in mm, 4): the weights are normalised once, so that a constant is
    itself. The plain mean where nothing is predicted. NaN if the region is empty.
    """
    if not region.values.size:
        return math.nan
    return float(np.average(region.values, weights=np.minimum(region.distances_mm, SATURATION_MM).astype(np.float64)))


def boundary_distances(masks: CaseMasks, region: Region, *, structure: str) -> Float32[np.ndarray, " n"]:
    """Distance in mm of every voxel of a region to the predicted boundary of a structure; of any, if it is empty.

    Only as much of the image is looked at as distances up to `SATURATION_MM` need; longer ones may be too long.
    """
    box = _grown(region, masks.geometry)
    sides = _sides(masks, structure, box)
    found = distance_across(sides, masks.geometry.spacing_mm)
    within = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(region.box, box, strict=True))
    return found[within][region.inside]


def _grown(region: Region, geometry: Geometry) -> tuple[slice, slice, slice]:
    grown = []
    for part, spacing, n in zip(region.box, geometry.spacing_mm, geometry.shape, strict=True):
        margin = math.ceil(SATURATION_MM / spacing)
        grown.append(slice(max(0, part.start - margin), min(n, part.stop + margin)))
    return grown[0], grown[1], grown[2]


def _sides(
    masks: CaseMasks, structure: str, box: tuple[slice, slice, slice]
) -> Bool[np.ndarray, "u v w"] | UInt64[np.ndarray, "u v w"]:
    """Mask of a structure, or one number per combination of structures."""
    if structure in masks.structures:
        return masks.predicted[masks.structures.index(structure)][box]
    predicted = masks.predicted[(slice(None), *box)]
    exclusive = predicted.sum(axis=0, dtype=np.uint16).max(initial=0) <= 1
    sides = np.zeros(predicted.shape[1:], dtype=np.uint64)
    for place, mask in enumerate(predicted):
        sides += mask * np.uint64(place + 1 if exclusive else 1 << place)
    return sides
