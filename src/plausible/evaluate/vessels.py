"""How far round a vessel does a tumour reach? The angle of contact that decides whether a tumour can be resected.

In each slice, the vessel's outline is cut into the sides of its voxels. A side is in contact if the voxel across it
belongs to the tumour. The share of the outline's length in contact, times 360°, is the involvement; each side counts
once. Published code widens the tumour by a voxel and adds up neighbours, so that partial contact comes out too large
(a true 45° as 65°).

Sources: Riera-Marín et al. 2026 (PDACVI), arXiv:2604.27582 (the question and the score).
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtr

FULL_CIRCLE = 360.0


def vascular_involvement_degrees(
    lesion: Bool[np.ndarray, "i j k"],
    vessel: Bool[np.ndarray, "i j k"],
    *,
    spacing_mm: tuple[float, float, float],
    axis: int,
) -> float:
    """Largest angle, over the slices across one axis, that a lesion encloses of a vessel.

    360° times the contact's share of the vessel's outline, from 0 (no contact) to 360 (enclosed). The border of the
    image is no outline. NaN without a vessel, and without a lesion: there is nothing to enclose it.

    Args:
        lesion: mask of the tumour.
        vessel: mask of the vessel; voxels that both claim are the vessel's.
        spacing_mm: along i, j, k.
        axis: voxel axis along which the slices follow.
    """
    if not lesion.any() or not vessel.any():
        return math.nan
    outline, contact = np.zeros(vessel.shape[axis]), np.zeros(vessel.shape[axis])
    others = tuple({0, 1, 2} - {axis})
    for along in others:
        length = spacing_mm[others[0] if along == others[1] else others[1]]
        for inside, across in _neighbours(along):
            side = vessel[inside] & ~vessel[across]
            outline += length * side.sum(axis=others)
            contact += length * (side & lesion[across]).sum(axis=others)
    share = np.divide(contact, outline, out=np.zeros(outline.shape), where=outline > 0)
    return FULL_CIRCLE * float(share.max())


def involvement_distance_degrees(prediction: Sequence[float], raters: Sequence[float]) -> float:
    """How far the predicted involvement is from the raters', in degrees.

    Wasserstein-1 distance, on 0 to 360, of two Gaussians: mean and standard deviation (divided by n) over the
    thresholds of the prediction, and over the raters. Undefined values (NaN) are left out; 360 if one side has none
    that is defined, NaN if both have none.
    """
    ours, theirs = (np.array([value for value in each if not math.isnan(value)]) for each in (prediction, raters))
    if not ours.size or not theirs.size:
        return math.nan if ours.size == theirs.size else FULL_CIRCLE
    return _wasserstein(float(ours.mean()), float(ours.std()), float(theirs.mean()), float(theirs.std()))


def _neighbours(along: int) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Voxels and their neighbours on either side along an axis."""
    first, second = ([slice(None)] * 3 for _ in range(2))
    first[along], second[along] = slice(None, -1), slice(1, None)
    return [(tuple(first), tuple(second)), (tuple(second), tuple(first))]


def _wasserstein(mean: float, sd: float, other_mean: float, other_sd: float) -> float:
    """∫ |F - G| from 0 to 360: two Gaussians cross once at most, where both are as many deviations from their mean."""
    edges = [0.0, FULL_CIRCLE]
    if sd != other_sd:
        edges.append(min(max((mean * other_sd - other_mean * sd) / (other_sd - sd), 0.0), FULL_CIRCLE))
    at = np.sort(np.array(edges))
    areas = np.diff(_integral(at, mean, sd) - _integral(at, other_mean, other_sd))
    return float(np.abs(areas).sum())


def _integral(x: Float[np.ndarray, " n"], mean: float, sd: float) -> Float[np.ndarray, " n"]:
    """Integral of the distribution function up to x: sd · (z Φ(z) + φ(z)), or max(x - mean, 0) without spread."""
    if sd == 0:
        return np.maximum(x - mean, 0)
    z = (x - mean) / sd
    return np.asarray(sd * (z * ndtr(z) + np.exp(-z * z / 2) / math.sqrt(2 * math.pi)))
