"""If the least sure cases are annotated first, how much of all that is wrong is found? Ranking for active learning.

Cases are sent from the least sure. The curve says which share of the total risk the first share of cases holds: a
straight line for an order that tells nothing, above it for one that finds the bad cases first. Cases of equal
uncertainty are sent in random order, so that the curve is straight between distinct values and the order of files
never matters.

A ranking is judged, without training again: whether training on these cases helps most is another question.

Sources: Kahl et al. 2024 (ValUES), arXiv:2401.08501 (the task: uncertainty chooses what to annotate); the scores are
ours, made as a concentration curve is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Integer

from plausible.core import Catalogue
from plausible.evaluate.risk_coverage import risk_coverage

WORST_SHARE = 0.2
"""Share of the cases that count as the worst."""


@dataclass(frozen=True, slots=True, eq=False)
class Acquisition:
    """Cases sent from the least sure, at each distinct uncertainty.

    Attributes:
        risk: risk of every case, from the least sure.
        sent: how many cases are sent at each point of the curve.
        n_undefined: cases left out because uncertainty or risk is NaN.
    """

    risk: Float[np.ndarray, " s"]
    sent: Integer[np.ndarray, " d"]
    n_undefined: int = 0

    @property
    def n(self) -> int:
        """Cases on the curve."""
        return len(self.risk)

    @property
    def share_sent(self) -> Float[np.ndarray, " d"]:
        """Share of the cases that are sent, from 0 on."""
        return np.asarray(np.append(0, self.sent) / max(self.n, 1))

    @property
    def share_found(self) -> Float[np.ndarray, " d"]:
        """Share of the total risk that the cases sent hold, from 0 on; NaN if nothing is wrong anywhere."""
        total = float(self.risk.sum())
        found = np.append(0.0, np.cumsum(self.risk)[self.sent - 1])
        return np.asarray(found / total if total > 0 else np.full(len(found), np.nan))

    @property
    def perfect(self) -> "Acquisition":
        """The same cases with the worst first, equal risks tied."""
        return acquisition(self.risk, self.risk)


def acquisition(uncertainty: Float[np.ndarray, " s"], risk: Float[np.ndarray, " s"]) -> Acquisition:
    """Order cases by uncertainty (higher is less sure); give the negative of a confidence.

    Raises:
        ValueError: not one uncertainty for each risk, or a risk below 0.
    """
    curve = risk_coverage(uncertainty, risk)  # the least sure are kept first
    if (curve.risk < 0).any():
        raise ValueError(f"risks must be at least 0, got {curve.risk.min()}")
    return Acquisition(curve.risk, curve.kept, curve.n_undefined)


AcquisitionScore: TypeAlias = Callable[..., float]

ACQUISITION_SCORES: Catalogue[AcquisitionScore] = Catalogue("acquisition score")


@ACQUISITION_SCORES.add(
    unit="1", higher_is="better", source="Kahl et al. 2024 (ValUES), arXiv:2401.08501 (the task); the score is ours",
    label="acquisition gain",
)  # fmt: skip
def acquisition_gain(cases: Acquisition) -> float:
    """How good the order is between chance and perfect: (A - 1/2) / (A of the best order - 1/2), A the area.

    1 sends the worst cases first, 0 tells nothing, below 0 worse than chance. NaN if all cases are equally bad, nothing
    is wrong, or there are none.
    """
    if not cases.n or float(np.ptp(cases.risk)) == 0:
        return math.nan
    areas = [float(np.trapezoid(one.share_found, one.share_sent)) for one in (cases, cases.perfect)]
    return (areas[0] - 0.5) / (areas[1] - 0.5)


@ACQUISITION_SCORES.add(unit="1", higher_is="better", source="unpublished", label="worst fifth found")
def worst_cases_found(cases: Acquisition, *, share: float = WORST_SHARE) -> float:
    """Share of the worst fifth of the cases that is among the first fifth sent, expected over the order of ties.

    k = the share of n, rounded, at least 1; among cases of equal risk at the k-th place each counts in part. Chance
    gives k/n, a perfect order 1. NaN without cases, or if all are equally bad.

    Raises:
        ValueError: a share that is not above 0 and below 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    if not cases.n or float(np.ptp(cases.risk)) == 0:
        return math.nan
    k = max(round(share * cases.n), 1)
    worst = _shares_of_top(cases.risk, k)
    found = np.interp(k, np.append(0, cases.sent), np.append(0.0, np.cumsum(worst)[cases.sent - 1]))
    return float(found) / k


def _shares_of_top(risk: Float[np.ndarray, " s"], k: int) -> Float[np.ndarray, " s"]:
    """How much each case counts among the k largest: 1 above the k-th, a part each where several share its value."""
    limit = np.partition(risk, len(risk) - k)[len(risk) - k]
    above, equal = risk > limit, risk == limit
    return np.asarray(above + equal * ((k - int(above.sum())) / int(equal.sum())))
