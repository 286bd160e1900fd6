"""Every plan on every contour: what a contour does to the dose, and what a fixed dose would have said of it.

A[i, j] is a metric of the plan made on contouring i, read on contouring j. Contouring 0 is the reference.

- A[0, j], **fixed dose**: the plan is made; what does the structure receive if contour j is true? Right for judging
  a plan that exists.
- A[i, 0], **closed loop**: planned on contour i; what does the reference receive? Right for judging a contour, a model
  or a sampler.
- A[i, i]: what the planner of contour i believes.

A target drawn too large looks bad under a fixed dose (its rim lies outside the field) and yields a plan that covers the
truth; one drawn too small looks good and yields a miss. So the two may disagree in sign, and only the loop is right
about a contour.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

FEWEST = 4
"""Contourings, without the reference, from which on a correlation has an interval."""


@dataclass(frozen=True, slots=True, eq=False)
class PlanMatrix:
    """One metric of one structure, of every plan on every contouring.

    Attributes:
        structure: what was read.
        metric: text of the metric, with its unit.
        ids: contourings; the first is the reference.
        values: plan i on contouring j; NaN where the metric is undefined there.
    """

    structure: str
    metric: str
    ids: tuple[str, ...]
    values: Float64[np.ndarray, "p p"]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.ids), len(self.ids)):
            raise ValueError(f"{len(self.ids)} contourings need as many rows and columns, got {self.values.shape}")

    @property
    def nominal(self) -> float:
        """The plan on the reference, read on the reference: A[0, 0]."""
        return float(self.values[0, 0])

    @property
    def fixed(self) -> Float64[np.ndarray, " m"]:
        """Fixed dose: the plan on the reference, read on each other contouring; A[0, j] for j ≥ 1."""
        return self.values[0, 1:]

    @property
    def closed(self) -> Float64[np.ndarray, " m"]:
        """Closed loop: the plan on each other contouring, read on the reference; A[i, 0] for i ≥ 1."""
        return self.values[1:, 0]

    @property
    def believed(self) -> Float64[np.ndarray, " m"]:
        """Each plan read on the contouring it was made on: A[i, i] for i ≥ 1."""
        return np.diagonal(self.values)[1:].copy()

    @property
    def loss(self) -> Float64[np.ndarray, " m"]:
        """What planning on another contouring changes for the reference: A[i, 0] - A[0, 0]."""
        return self.closed - self.nominal


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How the fixed-dose and the closed-loop view of the same contours differ, over all but the reference.

    Attributes:
        n: contourings with both values.
        nominal: A[0, 0].
        fixed_mean, fixed_sd: of A[0, j].
        closed_mean, closed_sd: of A[i, 0].
        correlation: Pearson's, of A[0, j] and A[j, 0]; NaN if one does not vary.
        low, high: its 95 % interval by Fisher's z; NaN below four contourings.
        rank_correlation: Spearman's.
        opposite_sign: share of the contourings for which the two views change the metric in opposite directions from
            A[0, 0]; contourings that change nothing in one view do not count.
        n_signed: contourings that share is of.
    """

    n: int
    nominal: float
    fixed_mean: float
    fixed_sd: float
    closed_mean: float
    closed_sd: float
    correlation: float
    low: float
    high: float
    rank_correlation: float
    opposite_sign: float
    n_signed: int


def disagreement(matrix: PlanMatrix) -> Disagreement:
    """Compare the fixed-dose row with the closed-loop column of a matrix."""
    from scipy.stats import rankdata  # slow to load, and settings are read for --help

    both = np.isfinite(matrix.fixed) & np.isfinite(matrix.closed)
    fixed, closed = matrix.fixed[both], matrix.closed[both]
    correlation = _correlation(fixed, closed)
    low, high = fisher_interval(correlation, len(fixed))
    signs = np.sign(fixed - matrix.nominal) * np.sign(closed - matrix.nominal)
    n_signed = int(np.count_nonzero(signs))
    return Disagreement(
        n=len(fixed),
        nominal=matrix.nominal,
        fixed_mean=_mean(fixed),
        fixed_sd=_sd(fixed),
        closed_mean=_mean(closed),
        closed_sd=_sd(closed),
        correlation=correlation,
        low=low,
        high=high,
        rank_correlation=_correlation(rankdata(fixed), rankdata(closed)),
        opposite_sign=float(np.count_nonzero(signs < 0)) / n_signed if n_signed else math.nan,
        n_signed=n_signed,
    )


def fisher_interval(correlation: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a correlation by Fisher's z, tanh(atanh r ± q / √(n - 3)). NaN below four pairs.

    Source: Fisher 1921, On the probable error of a coefficient of correlation, Metron 1:3-32.
    """
    if n < FEWEST or math.isnan(correlation):
        return math.nan, math.nan
    if abs(correlation) >= 1:
        return correlation, correlation
    from scipy.stats import norm  # slow to load, and settings are read for --help

    half = float(norm.ppf((1 + level) / 2)) / math.sqrt(n - 3)
    middle = math.atanh(correlation)
    return math.tanh(middle - half), math.tanh(middle + half)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    from scipy.stats import pearsonr  # slow to load, and settings are read for --help

    return float(pearsonr(a, b).statistic)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan
