"""A bound that a new patient's score keeps with a stated probability: split conformal prediction of any scalar row.

For instance "HD95 of the left parotid is at most 7.2 mm in 9 of 10 patients". The bound is one number for everybody;
for bounds that follow the case, see `intervals`.

Source: Papadopoulos et al. 2002, doi:10.1007/3-540-36755-1_29; Vovk, Gammerman and Shafer 2005.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from plausible.calibrate.guarantee import (
    CALIBRATIONS,
    Absent,
    Calibration,
    IfInfeasible,
    about,
    percent,
    record,
)
from plausible.calibrate.patients import Patients, all_of_rows, settle
from plausible.calibrate.rank import conformal_quantile, infeasible
from plausible.core import Score

Side: TypeAlias = Literal["upper", "lower"]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreBound(Calibration):
    """A bound on one measure.

    Attributes:
        bound: what a new patient's value keeps to; infinite if only the trivial answer is right.
        side: "upper" if values stay at or below it, "lower" if at or above.
    """

    measure: str
    unit: str
    side: Side
    bound: float

    def apply(self, subject: str) -> float:
        """Return the bound for a patient.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
        """
        self.guarantee.check_unseen(subject)
        return self.bound

    def holds(self, row: Score) -> bool:
        """Whether a new patient's value keeps the bound; for audits.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
        """
        self.guarantee.check_unseen(row.subject)
        return row.value <= self.bound if self.side == "upper" else row.value >= self.bound


@CALIBRATIONS.add(unit="of the row", higher_is="neither", source="Vovk, Gammerman and Shafer 2005", label="score bound")
def fit_score_bound(
    rows: Sequence[Score],
    *,
    alpha: float,
    side: Side,
    absent: Absent,
    population: str,
    date: str,
    if_infeasible: IfInfeasible = "raise",
) -> ScoreBound:
    """Bound that a new patient's value keeps with probability 1 - α, the same bound for every patient.

    Args:
        rows: one per calibration patient, of one structure and measure.
        alpha: share of patients that may lie beyond.
        side: "upper" for errors and distances, "lower" for overlap.
        absent: what a patient counts as whose value is NaN.
        population: which patients these are, in words.
        date: day of the calibration.
        if_infeasible: "trivial" gives an infinite bound where no finite one is right.

    Raises:
        InvalidInput: E401, too few patients; E403, more patients without a value than alpha allows.
        ValueError: a patient twice, or rows of several structures or measures.
    """
    patients = settle(all_of_rows(rows), absent=absent, covered=-np.inf * _sign(side), missed=np.inf * _sign(side))
    scores = _sign(side) * patients.values[0]
    quantile = float(conformal_quantile(scores, alpha, if_infeasible=if_infeasible))
    if np.isinf(quantile) and if_infeasible == "raise":
        raise _no_bound(patients, alpha)
    first, bound = rows[0], _sign(side) * quantile
    relation = "at most" if side == "upper" else "at least"
    return ScoreBound(
        guarantee=patients.promise(
            f"{about(first.structure, first.measure)} is {relation} {bound:.4g}{_unit(first.unit)} with probability at "
            f"least {percent(1 - alpha)}, on average over calibration sets",
            method="split conformal prediction",
            alpha=alpha,
            population=population,
            date=date,
            structure=first.structure,
            absent=absent,
        ),
        measure=first.measure,
        unit=first.unit,
        side=side,
        bound=bound,
    )


def _sign(side: Side) -> int:
    return 1 if side == "upper" else -1


def _unit(unit: str) -> str:
    return "" if unit == "1" else f" {unit}"


def _no_bound(patients: Patients, alpha: float) -> Exception:
    lost = int(np.isinf(patients.values[0]).sum())
    return infeasible(
        f"{lost} of {patients.n} patients have no finite value",
        expected=f"at most about {percent(alpha)} of them, for a bound at alpha {alpha:g}",
        fix="look at these cases first; or leave them out by name (absent='exclude'), or ask for a larger alpha",
    )
