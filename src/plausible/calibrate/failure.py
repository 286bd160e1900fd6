"""Which cases may go unseen? A threshold on a score such that cases above it seldom fail, with a stated confidence.

A case is accepted if its score (pairwise Dice of the members, a predicted Dice, ...) is beyond the threshold, else it
is flagged. A case fails if its quality misses a limit: Dice below 0.8, HD95 above 5 mm. With confidence 1 - δ over the
calibration set, accepted new cases fail at a rate of at most α.

Tested are settings that accept the most confident 50 %, 55 %, ..., 100 % of the calibration patients, in this order.
Above a score that is itself one of the patients', the accepted patients are a sample of the accepted population, so the
exact binomial p-value holds. Testing one after the other at full δ also needs that the failure rate does not fall when
more cases are accepted: a score that ranks. "bonferroni" needs no such thing and certifies less.

Sources: Geifman and El-Yaniv 2017, arXiv:1705.08500 (selective risk); Angelopoulos et al. 2021, arXiv:2110.01052.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import stats

from plausible.calibrate.guarantee import CALIBRATIONS, Absent, Calibration, IfInfeasible, about, percent, record
from plausible.calibrate.patients import all_of_rows, settle
from plausible.calibrate.rank import infeasible
from plausible.calibrate.testing import Correction, certified, check_enough, smallest_n_certified, tested_at_once
from plausible.core import Direction, Score

COVERAGES = tuple(round(0.05 * step, 2) for step in range(10, 21))
"""Shares of the patients accepted, as they are tested: half of them, then more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingPoint:
    """What one threshold would have done on the calibration patients.

    Attributes:
        threshold: cases beyond it are accepted; infinite if all (or none) are.
        accepted: share of the patients that it accepts.
        n_accepted: how many.
        n_failed: how many of them fail.
        rate_high: upper end of the failure rate among accepted cases, with confidence 1 - δ for this point alone
            (Clopper-Pearson).
        certified: whether the promise holds there.
    """

    threshold: float
    accepted: float
    n_accepted: int
    n_failed: int
    rate_high: float
    certified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagDecision:
    """Whether a case is flagged, and why in one sentence."""

    subject: str
    structure: str
    flagged: bool
    value: float
    threshold: float
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class FailureFlag(Calibration):
    """The threshold on a score beyond which cases are accepted.

    Attributes:
        measure: the score, e.g. "mean_pairwise_dice".
        higher_is: "better" if high scores are accepted, "worse" if low ones are.
        threshold: cases strictly beyond it are accepted.
        quality: measure that says whether a case fails.
        limit: a case fails beyond it.
        failure: when a case fails, in words, e.g. "dice below 0.8".
        n_accepted: calibration patients accepted.
        n_failed: how many of them fail.
        referral_rate: share of the calibration patients that are flagged.
        base_rate: share of the calibration patients that fail.
        points: every threshold tested, for a workload slider.
        correction: how the thresholds shared δ.
    """

    measure: str
    higher_is: Direction
    threshold: float
    quality: str
    limit: float
    failure: str
    n_accepted: int
    n_failed: int
    referral_rate: float
    base_rate: float
    points: tuple[WorkingPoint, ...]
    correction: Correction

    def apply(self, row: Score) -> FlagDecision:
        """Accept or flag a new case by its score; without a defined score it is flagged.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: a row of another measure or structure.
        """
        self.guarantee.check_unseen(row.subject)
        if (row.measure, row.structure) != (self.measure, self.guarantee.structure):
            raise ValueError(
                f"{row.subject}: calibrated for {self.measure} of {self.guarantee.structure!r}, "
                f"got {row.measure} of {row.structure!r}"
            )
        sign = _sign(self.higher_is)
        flagged = not sign * row.value > sign * self.threshold
        side = {True: ("below" if sign > 0 else "above"), False: ("above" if sign > 0 else "below")}[flagged]
        reason = f"{about(row.structure, row.measure)} {row.value:.3g} is {side} {self.threshold:.3g}"
        if math.isnan(row.value):
            reason = f"{about(row.structure, row.measure)} is undefined"
        return FlagDecision(
            subject=row.subject,
            structure=row.structure,
            flagged=flagged,
            value=row.value,
            threshold=self.threshold,
            reason=reason,
        )


