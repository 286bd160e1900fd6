"""Does uncertainty cluster? Autocorrelation of a map in a region, in 3-D.

Neighbours share a face. Two conventions, named apart: every pair counts the same, or by the inverse of its distance in
mm, so that slices far apart matter less than pixels close by. Pairs with one voxel outside the region do not count.

A constant map has no arrangement: NaN. So do an empty region, and one without neighbours.

Sources: Moran 1950, doi:10.1093/biomet/37.1-2.17; Geary 1954, doi:10.2307/2986645.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from plausible.aggregate.reductions import RATIO, REDUCTIONS
from plausible.aggregate.regions import Region

EVERY_PAIR = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class RegionMap:
    """A map where it lies, and the region it is read in.

    Attributes:
        values: the map in the whole image.
        region: the voxels that count.
        spacing_mm: distance between neighbouring voxels.
        upper: largest possible value of the map; infinite without a bound.
    """

    values: Float32[np.ndarray, "i j k"]
    region: Region
    spacing_mm: tuple[float, float, float]
    upper: float

    @property
    def inside(self) -> Float32[np.ndarray, " n"]:
        """Values in the region."""
        return self.region.read(self.values)


@REDUCTIONS.add(unit=RATIO, higher_is="neither", source="Moran 1950, doi:10.1093/biomet/37.1-2.17", reads=RegionMap)
def morans_i(region: RegionMap) -> float:
    """Correlation of the values of neighbouring voxels, every pair alike (Moran's I).

    (n / Σ w) Σ_ij w_ij z_i z_j / Σ z², from about -1 (checkerboard) over -1/(n - 1) (no arrangement) to about 1
    (clustered). NaN for a constant map.
    """
    return _moran(region, EVERY_PAIR)


@REDUCTIONS.add(
    unit=RATIO,
    higher_is="neither",
    source="Moran 1950, doi:10.1093/biomet/37.1-2.17; here weighted by 1/mm",
    label="Moran's I by distance",
    reads=RegionMap,
)
def morans_i_by_distance(region: RegionMap) -> float:
    """Correlation of the values of neighbouring voxels, each pair by the inverse of its distance in mm (Moran's I).

    The same as with every pair alike where all spacings are equal. NaN for a constant map.
    """
    return _moran(region, _by_distance(region))


@REDUCTIONS.add(unit=RATIO, higher_is="neither", source="Geary 1954, doi:10.2307/2986645", reads=RegionMap)
def gearys_c(region: RegionMap) -> float:
    """Squared difference of neighbouring voxels against the variance, every pair alike (Geary's C).

    ((n - 1) / (2 Σ w)) Σ_ij w_ij (x_i - x_j)² / Σ z², from 0 (clustered) over 1 (no arrangement) to about 2
    (checkerboard). NaN for a constant map.
    """
    return _geary(region, EVERY_PAIR)


@REDUCTIONS.add(
    unit=RATIO,
    higher_is="neither",
    source="Geary 1954, doi:10.2307/2986645; here weighted by 1/mm",
    label="Geary's C by distance",
    reads=RegionMap,
)
def gearys_c_by_distance(region: RegionMap) -> float:
    """Squared difference of neighbouring voxels against the variance, by the inverse of their distance (Geary's C).

    The same as with every pair alike where all spacings are equal. NaN for a constant map.
    """
    return _geary(region, _by_distance(region))


def _by_distance(region: RegionMap) -> tuple[float, float, float]:
    i, j, k = region.spacing_mm
    return 1 / i, 1 / j, 1 / k


def _moran(region: RegionMap, weights: tuple[float, float, float]) -> float:
    found = _centred(region)
    if found is None:
        return math.nan
    z, squares, n = found
    both = _pairs(region.region.inside)
    cross = [float(np.vdot(a, b)) for a, b in (_neighbours(z, axis) for axis in range(3))]
    return _ratio(n * np.dot(weights, cross), np.dot(weights, both) * squares)


def _geary(region: RegionMap, weights: tuple[float, float, float]) -> float:
    found = _centred(region)
    if found is None:
        return math.nan
    z, squares, n = found
    inside = region.region.inside
    apart = []
    for axis in range(3):
        (a, b), (here, there) = _neighbours(z, axis), _neighbours(inside, axis)
        differences = np.multiply(b - a, here & there)
        apart.append(float(np.vdot(differences, differences)))
    return _ratio((n - 1) * np.dot(weights, apart), 2 * np.dot(weights, _pairs(inside)) * squares)


def _centred(region: RegionMap) -> tuple[Float[np.ndarray, "u v w"], float, int] | None:
    """Deviations from the mean, 0 outside the region, the sum of their squares, and voxels; None if there are none."""
    values = region.inside
    if not values.size or values.min() == values.max():
        return None
    mean = values.mean(dtype=np.float64)
    z = np.where(region.region.inside, region.values[region.region.box] - mean, 0.0)
    return z, float(np.vdot(z, z)), values.size


def _pairs(inside: Bool[np.ndarray, "u v w"]) -> list[int]:
    """Pairs of face neighbours along each axis that are both in the region."""
    return [int(np.count_nonzero(a & b)) for a, b in (_neighbours(inside, axis) for axis in range(3))]


def _neighbours(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """All voxels but the last along an axis, and the next ones."""
    before = (slice(None),) * axis
    return values[(*before, slice(None, -1))], values[(*before, slice(1, None))]


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan
