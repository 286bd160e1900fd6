"""Is the model as unsure as it is wrong near the contour, and in the right places? BA-ECE in mm, and SPACE.

At every voxel the answer given (the most probable class, or "present, yes or no") has an uncertainty U = 1 - confidence
and an error E, 1 where it differs from the reference.

BA-ECE compares the means of both in bands of distance to the reference's contour, and weighs near bands more. The
contour is where a voxel has a face neighbour of another label: both have distance 0, and other voxels the distance in
mm to the nearest of them. `spacing_mm=(1, 1, 1)` gives the published variant in voxels, which calls 3 voxels near
whether slices are 1 or 5 mm thick. A reference without a contour has no distances: its voxels are counted apart.

SPACE compares U and E after smoothing both: errors count as foreseen if they lie within about sigma of where they were
expected.

Sources: Zeevi et al. 2025, arXiv:2506.16589 (both).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import edt
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64, Integer
from scipy.ndimage import gaussian_filter

from plausible.core import Catalogue

BAND_EDGES_MM = (0.0, 3.0, 7.0, 15.0, math.inf)
ROUNDING_MM = 1e-4
"""A distance this little below an edge lies on it."""

Spacing: TypeAlias = tuple[float, float, float]
Region: TypeAlias = Bool[np.ndarray, "i j k"]
Labels: TypeAlias = Integer[np.ndarray, "i j k"]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a segmentation says at each voxel, and how sure it is of that.

    Attributes:
        given: place of the most probable class; 1 or 0 for present or not.
        confidence: probability of the answer given, from 0 to 1.
    """

    given: Integer[np.ndarray, "i j k"]
    confidence: Float[np.ndarray, "i j k"]


@dataclass(frozen=True, slots=True, eq=False)
class BoundaryBands:
    """Uncertainty and error in bands of distance to the contour. Raters and cases are merged: everything adds.

    Attributes:
        edges_mm: a band holds distances from one edge up to, not with, the next.
        count: voxels of each band.
        uncertainty_sum: sum of 1 - confidence.
        error_sum: how many of them are wrong.
        distance_sum_mm: sum of their distances.
        n_without_boundary: voxels left out, as their reference has no contour.
    """

    edges_mm: tuple[float, ...]
    count: Int64[np.ndarray, " b"]
    uncertainty_sum: Float64[np.ndarray, " b"]
    error_sum: Float64[np.ndarray, " b"]
    distance_sum_mm: Float64[np.ndarray, " b"]
    n_without_boundary: int = 0

    def merge(self, *others: "BoundaryBands") -> "BoundaryBands":
        """Return the bands over the voxels of this and others.

        Raises:
            ValueError: bands with other edges.
        """
        parts = (self, *others)
        if any(part.edges_mm != self.edges_mm for part in parts):
            raise ValueError(f"bands need the same edges: {[part.edges_mm for part in parts]}")
        return BoundaryBands(
            self.edges_mm,
            np.sum([part.count for part in parts], axis=0),
            np.sum([part.uncertainty_sum for part in parts], axis=0),
            np.sum([part.error_sum for part in parts], axis=0),
            np.sum([part.distance_sum_mm for part in parts], axis=0),
            sum(part.n_without_boundary for part in parts),
        )

    @property
    def n(self) -> int:
        """Voxels of all bands."""
        return int(self.count.sum())


def top_label_answers(probabilities: Float[np.ndarray, "c i j k"]) -> Answers:
    """Answers of exclusive classes: the most probable one."""
    return Answers(probabilities.argmax(axis=0), probabilities.max(axis=0))


def presence_answers(probabilities: Float[np.ndarray, "c i j k"], *, channel: int) -> Answers:
    """Answers about one class or region: present where p > 0.5."""
    p = probabilities[channel]
    return Answers((p > 0.5).astype(np.uint8), np.maximum(p, 1 - p))


