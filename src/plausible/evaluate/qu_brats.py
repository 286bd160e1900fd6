"""The QU-BraTS scores: what is left when uncertain voxels are filtered out, and how much good is lost with them.

Uncertainty runs from 0 to 100. At each threshold, voxels above it are filtered out; Dice is taken of the rest, and the
filtered share of the true positives and of the true negatives says what the filter costs. The areas over thresholds are
divided by 100. As the protocol has it, Dice of nothing is 1, and a share of no voxels is 0.

Sources: Mehta et al. 2022, arXiv:2112.10074, and the authors' published program.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64

from plausible.core import Catalogue

QU_BRATS_THRESHOLDS: tuple[float, ...] = tuple(2.5 * step for step in range(41))
SOURCE = "Mehta et al. 2022 (QU-BraTS), arXiv:2112.10074"


@dataclass(frozen=True, slots=True, eq=False)
class FilteredCounts:
    """Voxels that are left at each threshold.

    Attributes:
        thresholds: ascending, from 0 to 100.
        found: true positives with an uncertainty of at most the threshold.
        false: false positives and misses together.
        found_within, absent_within: true positives and true negatives of the region that the filter is judged in.
        n_found, n_absent: all of these two in the region.
    """

    thresholds: Float64[np.ndarray, " t"]
    found: Float64[np.ndarray, " t"]
    false: Float64[np.ndarray, " t"]
    found_within: Float64[np.ndarray, " t"]
    absent_within: Float64[np.ndarray, " t"]
    n_found: int
    n_absent: int

    @property
    def dice(self) -> Float64[np.ndarray, " t"]:
        """Dice of the voxels left; 1 if neither mask is left."""
        size = 2 * self.found + self.false
        return np.asarray(np.divide(2 * self.found, size, out=np.ones(len(size)), where=size > 0))

    @property
    def filtered_positives(self) -> Float64[np.ndarray, " t"]:
        """Share of the true positives filtered out."""
        return np.asarray((self.n_found - self.found_within) / max(self.n_found, 1))

    @property
    def filtered_negatives(self) -> Float64[np.ndarray, " t"]:
        """Share of the true negatives filtered out."""
        return np.asarray((self.n_absent - self.absent_within) / max(self.n_absent, 1))


def filtered_counts(
    prediction: Bool[np.ndarray, "i j k"],
    reference: Bool[np.ndarray, "i j k"],
    uncertainty: Float[np.ndarray, "i j k"],
    *,
    within: Bool[np.ndarray, "i j k"],
    thresholds: tuple[float, ...] = QU_BRATS_THRESHOLDS,
) -> FilteredCounts:
    """Count what each threshold leaves, in one pass.

    Args:
        prediction: mask of a structure.
        reference: the true mask.
        uncertainty: from 0 (sure) to 100.
        within: the brain; the filtered shares are of its voxels, and Dice of the image as published.
        thresholds: ascending, from 0 to 100.

    Raises:
        ValueError: an uncertainty outside 0 to 100, or thresholds that do not ascend from 0 to 100.
    """
    edges = np.array(thresholds, dtype=np.float64)
    if len(edges) < 2 or not (np.diff(edges) > 0).all() or (edges[0], edges[-1]) != (0, 100):
        raise ValueError(f"thresholds must ascend from 0 to 100, got {thresholds}")
    if uncertainty.size and not (uncertainty.min() >= 0 and uncertainty.max() <= 100):
        raise ValueError(f"uncertainty must lie in 0 to 100, got {uncertainty.min():g} to {uncertainty.max():g}")

    def left(chosen: np.ndarray) -> Float64[np.ndarray, " t"]:
        place = np.searchsorted(edges, uncertainty[chosen], side="left")
        return np.cumsum(np.bincount(place, minlength=len(edges))).astype(np.float64)

    found, absent = prediction & reference & within, ~prediction & ~reference & within
    return FilteredCounts(
        thresholds=edges,
        found=left(prediction & reference),
        false=left(prediction ^ reference),
        found_within=left(found),
        absent_within=left(absent),
        n_found=int(np.count_nonzero(found)),
        n_absent=int(np.count_nonzero(absent)),
    )


QuBratsScore: TypeAlias = Callable[..., float]

QU_BRATS_SCORES: Catalogue[QuBratsScore] = Catalogue("QU-BraTS score")


@QU_BRATS_SCORES.add(unit="1", higher_is="better", source=SOURCE, label="QU-BraTS: Dice area")
def filtered_dice_area(counts: FilteredCounts) -> float:
    """Dice of the voxels that a filter leaves, averaged over thresholds; from 0 to 1."""
    return _area(counts, counts.dice)


@QU_BRATS_SCORES.add(unit="1", higher_is="worse", source=SOURCE, label="QU-BraTS: filtered TP area")
def filtered_positives_area(counts: FilteredCounts) -> float:
    """Share of true positives that a filter takes away, averaged over thresholds; 0 loses none."""
    return _area(counts, counts.filtered_positives)


@QU_BRATS_SCORES.add(unit="1", higher_is="worse", source=SOURCE, label="QU-BraTS: filtered TN area")
def filtered_negatives_area(counts: FilteredCounts) -> float:
    """Share of true negatives that a filter takes away, averaged over thresholds; 0 loses none."""
    return _area(counts, counts.filtered_negatives)


@QU_BRATS_SCORES.add(unit="1", higher_is="better", source=SOURCE, label="QU-BraTS score")
def qu_brats_score(counts: FilteredCounts) -> float:
    """Mean of the Dice area, 1 - filtered TP area and 1 - filtered TN area; 1 is right and sure where right."""
    lost = filtered_positives_area(counts) + filtered_negatives_area(counts)
    return math.fsum((filtered_dice_area(counts), 2, -lost)) / 3


def _area(counts: FilteredCounts, values: np.ndarray) -> float:
    return float(np.trapezoid(values, counts.thresholds)) / 100
