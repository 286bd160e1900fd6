"""Does an uncertainty tell how often a voxel is wrong? Voxels sorted by a map's value, the map turned into confidence.

A map of uncertainty is no confidence: an entropy of 0.3 nat does not say how often the label is right. Platt's fit
P(correct | u) = σ(b - a u) makes one of it, and then the usual gap between confidence and accuracy can be taken. The
fit is made on other cases than those it judges.

Published code fits every validation image alone and averages a and b; here all their voxels are pooled. Voxels are
sorted into `N_LEVELS` levels first, so that a case is kept as a few numbers.

Sources: Platt 1999 (the fit); Kahl et al. 2024 (ValUES), arXiv:2401.08501 (the question).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.special import expit, log_expit

from plausible.evaluate import ReliabilityBins, uniform_calibration_error

N_LEVELS = 200
MAX_STEPS, TOLERANCE, SMALLEST = 100, 1e-10, 1e-300
N_BINS = 20
"""Bins of the confidence, as published."""


@dataclass(frozen=True, slots=True, eq=False)
class UncertaintyLevels:
    """Voxels by the value of a map, and how many of them are labelled right. Cases and raters add.

    Attributes:
        upper: largest possible value of the map; levels divide 0 to `upper` evenly.
        count: voxels per level.
        correct: how many of them are right.
    """

    upper: float
    count: Int64[np.ndarray, " b"]
    correct: Int64[np.ndarray, " b"]

    @classmethod
    def of(
        cls, uncertainty: Float[np.ndarray, "f i j k"], correct: Bool[np.ndarray, "f i j k"], *, upper: float
    ) -> "UncertaintyLevels":
        """Sort voxels by uncertainty; NaN (nothing was measured) are left out."""
        u, right = uncertainty.ravel(), correct.ravel()
        known = ~np.isnan(u)
        place = np.clip((u[known] * (N_LEVELS / upper)).astype(np.int64), 0, N_LEVELS - 1)
        count = np.bincount(place, minlength=N_LEVELS).astype(np.int64)
        hits = np.bincount(place[right[known]], minlength=N_LEVELS).astype(np.int64)
        return cls(upper, count, hits)

    def merge(self, *others: "UncertaintyLevels") -> "UncertaintyLevels":
        """Return the levels of all voxels of this and others.

        Raises:
            ValueError: maps of different range.
        """
        parts = (self, *others)
        if len({part.upper for part in parts}) > 1:
            raise ValueError(f"maps of different range: {sorted({part.upper for part in parts})}")
        return UncertaintyLevels(
            self.upper,
            np.asarray(sum(part.count for part in parts)),
            np.asarray(sum(part.correct for part in parts)),
        )

    def without(self, part: "UncertaintyLevels") -> "UncertaintyLevels":
        """Return the levels without those of a part of it."""
        return UncertaintyLevels(self.upper, self.count - part.count, self.correct - part.correct)

    @property
    def n(self) -> int:
        """Voxels in all levels."""
        return int(self.count.sum())

    @property
    def middles(self) -> Float64[np.ndarray, " b"]:
        """Value in the middle of each level."""
        return np.asarray((np.arange(N_LEVELS) + 0.5) * (self.upper / N_LEVELS))


@dataclass(frozen=True, slots=True)
class PlattFit:
    """P(correct | u) = σ(intercept - slope u)."""

    slope: float
    intercept: float

    def confidence(self, uncertainty: Float64[np.ndarray, " b"]) -> Float64[np.ndarray, " b"]:
        """Return the probability that a voxel of this uncertainty is right."""
        return np.asarray(expit(self.intercept - self.slope * uncertainty))


def platt_fit(levels: UncertaintyLevels) -> PlattFit | None:
    """Fit by maximum likelihood, with Platt's softened targets, so that all-right voxels do not drive it to infinity.

    Returns:
        The fit; None without voxels.
    """
    if not levels.n:
        return None
    right = float(levels.correct.sum())
    high, low = (right + 1) / (right + 2), 1 / (levels.n - right + 2)
    hits, misses = levels.correct.astype(np.float64), (levels.count - levels.correct).astype(np.float64)
    target = hits * high + misses * low
    told, x = np.array([1.0, 1.0]), levels.middles / levels.upper
    for _ in range(MAX_STEPS):
        told, change = _newton_step(told, x, levels.count.astype(np.float64), target)
        if change < TOLERANCE:
            break
    return PlattFit(float(told[0]) / levels.upper, float(told[1]))


def _newton_step(
    told: Float64[np.ndarray, "2"], x: Float64[np.ndarray, " b"], count: Float64[np.ndarray, " b"], target: np.ndarray
) -> tuple[Float64[np.ndarray, "2"], float]:
    """Slope and intercept after a step of Newton, halved until the likelihood does not fall; and how far they went."""

    def likelihood(told: Float64[np.ndarray, "2"]) -> float:
        z = told[1] - told[0] * x
        return float(target @ log_expit(z) + (count - target) @ log_expit(-z))

    p = expit(told[1] - told[0] * x)
    apart, spread = target - count * p, np.maximum(count * p * (1 - p), SMALLEST)
    gradient = np.array([-(apart @ x), apart.sum()])
    curvature = np.array([[spread @ (x * x), -(spread @ x)], [-(spread @ x), spread.sum()]])
    step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
    before, size = likelihood(told), 1.0
    while size > TOLERANCE and not likelihood(told + size * step) >= before:
        size /= 2
    return told + size * step, float(np.abs(size * step).max())


def uncertainty_calibration_error(levels: UncertaintyLevels, fit: PlattFit) -> float:
    """Gap between the confidence that a map stands for and accuracy: mean of |accuracy - confidence| over filled bins.

    20 bins of equal width in confidence, as ValUES has them. From 0 to 1; NaN without voxels.
    """
    if not levels.n:
        return math.nan
    filled = levels.count > 0
    confidence = fit.confidence(levels.middles)[filled]
    count, correct = levels.count[filled], levels.correct[filled].astype(np.float64)
    place = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    bins = ReliabilityBins(
        np.bincount(place, weights=count, minlength=N_BINS).astype(np.int64),
        np.bincount(place, weights=confidence * count, minlength=N_BINS),
        np.bincount(place, weights=correct, minlength=N_BINS),
    )
    return uniform_calibration_error(bins)


def calibration_errors(
    levels: Sequence[UncertaintyLevels], *, familiar: Sequence[bool], patients: Sequence[str]
) -> list[float]:
    """Calibration error of every case, with a fit on the familiar cases of all other patients.

    Args:
        levels: of each case.
        familiar: whether fits are made on it.
        patients: who it is of; copies of one image are of one patient.

    Returns:
        One error per case; NaN where there is no case left to fit on.
    """
    own: dict[str, list[UncertaintyLevels]] = {}
    for one, fitted, patient in zip(levels, familiar, patients, strict=True):
        if fitted:
            own.setdefault(patient, []).append(one)
    if not own:
        return [math.nan] * len(levels)
    parts = {patient: first.merge(*rest) for patient, (first, *rest) in own.items()}
    first, *rest = parts.values()
    whole = first.merge(*rest)
    fits = {patient: platt_fit(whole.without(part)) for patient, part in parts.items()}
    of_all = platt_fit(whole)
    judged = ((one, fits.get(patient, of_all)) for one, patient in zip(levels, patients, strict=True))
    return [uncertainty_calibration_error(one, fit) if fit else math.nan for one, fit in judged]