def boundary_distance_mm(labels: Labels, *, spacing_mm: Spacing) -> Float32[np.ndarray, "i j k"]:
    """Distance in mm from each voxel to the nearest one that has a face neighbour of another label.

    0 on both sides of the contour; infinite everywhere if all voxels have one label. The edge of the image is no
    contour.
    """
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        first: list[slice] = [slice(None)] * 3
        second: list[slice] = [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        differs = labels[tuple(first)] != labels[tuple(second)]
        edge[tuple(first)] |= differs
        edge[tuple(second)] |= differs
    if not edge.any():
        return np.full(labels.shape, np.inf, dtype=np.float32)
    return np.asarray(edt.edt(~edge, anisotropy=spacing_mm, black_border=False, parallel=1))


def boundary_bands(
    answers: Answers,
    reference: Labels,
    *,
    spacing_mm: Spacing,
    edges_mm: Sequence[float] = BAND_EDGES_MM,
    within: Region | None = None,
) -> BoundaryBands:
    """Sort voxels by their distance to the contour of one reference.

    Args:
        answers: of the prediction.
        reference: the true answers, on the whole image: distances do not stop at the edge of a slab.
        spacing_mm: along i, j, k; (1, 1, 1) measures in voxels.
        edges_mm: ascending, two or more.
        within: voxels that count; None counts all.

    Raises:
        ValueError: edges that do not ascend, or fewer than two.
    """
    edges = np.array(edges_mm, dtype=np.float64)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"need two edges or more that ascend, got {tuple(edges_mm)}")
    chosen = np.ones(reference.shape, dtype=bool) if within is None else within
    distance = boundary_distance_mm(reference, spacing_mm=spacing_mm)[chosen].astype(np.float64)
    n_without = int(np.count_nonzero(np.isinf(distance)))
    place = np.searchsorted(edges, distance + ROUNDING_MM, side="right") - 1
    kept = np.isfinite(distance) & (place >= 0) & (place < len(edges) - 1)
    place, distance = place[kept], distance[kept]

    def total(values: np.ndarray) -> Float64[np.ndarray, " b"]:
        return np.bincount(place, weights=values, minlength=len(edges) - 1).astype(np.float64)

    return BoundaryBands(
        edges_mm=tuple(edges.tolist()),
        count=np.bincount(place, minlength=len(edges) - 1).astype(np.int64),
        uncertainty_sum=total(1 - answers.confidence[chosen][kept].astype(np.float64)),
        error_sum=total((answers.given[chosen] != reference[chosen])[kept]),
        distance_sum_mm=total(distance),
        n_without_boundary=n_without,
    )


BoundaryScore: TypeAlias = Callable[..., float]

BOUNDARY_CALIBRATION_SCORES: Catalogue[BoundaryScore] = Catalogue("boundary calibration score")


@BOUNDARY_CALIBRATION_SCORES.add(
    unit="1", higher_is="worse", source="Zeevi et al. 2025, arXiv:2506.16589", label="BA-ECE", reads=BoundaryBands
)
def boundary_aware_calibration_error(bands: BoundaryBands) -> float:
    """How far mean uncertainty is from the error rate, in bands of distance to the contour, near bands weighing more.

    Σ_b w_b |U_b - E_b| / Σ_b w_b with w_b = 1 / (1 + mean distance of the band in mm), over the bands that hold
    voxels; from 0 to 1. With one band it is |mean U - mean E|. NaN without voxels.
    """
    held = bands.count > 0
    if not held.any():
        return math.nan
    count = bands.count[held]
    gap = np.abs(bands.uncertainty_sum[held] - bands.error_sum[held]) / count
    weight = 1 / (1 + bands.distance_sum_mm[held] / count)
    return float(weight @ gap / weight.sum())


@BOUNDARY_CALIBRATION_SCORES.add(
    unit="1", higher_is="worse", source="Zeevi et al. 2025, arXiv:2506.16589", label="SPACE", reads=Answers
)
def spatial_calibration_error(
    answers: Answers, reference: Labels, *, spacing_mm: Spacing, sigma_mm: float, within: Region | None = None
) -> float:
    """How far smoothed uncertainty is from smoothed error, averaged over voxels (SPACE).

    mean |G∗U - G∗E|, from 0 to 1; NaN without voxels. A narrow Gaussian gives mean |U - E|, a wide one
    |mean U - mean E|. The image is mirrored at its borders; of a region, only its own voxels enter.

    Args:
        answers: of the prediction.
        reference: the true answers.
        spacing_mm: along i, j, k.
        sigma_mm: width of the Gaussian in mm, at least 0; cut off at four times that.
        within: voxels that count; None counts all.

    Raises:
        ValueError: a negative width.
    """
    if sigma_mm < 0:
        raise ValueError(f"sigma_mm must be at least 0, got {sigma_mm}")
    gap = 1 - answers.confidence.astype(np.float64) - (answers.given != reference)
    sigma = [sigma_mm / spacing for spacing in spacing_mm]
    if within is None:
        return float(np.abs(gaussian_filter(gap, sigma, mode="reflect")).mean()) if gap.size else math.nan
    if not within.any():
        return math.nan
    share = gaussian_filter(within.astype(np.float64), sigma, mode="reflect")[within]
    return float(np.abs(gaussian_filter(np.where(within, gap, 0), sigma, mode="reflect")[within] / share).mean())
