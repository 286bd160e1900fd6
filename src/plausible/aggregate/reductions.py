"""From the values of a map in a region to one number.

Each reduction is one opinion on what matters: the mean spreads uncertainty over the size of the region, the sum grows
with it, the largest value is one voxel, and quantile and top share look at the worst part. So the name of a number is
always map, region and reduction together.

Here are those that read values in no order. Where voxels lie counts in `spatial`, `windows` and `patches`, and which
structure they belong to in `weighted`.

An empty region is NaN, and so is a region with a value that is NaN (a quantity of disagreement of a single member).

Sources: Kahl et al. 2024 (ValUES), arXiv:2401.08501; Guarino et al. 2026, arXiv:2603.29941 (a comparison).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32

from plausible.core import Catalogue


@dataclass(frozen=True, slots=True, eq=False)
class RegionValues:
    """The values of a map in a region, in no particular order.

    Attributes:
        values: one per voxel.
        voxel_volume_ml: volume of one voxel in ml.
        n_foreground: voxels of the predicted structure that the region is about; of all of them for one about all.
        threshold: value from which a voxel counts as uncertain, in the map's unit; NaN if none was told.
    """

    values: Float32[np.ndarray, " n"]
    voxel_volume_ml: float
    n_foreground: int = 0
    threshold: float = math.nan


Reduction: TypeAlias = Callable[[Any], float]

REDUCTIONS: Catalogue[Reduction] = Catalogue("reduction")
"""The unit of an entry multiplies that of the map (`RATIO`: there is none); `reads` says what it is given."""

RATIO = "ratio"
"""Unit of a reduction that has none whatever the map's: it tells how uncertainty lies, not how much there is."""


@REDUCTIONS.add(unit="1", higher_is="neither", source="Kahl et al. 2024, arXiv:2401.08501", reads=RegionValues)
def mean(region: RegionValues) -> float:
    """Mean over the voxels of the region. NaN if it is empty."""
    return float(region.values.mean(dtype=np.float64)) if region.values.size else math.nan


@REDUCTIONS.add(
    unit="ml",
    higher_is="neither",
    source="Kahl et al. 2024, arXiv:2401.08501; here times the voxel's ml",
    reads=RegionValues,
)
def sum(region: RegionValues) -> float:
    """Sum over the voxels of the region, times the volume of a voxel: grows with the size of what it is read in.

    Σ_v u(v) · ml per voxel, in the map's unit times ml, so that grids of another spacing compare. NaN if empty.
    """
    if not region.values.size:
        return math.nan
    return float(region.values.sum(dtype=np.float64)) * region.voxel_volume_ml


@REDUCTIONS.add(unit="1", higher_is="neither", source="Guarino et al. 2026, arXiv:2603.29941", reads=RegionValues)
def max(region: RegionValues) -> float:
    """Largest value in the region; one voxel decides it. NaN if it is empty."""
    return float(region.values.max()) if region.values.size else math.nan


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Hyndman and Fan 1996, doi:10.1080/00031305.1996.10473566",
    label="95 % quantile",
    reads=RegionValues,
)
def quantile_95(region: RegionValues) -> float:
    """Smallest value that at least 95 % of the region's voxels do not exceed (type 1 of Hyndman and Fan 1996).

    NaN if the region is empty.
    """
    return float(np.quantile(region.values, 0.95, method="inverted_cdf")) if region.values.size else math.nan


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Guarino et al. 2026, arXiv:2603.29941",
    label="mean of the top 5 %",
    reads=RegionValues,
)
def top_share_5(region: RegionValues) -> float:
    """Mean of the largest 5 % of the region's values, by count: ⌈n/20⌉ voxels, so at least one.

    By count and not above a threshold, so that ties (many voxels that are exactly 0) do not let all others in. NaN if
    the region is empty.
    """
    n = region.values.size
    return _mean_of_largest(region.values, math.ceil(n / 20)) if n else math.nan


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Guarino et al. 2026, arXiv:2603.29941; here by count",
    label="foreground-ratio quantile",
    reads=RegionValues,
)
def foreground_ratio_quantile(region: RegionValues) -> float:
    """Mean of as many of the region's largest values as the predicted structure has voxels (QFR), by count.

    In the whole image it compares a large and a small object alike, and cropping certain background changes nothing.
    All of the region if it has fewer voxels. NaN if nothing is predicted, or the region is empty.

    By count and not from a quantile upwards: where most voxels are exactly 0 that quantile is 0 and lets all in.
    """
    count = min(region.n_foreground, region.values.size)
    return _mean_of_largest(region.values, count) if count else math.nan


@REDUCTIONS.add(
    unit="1",
    higher_is="neither",
    source="Kahl et al. 2024, arXiv:2401.08501",
    label="mean above the threshold",
    reads=RegionValues,
)
def mean_above_threshold(region: RegionValues) -> float:
    """Mean of the values that reach a threshold; 0 if none does.

    Can fall while uncertainty rises: a voxel that has just reached the threshold lowers the mean. NaN if the region is
    empty, or without a threshold; `threshold_of_validation` learns one.
    """
    if math.isnan(region.threshold) or not region.values.size:
        return math.nan
    reached = region.values[~(region.values < region.threshold)]  # NaN stays in
    return float(reached.mean(dtype=np.float64)) if reached.size else 0.0


def _mean_of_largest(values: Float32[np.ndarray, " n"], count: int) -> float:
    first = values.size - count
    return float(np.partition(values, first)[first:].mean(dtype=np.float64))