@CALIBRATIONS.add(
    unit="of the row", higher_is="neither", source="Geifman and El-Yaniv 2017, arXiv:1705.08500", label="failure flag"
)
def fit_failure_flag(
    scores: Sequence[Score],
    qualities: Sequence[Score],
    *,
    limit: float,
    alpha: float,
    delta: float,
    absent: Absent,
    population: str,
    date: str,
    coverages: Sequence[float] = COVERAGES,
    correction: Correction = "fixed_sequence",
    if_infeasible: IfInfeasible = "raise",
) -> FailureFlag:
    """Threshold on a score beyond which at most α of the cases fail, with confidence 1 - δ.

    Args:
        scores: the score of each calibration patient; NaN is flagged, never accepted.
        qualities: what says whether the case fails, e.g. Dice against the reference.
        limit: a case fails below it, or above it where a higher quality value is worse.
        alpha: largest failure rate among accepted cases.
        delta: probability, over the draw of calibration patients, that the rate is larger.
        absent: what a patient with an undefined quality counts as; "missed" is a failure.
        population: which patients these are, in words.
        date: day of the calibration.
        coverages: shares of the patients accepted that are tested, in this order, rising.
        correction: how they share delta.
        if_infeasible: "trivial" flags every case where no threshold is certified.

    Raises:
        InvalidInput: E401, too few patients; E403, no threshold keeps the rate.
        ValueError: rows without a direction, or that do not match.
    """
    sign, worse = _sign(scores[0].higher_is), -_sign(qualities[0].higher_is)
    every = all_of_rows(scores, qualities)
    settled = settle(every, absent=absent, covered=-worse * math.inf, missed=worse * math.inf, column=1)
    confidence = np.where(np.isnan(settled.values[0]), -np.inf, sign * settled.values[0])
    failed = worse * settled.values[1] > worse * limit
    n_accepted = accepted_counts(settled.n, coverages, alpha=alpha, delta=delta, correction=correction)
    if if_infeasible == "raise":
        check_enough(settled.n, alpha=alpha, delta=delta, settings=tested_at_once(correction, len(n_accepted)))
    cut, accepted, failures = selective_counts(confidence, failed, n_accepted)
    passed = certified(np.asarray(stats.binom.cdf(failures, accepted, alpha)), delta=delta, correction=correction)
    if not passed.any() and if_infeasible == "raise":
        raise _no_threshold(settled.n, failures, accepted, alpha, delta)
    best = int(np.flatnonzero(passed)[-1]) if passed.any() else -1
    points = _points(sign * cut, accepted, failures, passed, settled.n, delta)
    chosen = points[best] if best >= 0 else _nobody(sign)
    first, quality = scores[0], qualities[0]
    failure = f"{about('', quality.measure)} {'above' if worse > 0 else 'below'} {limit:g}"
    referral = 1 - chosen.accepted
    return FailureFlag(
        guarantee=settled.promise(
            f"cases that are not flagged ({about(first.structure, first.measure)} "
            f"{'above' if sign > 0 else 'below'} {chosen.threshold:.4g}) fail ({failure}) at a rate of at most "
            f"{percent(alpha)}, with confidence {percent(1 - delta)} in the calibration set, of which "
            f"{percent(round(referral, 3))} is flagged{_ASSUMES[correction]}",
            method="selective risk, exact binomial tests",
            alpha=alpha,
            delta=delta,
            population=population,
            date=date,
            structure=first.structure,
            absent=absent,
        ),
        measure=first.measure,
        higher_is=first.higher_is,
        threshold=chosen.threshold,
        quality=quality.measure,
        limit=limit,
        failure=failure,
        n_accepted=chosen.n_accepted,
        n_failed=chosen.n_failed,
        referral_rate=referral,
        base_rate=float(failed.mean()),
        points=points,
        correction=correction,
    )


