"""Many cases together: mean scores, reliability and risk-coverage, each with an interval over subjects.

The unit is the subject. A subject's raters, and its single members, are averaged first; NaN are left out of that
average, and a subject without any defined value is left out of the mean and counted as undefined.

Three kinds of line tell what pooling brings: "ensemble" (the mean probability), "single_member" (the mean over
members, each scored alone) and "ensemble_minus_single_member" (their difference per subject). "human" is what raters
reach among themselves. Lines of different choices of reference stand apart; curves are of the first choice.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from plausible.core import Score
from plausible.evaluate.bootstrap import N_RESAMPLES, Estimate, bootstrap_statistic, bootstrap_units
from plausible.evaluate.calibration import ReliabilityBins
from plausible.evaluate.case import ENSEMBLE, WHOLE_IMAGE, CaseReliability
from plausible.evaluate.cohort_summary import (
    SummaryLine,
    no_interval,
    per_subject,
    pooled_lesion_lines,
    summary_lines,
)
from plausible.evaluate.references import primary_kind, reference_kind
from plausible.evaluate.risk_coverage import area_under_risk_coverage, risk_coverage

TOP_LABEL = "top label"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityCurve:
    """Reliability diagram over subjects: confidence, accuracy with its interval, and share of voxels per bin."""

    name: str
    region: str
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    share: tuple[float, ...]
    n_subjects: int
    ece: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectiveRisk:
    """Risk-coverage curve of one structure, its area with an interval, and the area of the best order."""

    structure: str
    score: str
    risk: str
    coverage: tuple[float, ...]
    selective_risk: tuple[float, ...]
    aurc: Estimate
    aurc_optimal: float
    mean_risk: float
    n_undefined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortEvaluation:
    """What the cohort's report shows of the evaluation."""

    summary: tuple[SummaryLine, ...]
    reliability: tuple[ReliabilityCurve, ...]
    risk_coverage: tuple[SelectiveRisk, ...]


