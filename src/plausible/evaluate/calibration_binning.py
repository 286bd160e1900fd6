"""Calibration from every confidence, not from 15 fixed bins: bins of equal count, and the parts of the Brier score.

Bins of equal *count* (equal mass, "adaptive") put as many voxels into each bin, wherever the confidences lie. Voxels of
equal confidence cannot be told apart: where a bin ends among them it takes its share of them, with their common
accuracy. So every bin holds exactly n/B voxels, the order of voxels never matters, and the mean over bins (ACE) and
the mean over voxels (ECE) are one number. `uniform_calibration_error` is the other ACE, over bins of equal *width*.

The Brier score of a yes-no question splits into reliability - resolution + uncertainty, exactly, if each distinct
probability is a bin of its own, and with a fourth term for what bins hide otherwise.

Sources: Nixon et al. 2019, arXiv:1904.01685 (equal-mass bins, class-wise); Murphy 1973 and Stephenson et al. 2008
(Brier decomposition, and its terms within bins).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float, Float64, Int64

from plausible.core import Catalogue
from plausible.evaluate.calibration import N_BINS, Probabilities, Region, ReliabilityBins, Truth, bin_of, chosen_voxels


@dataclass(frozen=True, slots=True, eq=False)
class ConfidenceLevels:
    """Voxels by their exact confidence: slabs, cases and raters are merged, and nothing is lost to bins.

    Attributes:
        level: the distinct confidences, ascending.
        count: voxels of each.
        correct_sum: how many of them are right.
    """

    level: Float64[np.ndarray, " l"]
    count: Int64[np.ndarray, " l"]
    correct_sum: Float64[np.ndarray, " l"]

    @classmethod
    def of(cls, confidence: np.ndarray, correct: np.ndarray) -> "ConfidenceLevels":
        """Sort voxels by confidence (0 to 1); `correct` says of each whether it is right.

        Raises:
            ValueError: two arrays of different shape.
        """
        if confidence.shape != correct.shape:
            raise ValueError(f"one answer for each confidence, got {correct.shape} for {confidence.shape}")
        flat = confidence.ravel()
        return cls._pooled(flat, np.ones(flat.size, dtype=np.int64), correct.ravel())

    def merge(self, *others: "ConfidenceLevels") -> "ConfidenceLevels":
        """Return the voxels of this and others together."""
        parts = (self, *others)
        return self._pooled(
            np.concatenate([part.level for part in parts]),
            np.concatenate([part.count for part in parts]),
            np.concatenate([part.correct_sum for part in parts]),
        )

    @classmethod
    def _pooled(cls, confidence: np.ndarray, count: np.ndarray, correct: np.ndarray) -> "ConfidenceLevels":
        level, place = np.unique(confidence, return_inverse=True)
        voxels = np.bincount(place, weights=count, minlength=len(level)).astype(np.int64)
        right = np.bincount(place, weights=correct, minlength=len(level)).astype(np.float64)
        return cls(level.astype(np.float64), voxels, right)

    @property
    def n(self) -> int:
        """Voxels of all levels."""
        return int(self.count.sum())


@dataclass(frozen=True, slots=True, eq=False)
class EqualMassBins:
    """Mean confidence and accuracy of bins that hold n/B voxels each, from the least confident; NaN without voxels."""

    confidence: Float64[np.ndarray, " b"]
    accuracy: Float64[np.ndarray, " b"]


@dataclass(frozen=True, slots=True)
class BrierDecomposition:
    """Parts of a Brier score: reliability - resolution + uncertainty + within_bins.

    Attributes:
        reliability: Σ_b (n_b/n) (confidence_b - share_b)²: stated minus observed.
        resolution: Σ_b (n_b/n) (share_b - share)²: how far the bins' shares lie apart.
        uncertainty: share (1 - share) of the reference alone.
        within_bins: variance of the probabilities in their bins minus twice their covariance with the truth.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float

    @property
    def brier(self) -> float:
        """The Brier score that the parts add up to."""
        return self.reliability - self.resolution + self.uncertainty + self.within_bins


