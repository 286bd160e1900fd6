"""How much of the uncertainty lies where it is clustered, at edges, or mixed? Ratios of mass by a local score.

Σ u s / Σ u over a region, with a score s of each voxel's 3 × 3 × 3 window (3 × 3 in an image of one slice). At the
border of the image the window is mirrored; at the border of the region it sees what lies outside.

Edges and entropy look at absolute values, so a map is divided by its largest possible value first: an entropy of four
classes reaches log 4 = 1.39 and would leave a histogram over [0, 1]. NaN for a map without such a bound, where nothing
is uncertain, and for an empty region.

Source: Guarino et al. 2026, arXiv:2603.29941, in 2-D; where we differ, the functions say so.
"""

import math

import numpy as np
from jaxtyping import Float, Float32, UInt8

from plausible.aggregate.reductions import RATIO, REDUCTIONS
from plausible.aggregate.spatial import RegionMap
from plausible.core import Box

EDGE_PER_MM = 0.025
"""Slope that is an edge, as a share of the largest possible value per mm: 0.2 of a 2-D Sobel filter on 1 mm pixels."""

N_BINS = 4
FLAT = 1e-10
"""Variance of a window, against its mean square, up to which it is constant."""

MARGIN = 2
"""Voxels around a region that its windows, and slopes in them, look at."""


@REDUCTIONS.add(
    unit=RATIO,
    higher_is="neither",
    source="Guarino et al. 2026, arXiv:2603.29941; here in 3-D",
    label="Moran mass ratio",
    reads=RegionMap,
)
def moran_mass_ratio(region: RegionMap) -> float:
    """Share of the uncertainty that lies in clusters (MOR): s = Moran's I of the window, 0 where that is negative.

    From 0 (scattered) to about 1 (smooth). A window of one value has no Moran's I and is left out of both sums, where
    the published code says 1; so a constant map is NaN.
    """
    around, within = _surroundings(region)
    u = region.values[around].astype(np.float64)
    if not u.size or math.prod(u.shape) == 1:
        return math.nan
    score = _local_moran(u)[within]
    inside = region.region.inside & ~np.isnan(score)
    return _mass_ratio(u[within][inside], score[inside], region)


@REDUCTIONS.add(
    unit=RATIO,
    higher_is="neither",
    source="Guarino et al. 2026, arXiv:2603.29941; here in 3-D and per mm",
    label="edge mass ratio",
    reads=RegionMap,
)
def edge_mass_ratio(region: RegionMap) -> float:
    """Share of the uncertainty that lies at edges of the map (EDS): s = share of the window with a steep slope.

    Steep: more than 2.5 % of the largest possible value per mm, by a Sobel filter that is normalised and knows the
    spacing. The published filter is neither, so that its slopes grow fourfold from 2-D to 3-D. From 0 to 1.
    """
    around, within = _surroundings(region)
    if not math.isfinite(region.upper):
        return math.nan
    u = _rescaled(region, around)
    steep = _slope(u, region.spacing_mm) > EDGE_PER_MM
    score = _box_sum(steep.astype(np.uint8), (0, 1, 2))[within] / math.prod(_window(u))
    inside = region.region.inside
    return _mass_ratio(u[within][inside], score[inside], region)


@REDUCTIONS.add(
    unit=RATIO,
    higher_is="neither",
    source="Guarino et al. 2026, arXiv:2603.29941; here in 3-D",
    label="entropy mass ratio",
    reads=RegionMap,
)
def entropy_mass_ratio(region: RegionMap) -> float:
    """Share of the uncertainty that lies among mixed values (ENT): s = entropy of the window's histogram / log 4.

    Four bins of equal width from 0 to the largest possible value of the map. From 0 (every window in one bin) to 1.
    """
    around, within = _surroundings(region)
    if not math.isfinite(region.upper):
        return math.nan
    u = _rescaled(region, around)
    bins = np.minimum((u * N_BINS).astype(np.uint8), N_BINS - 1)
    shares = np.arange(math.prod(_window(u)) + 1, dtype=np.float32) / math.prod(_window(u))
    parts = -shares * np.log(np.maximum(shares, shares[1])) / np.float32(math.log(N_BINS))  # of a bin, by its count
    score = np.zeros(u.shape, dtype=np.float32)
    for number in range(N_BINS):
        score += parts[_box_sum((bins == number).astype(np.uint8), (0, 1, 2))]
    inside = region.region.inside
    return _mass_ratio(u[within][inside], score[within][inside], region)


def _mass_ratio(u: Float[np.ndarray, " n"], score: Float[np.ndarray, " n"], region: RegionMap) -> float:
    if np.isnan(region.inside).any():
        return math.nan
    mass = float(u.sum(dtype=np.float64))
    return float((u * score).sum(dtype=np.float64)) / mass if mass > 0 else math.nan


