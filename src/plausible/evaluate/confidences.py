"""Which number tells the bad cases from the good ones? Every number that needs no reference, judged by every risk.

A confidence is a row without a reference whose direction is known: an agreement of the members, or a map's aggregation.
It is judged on the cases of a study, structure by structure; rows of the subject by the mean risk of its structures.

- failure detection, by the order of all risks: AURC, E-AURC, nAURC, AUGRC (convention: `risk_coverage`, flat start);
- failure detection, by a limit that says what a failure is: AUROC, FPR at 95 % TPR, AP;
- active learning: what sending the least sure cases first finds (`acquisition`);
- out-of-distribution detection, for cases that are told: AUROC, FPR at 95 % TPR, AP.

Risks are against the first choice of reference; a case's raters are averaged. Intervals are BCa over cases, of five or
more; FPR and AP have none. Of many lines on few cases the best is too good: choose the confidence on other cases.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float64

from plausible.core import Direction, Score
from plausible.evaluate.acquisition import ACQUISITION_SCORES, acquisition, acquisition_gain
from plausible.evaluate.detection import DETECTION_SCORES, area_under_roc, detection
from plausible.evaluate.resampling import (
    WEIGHTED_AREAS,
    OfWeights,
    bootstrap_weighted,
    weighted_acquisition_gain,
    weighted_auroc,
)
from plausible.evaluate.risk_coverage import (
    RISK_COVERAGE_SCORES,
    area_under_generalized_risk_coverage,
    risk_coverage,
)
from plausible.evaluate.risks import RISK_MEASURES, RISKS, CaseRisks

N_DRAWS = 1_000
"""Draws per interval: there are thousands of lines."""
MIN_CASES = 5
"""Cases below which nothing is said of an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceLine:
    """How well one number tells cases apart, by one score.

    Attributes:
        task: "failure_detection", "active_learning" or "out_of_distribution".
        structure: organ or target; empty for the subject.
        confidence: measure of the rows that are judged; `region` and `reduction` are theirs.
        risk: what it should find: a risk, "dice<0.8", or the name of the group of cases outside the distribution.
        against: choice of reference of the risk; empty without.
        score: what was found of it.
        unit: of the score; areas under risk have the unit of the risk.
        low, high: interval over cases; NaN without one.
        convention: how the score is defined where several definitions are in use.
        n: cases.
        n_undefined: cases left out as confidence or risk is undefined.
    """

    task: str
    structure: str
    confidence: str
    region: str
    reduction: str
    risk: str
    against: str
    score: str
    value: float
    low: float = math.nan
    high: float = math.nan
    level: float
    unit: str
    higher_is: Direction
    convention: str = ""
    n: int
    n_undefined: int


CONFIDENCE_COLUMNS = tuple(f.name for f in fields(ConfidenceLine))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceSettings:
    """How confidences are judged.

    Attributes:
        limits: what a failure is: value of a measure beyond which a case fails, such as {"dice": 0.8}.
        outside: cases out of distribution.
        group: name of these cases.
        seed: of the intervals.
        n_resamples: draws per interval.
        level: share of the intervals.
    """

    limits: Mapping[str, float]
    outside: Collection[str] = ()
    group: str = "out_of_distribution"
    seed: int = 0
    n_resamples: int = N_DRAWS
    level: float = 0.95

    def __post_init__(self) -> None:
        unknown = sorted(set(self.limits) - set(RISK_MEASURES.values()))
        if unknown:
            known = ", ".join(RISK_MEASURES.values())
            raise ValueError(f"no risk is made of {', '.join(unknown)}; a failure is a limit of one of {known}")


