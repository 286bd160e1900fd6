"""If the least confident cases are sent to a human, how good are those that remain? Risk against coverage.

Subjects are sorted from the most to the least confident. Keeping the first k of n has coverage k/n and selective risk
S_k, their mean risk. Subjects of equal confidence cannot be told apart, so the curve is evaluated at distinct
confidences only: the order of files never matters.

The area under the curve goes by several conventions, which differ by much more than methods do. With distinct
confidences and ℓ₁ the risk of the most confident subject:

- "flat_start" (default): trapezoids from the first point to coverage 1, and flat from there to coverage 0.
- "trapezoid": the first part alone; equals flat_start - ℓ₁/n. A constant risk r gives r(n - 1)/n.
- "plug_in": (1/n) Σ_k S_k; equals trapezoid + (ℓ₁ + mean risk)/(2n).

Name the risk: 1 - Dice, 1 - NSD, HD95, a volume error. NaN risks or confidences are left out and counted.

Sources: Geifman and El-Yaniv 2017, arXiv:1705.08500; Jaeger et al. 2023, arXiv:2211.15259; Traub et al. 2024,
arXiv:2407.01032 (AUGRC); Zenk et al. 2025, arXiv:2406.03323 (nAURC).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Integer

from plausible.core import Catalogue

Convention: TypeAlias = Literal["flat_start", "trapezoid", "plug_in"]


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The curve at distinct confidences, from the most confident.

    Attributes:
        risk: risk of every subject, in the order of the curve.
        kept: how many subjects are kept at each point of the curve.
        n_undefined: subjects left out because confidence or risk is NaN.
    """

    risk: Float[np.ndarray, " s"]
    kept: Integer[np.ndarray, " d"]
    n_undefined: int = 0

    @property
    def n(self) -> int:
        """Subjects on the curve."""
        return len(self.risk)

    @property
    def mean_risk(self) -> float:
        """Mean risk of all subjects; NaN without subjects."""
        return float(self.risk.mean()) if self.n else math.nan

    @property
    def coverage(self) -> Float[np.ndarray, " d"]:
        """Share of the subjects kept."""
        return np.asarray(self.kept / max(self.n, 1))

    @property
    def selective_risk(self) -> Float[np.ndarray, " d"]:
        """Mean risk of the subjects kept."""
        return np.asarray(self._risk_sum / self.kept)

    @property
    def generalized_risk(self) -> Float[np.ndarray, " d"]:
        """Risk of the subjects kept as a share of all subjects: (1/n) Σ_{i≤k} ℓ_i."""
        return np.asarray(self._risk_sum / max(self.n, 1))

    @property
    def perfect(self) -> "RiskCoverage":
        """The same subjects in the best order: the lowest risk first, equal risks tied."""
        return risk_coverage(-self.risk, self.risk)

    @property
    def _risk_sum(self) -> Float[np.ndarray, " d"]:
        return np.asarray(np.cumsum(self.risk)[self.kept - 1])


def risk_coverage(confidence: Float[np.ndarray, " s"], risk: Float[np.ndarray, " s"]) -> RiskCoverage:
    """Order subjects by confidence (higher is more confident); give the negative of an uncertainty.

    Raises:
        ValueError: not one confidence for each risk.
    """
    if confidence.shape != risk.shape:
        raise ValueError(f"{len(confidence)} confidences for {len(risk)} risks")
    known = ~(np.isnan(confidence) | np.isnan(risk))
    confidence, risk = confidence[known], risk[known].astype(np.float64)
    order = np.lexsort((risk, -confidence))
    last = np.flatnonzero(np.diff(confidence[order])) + 1
    kept = np.append(last, len(order)) if len(order) else last
    return RiskCoverage(risk[order], kept, int(np.count_nonzero(~known)))


RiskCoverageScore: TypeAlias = Callable[..., float]

RISK_COVERAGE_SCORES: Catalogue[RiskCoverageScore] = Catalogue("risk-coverage score")


@RISK_COVERAGE_SCORES.add(
    unit="risk", higher_is="worse", source="Geifman and El-Yaniv 2017, arXiv:1705.08500", label="AURC"
)
def area_under_risk_coverage(curve: RiskCoverage, *, convention: Convention = "flat_start") -> float:
    """Mean risk of the cases kept, averaged over every coverage from 0 to 1; lower is better.

    A confidence that tells nothing gives the mean risk. NaN without subjects. Conventions: top of this module.

    Raises:
        ValueError: an unknown convention.
    """
    if convention not in ("flat_start", "trapezoid", "plug_in"):
        raise ValueError(f"no convention {convention!r}; there are: flat_start, trapezoid, plug_in")
    if not curve.n:
        return math.nan
    if convention == "plug_in":
        return float(np.diff(curve.kept, prepend=0) @ curve.selective_risk) / curve.n
    area = float(np.trapezoid(curve.selective_risk, curve.coverage))
    return area if convention == "trapezoid" else area + float(curve.selective_risk[0] * curve.coverage[0])


@RISK_COVERAGE_SCORES.add(
    unit="risk", higher_is="worse", source="Geifman et al. 2019, arXiv:1805.08206", label="E-AURC"
)
def excess_area_under_risk_coverage(curve: RiskCoverage, *, convention: Convention = "flat_start") -> float:
    """How much of the area is lost to a wrong order: AURC minus AURC of the best order, by the same convention.

    0 for a perfect order. NaN without subjects.
    """
    best = area_under_risk_coverage(curve.perfect, convention=convention)
    return area_under_risk_coverage(curve, convention=convention) - best


@RISK_COVERAGE_SCORES.add(unit="1", higher_is="better", source="Zenk et al. 2025, arXiv:2406.03323", label="nAURC")
def normalized_area_under_risk_coverage(curve: RiskCoverage) -> float:
    """How good the order is between chance and perfect: (mean risk - AURC) / (mean risk - AURC of the best order).

    1 perfect, 0 as a confidence that tells nothing, below 0 worse. NaN if all subjects have one risk, or there are
    none. One convention (flat_start) throughout, unlike Zenk's code, which gives 1 for a constant risk.
    """
    if not curve.n or float(np.ptp(curve.risk)) == 0:
        return math.nan
    best = area_under_risk_coverage(curve.perfect)
    return (curve.mean_risk - area_under_risk_coverage(curve)) / (curve.mean_risk - best)


@RISK_COVERAGE_SCORES.add(unit="risk", higher_is="worse", source="Traub et al. 2024, arXiv:2407.01032", label="AUGRC")
def area_under_generalized_risk_coverage(curve: RiskCoverage) -> float:
    """Risk that slips through unnoticed, averaged over every coverage: area under (1/n) Σ_{i≤k} ℓ_i.

    Half the mean risk for a confidence that tells nothing; lower is better. NaN without subjects.
    """
    if not curve.n:
        return math.nan
    risk, coverage = np.append(0.0, curve.generalized_risk), np.append(0.0, curve.coverage)
    return float(np.trapezoid(risk, coverage))