_ASSUMES: dict[Correction, str] = {
    "fixed_sequence": ", provided the failure rate does not fall when more cases are accepted",
    "fallback": ", provided the failure rate does not fall when more cases are accepted",
    "bonferroni": "",
}


def accepted_counts(
    n: int, coverages: Sequence[float], *, alpha: float, delta: float, correction: Correction
) -> Integer[np.ndarray, " k"]:
    """How many patients each setting accepts at most; settings too small ever to be certified are left out.

    Depends on n alone, not on scores or failures.
    """
    counts = [min(n, math.floor(n * share + 1e-9)) for share in coverages]
    if sorted(counts) != counts or not 0 < min(coverages, default=0) <= max(coverages) <= 1:
        raise ValueError(f"coverages must rise and lie above 0 and up to 1, got {tuple(coverages)}")
    needed = smallest_n_certified(alpha, delta=delta / tested_at_once(correction, len(counts)))
    return np.array([count for count in dict.fromkeys(counts) if count >= needed] or [n])


def selective_counts(
    confidence: Float[np.ndarray, "*repeats n"],
    failed: Bool[np.ndarray, "*repeats n"],
    n_accepted: Integer[np.ndarray, " k"],
) -> tuple[Float[np.ndarray, "*repeats k"], Integer[np.ndarray, "*repeats k"], Integer[np.ndarray, "*repeats k"]]:
    """Thresholds that accept at most so many patients, how many they accept, and how many of these fail.

    The threshold is the confidence of the first patient left out, and patients of that confidence are left out too;
    it is -inf where nobody is to be left out. A confidence of -inf is never accepted.
    """
    order = np.argsort(-confidence, axis=-1, kind="stable")
    ranked = np.take_along_axis(confidence, order, -1)
    n = confidence.shape[-1]
    after = np.concatenate([ranked, np.full((*ranked.shape[:-1], 1), -np.inf)], axis=-1)
    cut = np.where(n_accepted < n, np.take(after, np.minimum(n_accepted, n), axis=-1), -np.inf)
    accepted = (ranked[..., np.newaxis, :] > cut[..., np.newaxis]).sum(axis=-1)
    so_far = np.take_along_axis(failed, order, -1).cumsum(axis=-1)
    so_far = np.concatenate([np.zeros_like(so_far[..., :1]), so_far], axis=-1)
    return cut, accepted, np.take_along_axis(so_far, accepted, -1)


def _points(
    thresholds: Float[np.ndarray, " k"],
    accepted: Integer[np.ndarray, " k"],
    failures: Integer[np.ndarray, " k"],
    passed: Bool[np.ndarray, " k"],
    n: int,
    delta: float,
) -> tuple[WorkingPoint, ...]:
    high = np.where(failures < accepted, stats.beta.ppf(1 - delta, failures + 1, np.maximum(accepted - failures, 1)), 1)
    return tuple(
        WorkingPoint(
            threshold=float(thresholds[k]),
            accepted=float(accepted[k] / n),
            n_accepted=int(accepted[k]),
            n_failed=int(failures[k]),
            rate_high=float(high[k]),
            certified=bool(passed[k]),
        )
        for k in range(len(accepted))
    )


def _nobody(sign: int) -> WorkingPoint:
    """Accept no case at all."""
    return WorkingPoint(
        threshold=sign * math.inf, accepted=0.0, n_accepted=0, n_failed=0, rate_high=1.0, certified=True
    )


def _sign(direction: Direction) -> int:
    if direction == "neither":
        raise ValueError("the row must say whether higher is better or worse")
    return 1 if direction == "better" else -1


def _no_threshold(
    n: int, failures: Integer[np.ndarray, " k"], accepted: Integer[np.ndarray, " k"], alpha: float, delta: float
) -> Exception:
    return infeasible(
        f"{failures[0]} of the {accepted[0]} most confident of {n} patients fail",
        expected=f"few enough failures for a rate of at most {percent(alpha)} with confidence {percent(1 - delta)}",
        fix="use a score that separates failures better, add patients, or ask for a larger alpha; "
        "without that, review every case",
    )
