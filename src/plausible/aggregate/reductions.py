"""From the values of a map in a region to one number.

Each reduction is one opinion on what matters: the mean spreads uncertainty over the size of the region, the sum grows
with it, the largest value is one voxel, and quantile and top share look at the worst part. So the name of a number is
always map, region and reduction together.

An empty region is NaN, and so is a region with a value that is NaN (a quantity of disagreement of a single member).

Sources: Kahl et al. 2024 (ValUES), arXiv:2401.08501; Guarino et al. 2026, arXiv:2603.29941 (a comparison).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float32

from plausible.core import Catalogue


@dataclass(frozen=True, slots=True, eq=False)
class RegionValues:
    """What a reduction reads: the values of a map in a region, in no particular order, and the size of a voxel."""

    values: Float32[np.ndarray, " n"]
    voxel_volume_ml: float


Reduction: TypeAlias = Callable[[RegionValues], float]

REDUCTIONS: Catalogue[Reduction] = Catalogue("reduction")
"""The unit of an entry multiplies that of the map."""


@REDUCTIONS.add(unit="1", higher_is="neither", source="Kahl et al. 2024, arXiv:2401.08501")
def mean(region: RegionValues) -> float:
    """Mean over the voxels of the region. NaN if it is empty."""
    return float(region.values.mean(dtype=np.float64)) if region.values.size else math.nan


@REDUCTIONS.add(unit="ml", higher_is="neither", source="Kahl et al. 2024, arXiv:2401.08501; here times the voxel's ml")
def sum(region: RegionValues) -> float:
    """Sum over the voxels of the region, times the volume of a voxel: grows with the size of what it is read in.

    Σ_v u(v) · ml per voxel, in the map's unit times ml, so that grids of another spacing compare. NaN if empty.
    """
    if not region.values.size:
        return math.nan
    return float(region.values.sum(dtype=np.float64)) * region.voxel_volume_ml


@REDUCTIONS.add(unit="1", higher_is="neither", source="Guarino et al. 2026, arXiv:2603.29941")
def max(region: RegionValues) -> float:
    """Largest value in the region; one voxel decides it. NaN if it is empty."""
    return float(region.values.max()) if region.values.size else math.nan


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Hyndman and Fan 1996, doi:10.1080/00031305.1996.10473566",
    label="95 % quantile",
)
def quantile_95(region: RegionValues) -> float:
    """Smallest value that at least 95 % of the region's voxels do not exceed (type 1 of Hyndman and Fan 1996).

    NaN if the region is empty.
    """
    return float(np.quantile(region.values, 0.95, method="inverted_cdf")) if region.values.size else math.nan


@REDUCTIONS.add(
    unit="1", higher_is="neither", source="Guarino et al. 2026, arXiv:2603.29941", label="mean of the top 5 %"
)
def top_share_5(region: RegionValues) -> float:
    """Mean of the largest 5 % of the region's values, by count: ⌈n/20⌉ voxels, so at least one.

    By count and not above a threshold, so that ties (many voxels that are exactly 0) do not let all others in. NaN if
    the region is empty.
    """
    n = region.values.size
    if not n:
        return math.nan
    first = n - math.ceil(n / 20)
    return float(np.partition(region.values, first)[first:].mean(dtype=np.float64))