def _surroundings(region: RegionMap) -> tuple[Box, Box]:
    """Box of the region and what its windows see, and the region's box within it."""
    around, within = [], []
    for part, n in zip(region.region.box, region.values.shape, strict=True):
        start = max(0, part.start - MARGIN)
        around.append(slice(start, min(n, part.stop + MARGIN) if part.stop else 0))
        within.append(slice(part.start - start, part.stop - start))
    return (around[0], around[1], around[2]), (within[0], within[1], within[2])


def _rescaled(region: RegionMap, box: Box) -> Float32[np.ndarray, "u v w"]:
    """A map from 0 to its largest possible value, as shares of that; NaN as 0, which `_mass_ratio` sees to."""
    shares = region.values[box] / np.float32(region.upper)
    return np.clip(np.nan_to_num(shares, copy=False), 0, 1, out=shares)


def _window(values: np.ndarray) -> tuple[int, ...]:
    """Three voxels along every axis that has more than one."""
    return tuple(3 if n > 1 else 1 for n in values.shape)


def _slope(u: Float32[np.ndarray, "u v w"], spacing_mm: tuple[float, float, float]) -> Float32[np.ndarray, "u v w"]:
    """Gradient per mm by Sobel filters: a central difference, smoothed with weights 1, 2, 1 of sum 1 across."""
    squares = np.zeros_like(u)
    if not u.size:
        return squares
    for axis, spacing in enumerate(spacing_mm):
        smooth = u
        for other in {0, 1, 2} - {axis}:
            smooth = _smoothed(smooth, other)
        ends = [(1, 1) if other == axis else (0, 0) for other in range(3)]
        along = np.moveaxis(np.pad(smooth, ends, mode="edge"), axis, 0)
        squares += np.moveaxis((along[2:] - along[:-2]) / np.float32(2 * spacing), 0, axis) ** 2
    return np.sqrt(squares, out=squares)


def _smoothed(x: Float32[np.ndarray, "u v w"], axis: int) -> Float32[np.ndarray, "u v w"]:
    """Mean of three voxels along an axis with weights 1, 2, 1; beyond the end the last one again."""
    along, out = np.moveaxis(x, axis, 0), np.moveaxis(2 * x, axis, 0)
    out[1:] += along[:-1]
    out[:-1] += along[1:]
    out[0] += along[0]
    out[-1] += along[-1]
    return np.moveaxis(out, 0, axis) / np.float32(4)


def _local_moran(x: Float[np.ndarray, "u v w"]) -> Float[np.ndarray, "u v w"]:
    """Moran's I of every window, at least 0; NaN where the window is constant.

    All sums over windows are box filters: with x̄ the window's mean and d_i the neighbours of voxel i inside it,
    Σ (x_i - x̄)(x_j - x̄) over the pairs is Σ x_i x_j - x̄ Σ d_i x_i + (number of pairs) x̄².
    """
    sides = _window(x)
    n, axes = math.prod(sides), [axis for axis in range(3) if sides[axis] > 1]
    n_pairs = len(axes) * 2 * n // 3
    total = _box_sum(x, (0, 1, 2))
    products, by_degree = np.zeros_like(x), len(axes) * total
    for axis in axes:
        others = tuple({0, 1, 2} - {axis})
        products += _box_sum(_products(x, axis), others)
        by_degree += _box_sum(x, others)
    mean, mean_square = total / n, _box_sum(x * x, (0, 1, 2)) / n
    variance = mean_square - mean * mean
    cross = products - mean * by_degree + n_pairs * mean * mean
    undefined = np.full(x.shape, np.nan)
    score = np.divide(cross, n_pairs * variance, out=undefined, where=variance > FLAT * mean_square)
    return np.maximum(score, 0, out=score)


def _box_sum(
    x: Float[np.ndarray, "u v w"] | UInt8[np.ndarray, "u v w"], axes: tuple[int, ...]
) -> Float[np.ndarray, "u v w"] | UInt8[np.ndarray, "u v w"]:
    """Sum of each voxel and its neighbours along the axes that have any; mirrored at the ends."""
    for axis in axes:
        if x.shape[axis] > 1:
            along, out = np.moveaxis(x, axis, 0), np.moveaxis(x.copy(), axis, 0)
            out[1:] += along[:-1]
            out[:-1] += along[1:]
            out[0] += along[1]
            out[-1] += along[-2]
            x = np.moveaxis(out, 0, axis)
    return x


def _products(x: Float[np.ndarray, "u v w"], axis: int) -> Float[np.ndarray, "u v w"]:
    """Product with the voxel before plus that with the one after; at the end, where the map is mirrored, twice."""
    along = np.moveaxis(x, axis, 0)
    pairs = along[:-1] * along[1:]
    both = np.concatenate([pairs[:1], pairs]) + np.concatenate([pairs, pairs[-1:]])
    return np.moveaxis(both, 0, axis)