def evaluate_cohort(
    rows: Sequence[Score],
    reliability: Sequence[CaseReliability] = (),
    *,
    seed: int,
    confidence: str = "mean_pairwise_dice",
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> CohortEvaluation:
    """Summarise the rows and bins of all cases; the risk of the risk-coverage curve is 1 - Dice of the ensemble.

    Args:
        rows: of `evaluate_case`, and rows of the confidence, which need no reference.
        reliability: bins of `evaluate_case`.
        seed: of the draws.
        confidence: measure that orders the subjects; higher is more confident unless its rows say that higher is
            worse.
        n_resamples: draws per interval.
        level: share of the intervals.
    """
    scored = [row for row in rows if row.against]
    first = primary_kind(scored)
    reliability = [one for one in reliability if reference_kind(one.against) == first]
    curves = _curves(reliability, seed=seed, n_resamples=n_resamples, level=level)
    ordered = [row for row in rows if row.measure == confidence and not row.against]
    dices = [row for row in scored if row.measure == "dice" and row.reduction == ENSEMBLE]
    risks = [row for row in dices if reference_kind(row.against) == first]
    return CohortEvaluation(
        summary=(
            *summary_lines(scored, seed=seed, n_resamples=n_resamples, level=level),
            *pooled_lesion_lines(scored, seed=seed, n_resamples=n_resamples, level=level),
        ),
        reliability=tuple(curves),
        risk_coverage=tuple(_selective_risks(ordered, risks, seed=seed, n_resamples=n_resamples, level=level)),
    )


def _curves(
    cases: Sequence[CaseReliability], *, seed: int, n_resamples: int, level: float
) -> Iterator[ReliabilityCurve]:
    groups: dict[tuple[str, str], dict[str, list[ReliabilityBins]]] = defaultdict(lambda: defaultdict(list))
    for case in cases:
        if case.reduction == ENSEMBLE:
            groups[case.structure, case.region][case.subject].append(case.bins)
    for (structure, region), by_subject in sorted(groups.items(), key=lambda item: item[0][1] != WHOLE_IMAGE):
        subjects = [first.merge(*rest) for first, *rest in by_subject.values()]
        yield _curve(subjects, structure or TOP_LABEL, region, seed=seed, n_resamples=n_resamples, level=level)


def _curve(
    subjects: Sequence[ReliabilityBins], name: str, region: str, *, seed: int, n_resamples: int, level: float
) -> ReliabilityCurve:
    pooled = subjects[0].merge(*subjects[1:])
    low, high = _accuracy_band(subjects, seed=seed, n_resamples=n_resamples, level=level)
    return ReliabilityCurve(
        name=name,
        region=region,
        confidence=tuple(pooled.confidence.tolist()),
        accuracy=tuple(pooled.accuracy.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        share=tuple((pooled.count / max(pooled.n, 1)).tolist()),
        n_subjects=len(subjects),
        ece=_pooled_error(subjects, seed=seed, n_resamples=n_resamples, level=level),
    )


def _accuracy_band(
    subjects: Sequence[ReliabilityBins], *, seed: int, n_resamples: int, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of each bin's accuracy over drawn subjects; NaN for one subject, or where no draw holds voxels."""
    n_bins = len(subjects[0].count)
    low, high = np.full(n_bins, np.nan), np.full(n_bins, np.nan)
    if len(subjects) < 2:
        return low, high
    drawn = np.random.default_rng(seed).integers(0, len(subjects), (n_resamples, len(subjects)))
    count, _, correct = _pooled_draws(subjects, drawn)
    for place in range(n_bins):
        held = count[:, place] > 0
        if held.any():
            accuracy = correct[held, place] / count[held, place]
            low[place], high[place] = np.quantile(accuracy, [(1 - level) / 2, (1 + level) / 2])
    return low, high


def _pooled_error(subjects: Sequence[ReliabilityBins], *, seed: int, n_resamples: int, level: float) -> Estimate:
    """Calibration error of all voxels together, subjects drawn."""

    def errors(drawn: Integer[np.ndarray, "r u"]) -> Float[np.ndarray, " r"]:
        count, confidence, correct = _pooled_draws(subjects, drawn)
        n = count.sum(axis=1)
        total = np.abs(correct - confidence).sum(axis=1)
        return np.asarray(np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0))

    if len(subjects) < 2:
        return no_interval(float(errors(np.zeros((1, 1), dtype=np.int64))[0]), level, n=len(subjects))
    return bootstrap_units(errors, n_units=len(subjects), seed=seed, n_resamples=n_resamples, level=level)


def _pooled_draws(
    subjects: Sequence[ReliabilityBins], drawn: Integer[np.ndarray, "r u"]
) -> tuple[Float[np.ndarray, "r b"], Float[np.ndarray, "r b"], Float[np.ndarray, "r b"]]:
    """Counts, confidence and correct sums of the drawn subjects together."""
    times = np.zeros((len(drawn), len(subjects)))
    np.add.at(times, (np.arange(len(drawn))[:, np.newaxis], drawn), 1)
    count = times @ np.stack([one.count for one in subjects])
    confidence = times @ np.stack([one.confidence_sum for one in subjects])
    return count, confidence, times @ np.stack([one.correct_sum for one in subjects])


def _selective_risks(
    ordered: Sequence[Score], dice_rows: Sequence[Score], *, seed: int, n_resamples: int, level: float
) -> Iterator[SelectiveRisk]:
    """One curve per structure that the confidence has rows for; "" takes the mean Dice over all structures."""
    for structure in dict.fromkeys(row.structure for row in ordered):
        score = [row for row in ordered if row.structure == structure]
        sign = -1.0 if score[0].higher_is == "worse" else 1.0
        confident = per_subject(score)
        overlapping = per_subject([row for row in dice_rows if structure in ("", row.structure)])
        subjects = list({**confident, **overlapping})
        confidence = sign * np.array([confident.get(s, math.nan) for s in subjects])
        risk = 1 - np.array([overlapping.get(s, math.nan) for s in subjects])
        curve = risk_coverage(confidence, risk)
        if not curve.n:
            continue
        area = _area(confidence, risk, seed=seed, n_resamples=n_resamples, level=level)
        yield SelectiveRisk(
            structure=structure,
            score=score[0].measure,
            risk="1 - Dice",
            coverage=tuple(curve.coverage.tolist()),
            selective_risk=tuple(curve.selective_risk.tolist()),
            aurc=area,
            aurc_optimal=area_under_risk_coverage(curve.perfect),
            mean_risk=curve.mean_risk,
            n_undefined=curve.n_undefined,
        )


def _area(confidence: np.ndarray, risk: np.ndarray, *, seed: int, n_resamples: int, level: float) -> Estimate:
    """Area under the curve with its interval, or without one for fewer than two subjects."""

    def area(confidences: np.ndarray, risks: np.ndarray) -> float:
        return area_under_risk_coverage(risk_coverage(confidences, risks))

    curve = risk_coverage(confidence, risk)
    if curve.n > 1:
        return bootstrap_statistic(area, confidence, risk, seed=seed, n_resamples=n_resamples, level=level)
    return no_interval(area_under_risk_coverage(curve), level, n=curve.n, n_undefined=curve.n_undefined)