def top_label_levels(probabilities: Probabilities, truth: Truth, *, within: Region | None = None) -> ConfidenceLevels:
    """Voxels of exclusive classes by the probability of the most probable class: is it the true one?"""
    p, y = chosen_voxels(probabilities, within), chosen_voxels(truth, within)
    return ConfidenceLevels.of(p.max(axis=0), p.argmax(axis=0) == y.argmax(axis=0))


def presence_levels(
    probabilities: Probabilities, truth: Truth, *, channel: int, within: Region | None = None
) -> ConfidenceLevels:
    """Voxels by the probability of one class or region: is it present, yes or no?"""
    p, y = chosen_voxels(probabilities, within), chosen_voxels(truth, within)
    return ConfidenceLevels.of(p[channel], y[channel] > 0.5)


def class_wise_levels(
    probabilities: Probabilities, truth: Truth, *, within: Region | None = None
) -> tuple[ConfidenceLevels, ...]:
    """`presence_levels` of every class or region."""
    return tuple(
        presence_levels(probabilities, truth, channel=channel, within=within) for channel in range(len(probabilities))
    )


def equal_mass_bins(levels: ConfidenceLevels, *, n_bins: int = N_BINS) -> EqualMassBins:
    """Bins of n/B voxels each; voxels of equal confidence are shared out where a bin ends among them.

    Raises:
        ValueError: fewer than one bin.
    """
    if n_bins < 1:
        raise ValueError(f"need one bin or more, got {n_bins}")
    if not levels.n:
        return EqualMassBins(np.full(n_bins, np.nan), np.full(n_bins, np.nan))
    reached = np.append(0, np.cumsum(levels.count))
    ends = np.arange(n_bins + 1) * (levels.n / n_bins)

    def means(sums: np.ndarray) -> np.ndarray:
        up_to = np.interp(ends, reached, np.append(0.0, np.cumsum(sums)))
        return np.asarray(np.diff(up_to) / (levels.n / n_bins))

    return EqualMassBins(means(levels.level * levels.count), means(levels.correct_sum))


def brier_decomposition(levels: ConfidenceLevels, *, n_bins: int | None = N_BINS) -> BrierDecomposition:
    """Parts of the Brier score of a yes-no question, mean (p - y)², from 0 to 1.

    Args:
        levels: of the probability of "yes" (`presence_levels`).
        n_bins: bins of equal width; None makes each distinct probability a bin of its own, and `within_bins` 0.

    Returns:
        The parts; NaN without voxels.

    Raises:
        ValueError: fewer than one bin.
    """
    if n_bins is not None and n_bins < 1:
        raise ValueError(f"need one bin or more, got {n_bins}")
    if not levels.n:
        return BrierDecomposition(math.nan, math.nan, math.nan, math.nan)
    place = np.arange(len(levels.level)) if n_bins is None else bin_of(levels.level, n_bins)
    held, place = np.unique(place, return_inverse=True)
    sums = [
        np.bincount(place, weights=values, minlength=len(held))
        for values in (levels.count, levels.level * levels.count, levels.correct_sum)
    ]
    count, stated, observed = sums[0], sums[1] / sums[0], sums[2] / sums[0]
    share = float(levels.correct_sum.sum()) / levels.n
    off = levels.level - stated[place]
    variance = levels.count @ off**2
    covariance = (levels.correct_sum - levels.count * observed[place]) @ off
    return BrierDecomposition(
        reliability=float(count @ (stated - observed) ** 2) / levels.n,
        resolution=float(count @ (observed - share) ** 2) / levels.n,
        uncertainty=share * (1 - share),
        within_bins=float(variance - 2 * covariance) / levels.n,
    )


def total_brier_decomposition(parts: Sequence[BrierDecomposition]) -> BrierDecomposition:
    """Parts summed over the classes: they add up to `brier_score`, from 0 to 2."""
    return BrierDecomposition(*(math.fsum(column) for column in zip(*map(astuple, parts), strict=True)))


