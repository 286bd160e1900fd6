"""Are probabilities as often right as they say? Calibration errors, Brier score and negative log-likelihood.

A reliability bin holds the voxels whose confidence lies in it, and how many of them are right. Bins have equal width
and are closed on the left: [0, 1/B), [1/B, 2/B), ..., the last one holds 1.0 too; p = 0 counts. Exclusive classes ask
one question per voxel (is the most probable class right?), overlapping regions one per structure (is it present?).

Where the voxels come from decides the number: the background is easy and fills most of an image. State the region, or
give `within`. Without voxels every score is NaN.

Two errors are called ACE in print. Here `uniform_calibration_error` is the plain mean over bins of equal *width*;
the one over bins of equal *count* is `adaptive_calibration_error`, in `plausible.evaluate.calibration_binning`.

Sources: Naeini et al. 2015 (ECE); Brier 1950; Kull et al. 2019, arXiv:1910.12656 (class-wise).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer

from plausible.core import Catalogue, Classes
from plausible.measure import PROBABILITY_FLOOR

N_BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityBins:
    """Voxels by confidence: how many, how confident, how often right. Cases are merged, slabs are joined: both add.

    Attributes:
        count: voxels per bin.
        confidence_sum: sum of their confidence.
        correct_sum: how many of them are right.
    """

    count: Integer[np.ndarray, " b"]
    confidence_sum: Float[np.ndarray, " b"]
    correct_sum: Float[np.ndarray, " b"]

    @classmethod
    def of(cls, confidence: np.ndarray, correct: np.ndarray, *, n_bins: int = N_BINS) -> "ReliabilityBins":
        """Sort voxels into bins by confidence (0 to 1); `correct` says of each voxel whether it is right.

        Raises:
            ValueError: fewer than one bin, or two arrays of different shape.
        """
        if n_bins < 1 or confidence.shape != correct.shape:
            raise ValueError(
                f"need one bin or more and arrays of one shape: {n_bins}, {confidence.shape}, {correct.shape}"
            )
        flat = confidence.ravel()
        place = bin_of(flat, n_bins)
        count = np.bincount(place, minlength=n_bins)
        confident = np.bincount(place, weights=flat, minlength=n_bins)
        right = np.bincount(place, weights=correct.ravel(), minlength=n_bins)
        return cls(count, confident.astype(np.float64), right.astype(np.float64))  # numpy: integers if empty

    def merge(self, *others: "ReliabilityBins") -> "ReliabilityBins":
        """Return the bins of all voxels of this and others: further slabs of a case, or further cases."""
        parts = (self, *others)
        return ReliabilityBins(
            np.sum([part.count for part in parts], axis=0),
            np.sum([part.confidence_sum for part in parts], axis=0),
            np.sum([part.correct_sum for part in parts], axis=0),
        )

    @property
    def n(self) -> int:
        """Voxels in all bins."""
        return int(self.count.sum())

    @property
    def confidence(self) -> Float[np.ndarray, " b"]:
        """Mean confidence of each bin; NaN where it is empty."""
        return _mean(self.confidence_sum, self.count)

    @property
    def accuracy(self) -> Float[np.ndarray, " b"]:
        """Share of each bin that is right; NaN where it is empty."""
        return _mean(self.correct_sum, self.count)


@dataclass(frozen=True, slots=True)
class ProbabilityScores:
    """Sums over voxels of two proper scores. Slabs and cases add.

    Attributes:
        n: voxels.
        log_sum: Σ -log p of what is true, in nat; p is floored at 1/131070, half a step of the member store.
        brier_sum: Σ Σ_c (p_c - 1[c is true])²; a region counts as two classes, present and absent.
    """

    n: int
    log_sum: float
    brier_sum: float

    def merge(self, *others: "ProbabilityScores") -> "ProbabilityScores":
        """Return the sums over the voxels of this and others."""
        parts = (self, *others)
        return ProbabilityScores(
            sum(part.n for part in parts), sum(part.log_sum for part in parts), sum(part.brier_sum for part in parts)
        )


Probabilities: TypeAlias = Float[np.ndarray, "c i j k"]
Truth: TypeAlias = Float[np.ndarray, "c i j k"]
Region: TypeAlias = Bool[np.ndarray, "i j k"]


def top_label_bins(
    probabilities: Probabilities, truth: Truth, *, n_bins: int = N_BINS, within: Region | None = None
) -> ReliabilityBins:
    """Bins of exclusive classes by the probability of the most probable class: is it the true one?

    Args:
        probabilities: of the classes, at every voxel.
        truth: 1 for the true class, 0 for the others (a rater's `Member.probabilities`).
        n_bins: how many bins.
        within: voxels that count; None counts all.
    """
    p, y = chosen_voxels(probabilities, within), chosen_voxels(truth, within)
    return ReliabilityBins.of(p.max(axis=0), p.argmax(axis=0) == y.argmax(axis=0), n_bins=n_bins)


def presence_bins(
    probabilities: Probabilities, truth: Truth, *, channel: int, n_bins: int = N_BINS, within: Region | None = None
) -> ReliabilityBins:
    """Bins of one class or region by its own probability: is it present, yes or no."""
    p, y = chosen_voxels(probabilities, within), chosen_voxels(truth, within)
    return ReliabilityBins.of(p[channel], y[channel] > 0.5, n_bins=n_bins)


def probability_scores(
    probabilities: Probabilities, truth: Truth, *, within: Region | None = None
) -> ProbabilityScores:
    """Sums of the proper scores of exclusive classes."""
    p, y = chosen_voxels(probabilities, within), chosen_voxels(truth, within)
    true_p = np.take_along_axis(p, y.argmax(axis=0)[np.newaxis], axis=0)
    return ProbabilityScores(true_p.size, _log_loss(true_p), float(np.square(p - y).sum(dtype=np.float64)))


def presence_scores(
    probabilities: Probabilities, truth: Truth, *, channel: int, within: Region | None = None
) -> ProbabilityScores:
    """Sums of the proper scores of one class or region, as the two classes present and absent."""
    p, y = chosen_voxels(probabilities, within)[channel], chosen_voxels(truth, within)[channel] > 0.5
    brier = 2 * float(np.square(p - y).sum(dtype=np.float64))
    return ProbabilityScores(p.size, _log_loss(np.where(y, p, 1 - p)), brier)


def questions(classes: Classes) -> tuple[str, ...]:
    """What is asked at each voxel: one question "" for exclusive classes, one per region for overlapping ones."""
    return ("",) if classes.exclusive else classes.names


CalibrationScore: TypeAlias = Callable[..., float]

CALIBRATION_SCORES: Catalogue[CalibrationScore] = Catalogue("calibration score")


@CALIBRATION_SCORES.add(
    unit="1", higher_is="worse", source="Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602", label="ECE",
    reads=ReliabilityBins,
)  # fmt: skip
def expected_calibration_error(bins: ReliabilityBins) -> float:
    """How far stated confidence is from accuracy, averaged over voxels.

    Σ_b (n_b / n) |accuracy_b - confidence_b|, from 0 (calibrated) to 1. NaN without voxels.
    """
    return float(_gaps(bins) @ bins.count) / bins.n if bins.n else math.nan


@CALIBRATION_SCORES.add(
    unit="1", higher_is="worse", source="fiducio and ValUES convention: equal-width bins", label="ACE (uniform)",
    reads=ReliabilityBins,
)  # fmt: skip
def uniform_calibration_error(bins: ReliabilityBins) -> float:
    """How far stated confidence is from accuracy, averaged over the bins that hold voxels (ACE, equal width).

    (1/B⁺) Σ_b |accuracy_b - confidence_b|, from 0 to 1: rare confidences weigh as much as common ones. NaN without
    voxels.
    """
    held = bins.count > 0
    return float(_gaps(bins)[held].mean()) if bins.n else math.nan


@CALIBRATION_SCORES.add(
    unit="1", higher_is="worse", source="Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602", label="MCE",
    reads=ReliabilityBins,
)  # fmt: skip
def maximum_calibration_error(bins: ReliabilityBins) -> float:
    """Largest distance of stated confidence from accuracy in any bin, however few voxels it holds.

    From 0 to 1; NaN without voxels.
    """
    return float(_gaps(bins).max()) if bins.n else math.nan


@CALIBRATION_SCORES.add(unit="1", higher_is="worse", source="Brier 1950", label="Brier score", reads=ProbabilityScores)
def brier_score(scores: ProbabilityScores) -> float:
    """Mean squared distance of the probabilities from the truth, summed over the classes.

    (1/n) Σ_v Σ_c (p_c - 1[c is true])², from 0 (certain and right) to 2 (certain and wrong). NaN without voxels.
    """
    return scores.brier_sum / scores.n if scores.n else math.nan


@CALIBRATION_SCORES.add(
    unit="nat", higher_is="worse", source="Good 1952", label="NLL", reads=ProbabilityScores,
    upper=lambda classes: -math.log(PROBABILITY_FLOOR),
)  # fmt: skip
def negative_log_likelihood(scores: ProbabilityScores) -> float:
    """Mean surprise about the true class: (1/n) Σ_v -log p_v.

    From 0 (certain and right) to 11.8 nat (certain and wrong: p is floored at 1/131070). NaN without voxels.
    """
    return scores.log_sum / scores.n if scores.n else math.nan


def class_wise_calibration_error(bins: Sequence[ReliabilityBins]) -> float:
    """Calibration error of each class against the rest, averaged over the classes.

    (1/C) Σ_c ECE_c over `presence_bins` of every class, from 0 to 1; classes without voxels are left out. NaN if
    none is left.
    """
    errors = [expected_calibration_error(one) for one in bins if one.n]
    return float(np.mean(errors)) if errors else math.nan


def _gaps(bins: ReliabilityBins) -> Float[np.ndarray, " b"]:
    return np.asarray(np.abs(np.nan_to_num(bins.accuracy - bins.confidence)))


def bin_of(confidence: np.ndarray, n_bins: int) -> Integer[np.ndarray, " n"]:
    """Place of each confidence; edges are rounded as the confidences are, so that a value on an edge goes right."""
    edges = (np.arange(1, n_bins) / n_bins).astype(confidence.dtype)
    return np.searchsorted(edges, confidence, side="right")


def chosen_voxels(array: np.ndarray, within: np.ndarray | None) -> np.ndarray:
    """Channels by voxels that count."""
    return array.reshape(len(array), -1) if within is None else array[:, within]


def _log_loss(p: np.ndarray) -> float:
    return float(-np.log(np.clip(p, PROBABILITY_FLOOR, 1)).sum(dtype=np.float64))


def _mean(total: np.ndarray, count: np.ndarray) -> Float[np.ndarray, " b"]:
    return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
