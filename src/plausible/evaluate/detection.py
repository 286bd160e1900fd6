"""Does a score tell the cases that are wanted from the others? ROC, false alarms, and precision, with ties right.

Wanted cases (positives) are failures in `plausible.evaluate.failure` and out-of-distribution cases in
`plausible.evaluate.ood`. Cases are sorted by suspicion, and cases of equal suspicion cannot be told apart: curves have
a point per distinct value, so that ties count one half in the AUROC and the order of files never matters.

All scores are NaN unless there is a case of each kind. NaN suspicions are left out and counted.

Sources: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747 (AUROC); Hendrycks and Gimpel 2017,
arXiv:1610.02136 (as used for errors and out-of-distribution cases).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from plausible.core import Catalogue, Score

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """Cases flagged at each distinct suspicion, from the most suspicious.

    Attributes:
        found: wanted cases flagged when the threshold is this value.
        false_alarms: other cases flagged with them.
        n_undefined: cases left out, as their suspicion is NaN.
    """

    found: Int64[np.ndarray, " d"]
    false_alarms: Int64[np.ndarray, " d"]
    n_undefined: int = 0

    @property
    def n_positive(self) -> int:
        """Wanted cases."""
        return int(self.found[-1]) if len(self.found) else 0

    @property
    def n_negative(self) -> int:
        """Other cases."""
        return int(self.false_alarms[-1]) if len(self.false_alarms) else 0

    @property
    def n(self) -> int:
        """All cases."""
        return self.n_positive + self.n_negative

    @property
    def is_defined(self) -> bool:
        """Whether there is a case of each kind."""
        return self.n_positive > 0 and self.n_negative > 0

    @property
    def sensitivity(self) -> Float64[np.ndarray, " d"]:
        """Share of the wanted cases that are flagged."""
        return np.asarray(self.found / max(self.n_positive, 1))

    @property
    def false_positive_rate(self) -> Float64[np.ndarray, " d"]:
        """Share of the other cases that are flagged."""
        return np.asarray(self.false_alarms / max(self.n_negative, 1))


def detection(suspicion: Float[np.ndarray, " s"], wanted: Bool[np.ndarray, " s"]) -> Detection:
    """Sort cases by suspicion (higher is more suspicious).

    Raises:
        ValueError: not one suspicion for each case.
    """
    if suspicion.shape != wanted.shape:
        raise ValueError(f"{len(suspicion)} suspicions for {len(wanted)} cases")
    known = ~np.isnan(suspicion)
    suspicion, wanted = suspicion[known], wanted[known]
    order = np.argsort(-suspicion, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(suspicion[order])), len(order) - 1) if len(order) else order
    found = np.cumsum(wanted[order], dtype=np.int64)[ends]
    return Detection(found, ends + 1 - found, int(np.count_nonzero(~known)))


DetectionScore: TypeAlias = Callable[..., float]

DETECTION_SCORES: Catalogue[DetectionScore] = Catalogue("detection score")


@DETECTION_SCORES.add(
    unit="1", higher_is="better", source="Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747", label="AUROC"
)
def area_under_roc(cases: Detection) -> float:
    """Probability that a wanted case is more suspicious than another one; ties count one half.

    0.5 tells nothing, 1 separates. NaN unless there are cases of both kinds.
    """
    if not cases.is_defined:
        return math.nan
    return float(np.trapezoid(np.append(0, cases.sensitivity), np.append(0, cases.false_positive_rate)))


@DETECTION_SCORES.add(
    unit="1", higher_is="worse", source="Hendrycks and Gimpel 2017, arXiv:1610.02136", label="FPR at 95 % TPR"
)
def false_positive_rate_at_sensitivity(cases: Detection, *, sensitivity: float = 0.95) -> float:
    """Share of the other cases that is flagged when at least 95 % of the wanted ones are.

    At the highest threshold that reaches the sensitivity, without interpolation; from 0 to 1. NaN unless there are
    cases of both kinds. Differs from Zenk et al. 2025, whose code is content with 94.95 %.

    Raises:
        ValueError: a sensitivity that is not above 0 and at most 1.
    """
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity must be above 0 and at most 1, got {sensitivity}")
    if not cases.is_defined:
        return math.nan
    return float(cases.false_positive_rate[np.argmax(cases.sensitivity >= sensitivity - ROUNDING)])


@DETECTION_SCORES.add(
    unit="1", higher_is="better", source="Davis and Goadrich 2006, doi:10.1145/1143844.1143874", label="AP"
)
def average_precision(cases: Detection) -> float:
    """Share of wanted cases among the flagged ones, averaged over the wanted cases as they are found.

    Σ (share found gained at a threshold) x (precision there), in steps: trapezoids under precision and recall are too
    optimistic. A score that tells nothing gives the share of wanted cases; 1 is perfect. NaN unless there are both.
    """
    if not cases.is_defined:
        return math.nan
    gained = np.diff(cases.found, prepend=0)
    return float(gained @ (cases.found / (cases.found + cases.false_alarms))) / cases.n_positive


def detection_rows(cases: Detection, named: Mapping[str, str]) -> Iterator[Score]:
    """Yield one row per detection score; n counts the cases.

    Args:
        cases: the sorted cases.
        named: other fields of the rows, such as structure, region, reduction and against.
    """
    for entry in DETECTION_SCORES:
        yield Score(
            subject="",
            measure=entry.name,
            value=entry.function(cases),
            unit=entry.unit,
            higher_is=entry.higher_is,
            n=cases.n,
            **named,
        )