AdaptiveScore: TypeAlias = Callable[..., float]

ADAPTIVE_CALIBRATION_SCORES: Catalogue[AdaptiveScore] = Catalogue("adaptive calibration score")


@ADAPTIVE_CALIBRATION_SCORES.add(
    unit="1", higher_is="worse", source="Nixon et al. 2019, arXiv:1904.01685", label="ACE (equal mass)",
    reads=ConfidenceLevels,
)  # fmt: skip
def adaptive_calibration_error(levels: ConfidenceLevels, *, n_bins: int = N_BINS) -> float:
    """How far stated confidence is from accuracy, averaged over bins of equal count (ACE, equal mass).

    (1/B) Σ_b |accuracy_b - confidence_b|, from 0 to 1; the same over voxels ("adaptive ECE"). NaN without voxels.
    Differs from code that sorts and splits: there, voxels of equal confidence fall into bins by their order.
    """
    return float(_gaps(equal_mass_bins(levels, n_bins=n_bins)).mean())


@ADAPTIVE_CALIBRATION_SCORES.add(
    unit="1", higher_is="worse", source="Nixon et al. 2019, arXiv:1904.01685", label="MCE (equal mass)",
    reads=ConfidenceLevels,
)  # fmt: skip
def adaptive_maximum_calibration_error(levels: ConfidenceLevels, *, n_bins: int = N_BINS) -> float:
    """Largest distance of stated confidence from accuracy in any of B bins of equal count.

    From 0 to 1; NaN without voxels. No bin rests on a handful of voxels, as in `maximum_calibration_error`.
    """
    return float(_gaps(equal_mass_bins(levels, n_bins=n_bins)).max())


BRIER_TERMS: Catalogue[AdaptiveScore] = Catalogue("Brier term")


@BRIER_TERMS.add(
    unit="1", higher_is="worse", source="Murphy 1973", label="Brier: reliability", reads=BrierDecomposition
)
def brier_reliability(parts: BrierDecomposition) -> float:
    """What miscalibration costs: squared distance of stated from observed shares. 0 is calibrated."""
    return parts.reliability


@BRIER_TERMS.add(
    unit="1", higher_is="better", source="Murphy 1973", label="Brier: resolution", reads=BrierDecomposition
)
def brier_resolution(parts: BrierDecomposition) -> float:
    """What telling voxels apart gains: variance of the observed shares between bins. 0 says the same everywhere."""
    return parts.resolution


@BRIER_TERMS.add(
    unit="1", higher_is="neither", source="Murphy 1973", label="Brier: uncertainty", reads=BrierDecomposition
)
def brier_uncertainty(parts: BrierDecomposition) -> float:
    """Variance of the reference itself, which no prediction changes: share (1 - share)."""
    return parts.uncertainty


@BRIER_TERMS.add(
    unit="1", higher_is="neither", source="Stephenson et al. 2008", label="Brier: within bins", reads=BrierDecomposition
)
def brier_within_bins(parts: BrierDecomposition) -> float:
    """What bins hide: variance of the probabilities in their bins minus twice their covariance with the truth."""
    return parts.within_bins


Sampled = TypeVar("Sampled", ReliabilityBins, ConfidenceLevels)


def class_wise(score: Callable[[Sampled], float], classes: Sequence[Sampled]) -> float:
    """Any calibration score of each class against the rest, averaged over the classes that have voxels.

    `class_wise(adaptive_calibration_error, class_wise_levels(p, y))` is the ACE of Nixon et al. NaN if no class has
    voxels.
    """
    scores = [score(one) for one in classes if one.n]
    return float(np.mean(scores)) if scores else math.nan


def _gaps(bins: EqualMassBins) -> Float[np.ndarray, " b"]:
    return np.asarray(np.abs(bins.accuracy - bins.confidence))
