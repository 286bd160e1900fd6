"""How much do two masks share, and how far apart are their volumes?

Counts of voxels, one record per structure. If both masks are empty there is nothing to compare: every score is NaN,
and tables count how many. If only one is empty, overlap is 0.

Sources: Dice 1945; Jaccard 1912; Taha and Hanbury 2015, doi:10.1186/s12880-015-0068-x (an overview).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from plausible.core import Catalogue


@dataclass(frozen=True, slots=True)
class Overlap:
    """Voxels of two masks by who marks them.

    Attributes:
        true_positives: voxels in both.
        false_positives: voxels in the prediction only.
        false_negatives: voxels in the reference only.
        true_negatives: voxels in neither.
        voxel_volume_ml: volume of one voxel in ml.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    voxel_volume_ml: float

    @property
    def n_union(self) -> int:
        """Voxels that at least one mask marks; 0 if both are empty."""
        return self.true_positives + self.false_positives + self.false_negatives

    @property
    def prediction_ml(self) -> float:
        """Volume of the prediction in ml."""
        return (self.true_positives + self.false_positives) * self.voxel_volume_ml

    @property
    def reference_ml(self) -> float:
        """Volume of the reference in ml."""
        return (self.true_positives + self.false_negatives) * self.voxel_volume_ml

    def join(self, *others: "Overlap") -> "Overlap":
        """Return the overlap of all voxels of this and further slabs of one image.

        Raises:
            ValueError: the slabs have voxels of different volume.
        """
        parts = (self, *others)
        if len({part.voxel_volume_ml for part in parts}) > 1:
            raise ValueError("only slabs of one image can be joined; these have voxels of different volume")
        return Overlap(
            sum(part.true_positives for part in parts),
            sum(part.false_positives for part in parts),
            sum(part.false_negatives for part in parts),
            sum(part.true_negatives for part in parts),
            self.voxel_volume_ml,
        )


def overlap(
    prediction: Bool[np.ndarray, "i j k"], reference: Bool[np.ndarray, "i j k"], *, voxel_volume_ml: float
) -> Overlap:
    """Count the voxels of two masks of one structure."""
    both = int(np.count_nonzero(prediction & reference))
    predicted, referred = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    neither = prediction.size - predicted - referred + both
    return Overlap(both, predicted - both, referred - both, neither, voxel_volume_ml)


OverlapScore: TypeAlias = Callable[[Overlap], float]

OVERLAP_SCORES: Catalogue[OverlapScore] = Catalogue("overlap score")


@OVERLAP_SCORES.add(unit="1", higher_is="better", source="Dice 1945, doi:10.2307/1932409", label="Dice")
def dice(counts: Overlap) -> float:
    """Shared part of two masks, measured by their mean size.

    2 TP / (2 TP + FP + FN), from 0 (nothing shared) to 1 (identical). NaN if both are empty, 0 if one is.
    """
    return _ratio(2 * counts.true_positives, counts.true_positives + counts.n_union)


@OVERLAP_SCORES.add(unit="1", higher_is="better", source="Jaccard 1912", label="IoU")
def iou(counts: Overlap) -> float:
    """Shared part of two masks, measured by all that either marks (Jaccard index).

    TP / (TP + FP + FN) = Dice / (2 - Dice), from 0 to 1. NaN if both are empty, 0 if one is.
    """
    return _ratio(counts.true_positives, counts.n_union)


@OVERLAP_SCORES.add(unit="1", higher_is="better", source="Taha and Hanbury 2015, doi:10.1186/s12880-015-0068-x")
def sensitivity(counts: Overlap) -> float:
    """Share of the reference that the prediction found: TP / (TP + FN), 0 to 1. NaN if the reference is empty."""
    return _ratio(counts.true_positives, counts.true_positives + counts.false_negatives)


@OVERLAP_SCORES.add(unit="1", higher_is="better", source="Taha and Hanbury 2015, doi:10.1186/s12880-015-0068-x")
def precision(counts: Overlap) -> float:
    """Share of the prediction that is in the reference: TP / (TP + FP), 0 to 1. NaN if the prediction is empty."""
    return _ratio(counts.true_positives, counts.true_positives + counts.false_positives)


@OVERLAP_SCORES.add(unit="ml", higher_is="neither", source="difference of two volumes", label="volume difference")
def volume_difference_ml(counts: Overlap) -> float:
    """Volume of the prediction minus that of the reference; above 0 is too large. NaN if both are empty."""
    return counts.prediction_ml - counts.reference_ml if counts.n_union else math.nan


@OVERLAP_SCORES.add(unit="ml", higher_is="worse", source="difference of two volumes", label="volume error")
def absolute_volume_difference_ml(counts: Overlap) -> float:
    """Size of the volume error, whatever its sign; from 0. NaN if both are empty."""
    return abs(volume_difference_ml(counts))


@OVERLAP_SCORES.add(unit="1", higher_is="neither", source="difference of two volumes")
def relative_volume_difference(counts: Overlap) -> float:
    """Volume error as a share of the reference.

    (prediction - reference) / reference, from -1 (all missed). NaN if the reference is empty.
    """
    return _ratio(volume_difference_ml(counts), counts.reference_ml)


@OVERLAP_SCORES.add(unit="1", higher_is="worse", source="difference of two volumes", label="relative volume error")
def absolute_relative_volume_difference(counts: Overlap) -> float:
    """Size of the volume error as a share of the reference, whatever its sign; from 0. NaN without reference."""
    return abs(relative_volume_difference(counts))


def _ratio(part: int | float, whole: int | float) -> float:
    return part / whole if whole else math.nan
