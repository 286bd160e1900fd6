"""When may a dose constraint be called met? A rule that misses a violation in at most a stated share of patients.

A constraint passes if the predicted value keeps more than `caution` spreads of the members away from its limit:

    margin = (limit - predicted) / s for an upper limit, (predicted - limit) / s for a lower one, s = max(spread, floor)
    pass if margin > caution

A violation is missed in a patient whose constraint passes though the true structure's dose violates it. More caution
means fewer passes, so that the loss can be controlled: the smallest caution with (missed + 1) / (n + 1) ≤ α keeps the
share of new patients with a missed violation at α or below, on average over calibration sets. It is never below
`least_caution`, by default 0: what violates the limit as predicted does not pass, however rare violations are.

The share is of all patients. For "of those that pass at most α violate" calibrate a failure flag on the same rows.

Source: unpublished; conformal risk control, Angelopoulos, Bates, Fisch, Lei and Schuster 2024, arXiv:2208.02814.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from plausible.calibrate.guarantee import CALIBRATIONS, Calibration, Guarantee, IfInfeasible, about, percent, record
from plausible.calibrate.patients import Patients, of_rows
from plausible.calibrate.rank import check_level, too_few
from plausible.core import Score
from plausible.core.limits import Operator, violates


@dataclass(frozen=True, slots=True, kw_only=True)
class PassDecision:
    """Whether the constraint of one patient may be called met, and by how many spreads it is."""

    subject: str
    passes: bool
    margin: float
    caution: float


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintPass(Calibration):
    """How far from its limit a predicted value must stay to be called met.

    Attributes:
        measure: the dose metric, e.g. "D0.03cc[Gy]".
        unit: its unit.
        operator: "<" or "<=" for an upper limit, ">" or ">=" for a lower one.
        limit: in `unit`.
        caution: spreads that must lie between the predicted value and the limit; infinite lets nothing pass.
        spread_floor: smallest spread that is used, in `unit`.
        missed: calibration patients whose violation is missed at this caution.
        violated: calibration patients with a violation.
    """

    measure: str
    unit: str
    operator: Operator
    limit: float
    caution: float
    spread_floor: float
    missed: int
    violated: int

    def apply(self, prediction: Score, spread: Score) -> PassDecision:
        """Decide for a new patient.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: rows of another metric, structure or patient.
        """
        self.guarantee.check_unseen(prediction.subject)
        given = prediction.measure, prediction.unit, prediction.structure, spread.subject
        asked = self.measure, self.unit, self.guarantee.structure, prediction.subject
        if given != asked:
            raise ValueError(f"calibrated for (measure, unit, structure, subject) = {asked}, got {given}")
        values = np.array([prediction.value]), np.array([spread.value])
        margin = float(_margins(*values, self.limit, self.operator, self.spread_floor)[0])
        return PassDecision(
            subject=prediction.subject, passes=margin > self.caution, margin=margin, caution=self.caution
        )


@CALIBRATIONS.add(
    unit="spreads", higher_is="neither", source="Angelopoulos et al. 2024, arXiv:2208.02814", label="constraint pass"
)
def fit_constraint_pass(
    predictions: Sequence[Score],
    spreads: Sequence[Score],
    references: Sequence[Score],
    *,
    operator: Operator,
    limit: float,
    alpha: float,
    spread_floor: float,
    population: str,
    date: str,
    least_caution: float = 0.0,
    if_infeasible: IfInfeasible = "raise",
) -> ConstraintPass:
    """Rule for calling a dose constraint met that misses a violation in at most α of patients.

    A patient in whom the metric is undefined is left out.

    Args:
        predictions: the metric as predicted for each calibration patient.
        spreads: its standard deviation between the members.
        references: the metric of the true structure.
        operator: "<" or "<=" for an upper limit, ">" or ">=" for a lower one.
        limit: in the unit of the rows.
        alpha: share of patients whose violation may be missed.
        spread_floor: smallest spread that is used, above 0; decided without the calibration patients.
        population: which patients these are, in words.
        date: day of the calibration.
        least_caution: caution that is never gone below; -inf lets α alone decide.
        if_infeasible: "trivial" lets nothing pass with too few patients.

    Raises:
        InvalidInput: E401, too few patients.
        ValueError: a floor that is not above 0, or rows that do not belong together.
    """
    check_level(alpha, name="alpha")
    if not spread_floor > 0:
        raise ValueError(f"spread_floor must be above 0, got {spread_floor}")
    patients = of_rows(predictions, spreads, references)
    predicted, spread, true = patients.values
    violated = violates(true, operator, limit)
    dangerous = _margins(predicted, spread, limit, operator, spread_floor)[violated]
    allowed = math.floor(alpha * (patients.n + 1) - 1 + 1e-9)
    if allowed < 0 and if_infeasible == "raise":
        raise too_few(patients.n, alpha=alpha, needed=math.ceil(1 / alpha - 1 - 1e-9), best=1 / (patients.n + 1))
    caution = math.inf if allowed < 0 else max(_smallest_caution(dangerous, allowed), least_caution)
    first = predictions[0]
    return ConstraintPass(
        guarantee=_promise(patients, first, operator, limit, alpha, population, date),
        measure=first.measure,
        unit=first.unit,
        operator=operator,
        limit=limit,
        caution=caution,
        spread_floor=spread_floor,
        missed=int((dangerous > caution).sum()),
        violated=int(violated.sum()),
    )


def _promise(
    patients: Patients, row: Score, operator: Operator, limit: float, alpha: float, population: str, date: str
) -> Guarantee:
    return patients.promise(
        f"{about(row.structure, row.measure)} {operator} {limit:g} passes although it is violated with probability at "
        f"most {percent(alpha)}, on average over calibration sets",
        method="conformal risk control of missed violations",
        alpha=alpha,
        population=population,
        date=date,
        structure=row.structure,
        absent="exclude" if patients.excluded else None,
    )


def _smallest_caution(dangerous: Float[np.ndarray, " v"], allowed: int) -> float:
    """Smallest caution at which at most so many of the violating patients pass, whose margin must exceed it."""
    if len(dangerous) <= allowed:
        return -math.inf
    return float(np.sort(dangerous)[::-1][allowed])


def _margins(
    predicted: Float[np.ndarray, " s"], spread: Float[np.ndarray, " s"], limit: float, operator: Operator, floor: float
) -> Float[np.ndarray, " s"]:
    sign = 1.0 if operator in ("<", "<=") else -1.0
    return sign * (limit - predicted) / np.maximum(spread, floor)