def judge_confidences(rows: Sequence[Score], settings: ConfidenceSettings) -> Iterator[ConfidenceLine]:
    """Yield one line per confidence, risk and score, over all cases that have rows.

    Args:
        rows: of all cases, as scores.csv holds them; without rows against a reference only the detection of cases out
            of distribution is judged.
        settings: limits, cases out of distribution, intervals.

    Raises:
        ValueError: a case out of distribution has no row.
    """
    missing = sorted(set(settings.outside) - {row.subject for row in rows})
    if missing:
        raise ValueError(f"no results of the out-of-distribution cases {', '.join(missing)}; assess them too")
    cases = CaseRisks.of(rows)
    for (structure, confidence, region, reduction), of_subject in _suspicions(rows).items():
        blank = ConfidenceLine(
            task="", structure=structure, confidence=confidence, region=region, reduction=reduction, risk="",
            against=cases.against, score="", value=math.nan, level=settings.level, unit="1", higher_is="neither",
            n=0, n_undefined=0,
        )  # fmt: skip
        judge = _Judge(blank, settings)
        for name, measure in RISK_MEASURES.items():
            risks = cases.risks(name, structure=structure)
            suspicion = np.array([of_subject.get(subject, math.nan) for subject in risks])
            yield from judge.by_risk(suspicion, np.array(list(risks.values())), name)
            if measure in settings.limits:
                yield from judge.by_limit(suspicion, np.array(list(risks.values())), name, measure)
        if settings.outside:
            yield from judge.by_group(of_subject)


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Makes the lines of one confidence."""

    blank: ConfidenceLine
    settings: ConfidenceSettings

    def by_risk(
        self, suspicion: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"], name: str
    ) -> Iterator[ConfidenceLine]:
        """Failure detection by the order of the risks, and active learning."""
        curve, sent = risk_coverage(-suspicion, risk), acquisition(suspicion, risk)
        if not curve.n:
            return
        about = replace(self.blank, risk=name, n=curve.n, n_undefined=curve.n_undefined)
        for entry in RISK_COVERAGE_SCORES:
            unit = RISKS[name].unit if entry.unit == "risk" else entry.unit
            low, high = self._interval(WEIGHTED_AREAS[entry.name], -suspicion, risk, n=curve.n)
            yield replace(
                about, task="failure_detection", score=entry.name, value=entry.function(curve), unit=unit,
                higher_is=entry.higher_is, convention=CONVENTIONS[entry.name], low=low, high=high,
            )  # fmt: skip
        for ranked in ACQUISITION_SCORES:
            gains = ranked.function is acquisition_gain
            low, high = self._interval(weighted_acquisition_gain, suspicion, risk, n=curve.n if gains else 0)
            yield replace(
                about, task="active_learning", score=ranked.name, value=ranked.function(sent), unit=ranked.unit,
                higher_is=ranked.higher_is, convention="ties in random order", low=low, high=high,
            )  # fmt: skip

    def by_limit(
        self, suspicion: Float64[np.ndarray, " s"], risk: Float64[np.ndarray, " s"], name: str, measure: str
    ) -> Iterator[ConfidenceLine]:
        """Failure detection: a failure is a risk above the limit."""
        limit, of = self.settings.limits[measure], RISKS[name].function
        failed, sign = risk > of(limit), ">" if of(1.0) > of(0.0) else "<"
        known = np.where(np.isnan(risk), np.nan, suspicion)
        about = replace(self.blank, task="failure_detection", risk=f"{measure}{sign}{limit:g}")
        yield from self._detected(about, known, failed)

    def by_group(self, of_subject: Mapping[str, float]) -> Iterator[ConfidenceLine]:
        """Detection of the cases out of distribution."""
        outside = np.array([subject in self.settings.outside for subject in of_subject])
        about = replace(self.blank, task="out_of_distribution", risk=self.settings.group, against="")
        yield from self._detected(about, np.array(list(of_subject.values())), outside)

    def _detected(
        self, about: ConfidenceLine, suspicion: Float64[np.ndarray, " s"], wanted: Bool[np.ndarray, " s"]
    ) -> Iterator[ConfidenceLine]:
        cases = detection(suspicion, wanted)
        for entry in DETECTION_SCORES:
            roc = entry.function is area_under_roc and cases.is_defined
            low, high = self._interval(weighted_auroc, suspicion, wanted.astype(np.float64), n=cases.n if roc else 0)
            yield replace(
                about, score=entry.name, value=entry.function(cases), unit=entry.unit, higher_is=entry.higher_is,
                convention="ties count one half" if entry.function is area_under_roc else "", n=cases.n,
                n_undefined=cases.n_undefined, low=low, high=high,
            )  # fmt: skip

    def _interval(self, statistic: Callable[..., OfWeights], *columns: np.ndarray, n: int) -> tuple[float, float]:
        if n < MIN_CASES:
            return math.nan, math.nan
        chosen = self.settings
        found = bootstrap_weighted(
            statistic, *columns, seed=chosen.seed, n_resamples=chosen.n_resamples, level=chosen.level
        )
        return found.low, found.high


CONVENTIONS = dict.fromkeys(WEIGHTED_AREAS, "flat_start") | {
    area_under_generalized_risk_coverage.__name__: "trapezoids from coverage 0"
}


def _suspicions(rows: Sequence[Score]) -> dict[tuple[str, str, str, str], dict[str, float]]:
    """Numbers that need no reference, higher is less sure, by structure, measure, region and reduction."""
    found: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if not row.against and row.higher_is != "neither":
            sign = 1.0 if row.higher_is == "worse" else -1.0
            found[row.structure, row.measure, row.region, row.reduction][row.subject] = sign * row.value
    return found
