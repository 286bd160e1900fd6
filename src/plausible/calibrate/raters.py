"""Bounds and intervals that hold for a rater drawn at random: Monte-Carlo conformal prediction.

Where several raters contoured each calibration patient, the truth is not one number. Calibrating on the majority mask
(or the mean) promises something about majority masks; single raters lie outside far more often. Here every rater of a
patient counts, with weight 1/R of the R raters of that patient: the mean of the p-values of all draws of one rater per
patient, in the limit of infinitely many draws.

The price: a mean of p-values is a p-value only up to a factor of 2. At level α the proven coverage is 1 - 2α, while
1 - α is what happens unless raters conspire. Ask for α/2 where the proof must give 1 - α.

Source: Stutz, Roy, Matejovicova, Strachan, Cemgil and Doucet 2023, arXiv:2307.09302.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from plausible.calibrate.guarantee import CALIBRATIONS, Calibration, about, percent, record
from plausible.calibrate.intervals import ANY_VALUE, CalibratedInterval, Tails
from plausible.calibrate.patients import Patients, check_alike, of_rows
from plausible.calibrate.rank import conformal_rank
from plausible.calibrate.weighted import weighted_quantile
from plausible.core import Score, content_key


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class RaterInterval(Calibration):
    """How far below and above the predicted value a rater's value may lie.

    Attributes:
        below: distance of the lower end below the prediction, in `unit`.
        above: distance of the upper end above it.
        proven_alpha: share of patients that may lie outside by the theorem: 2α.
        n_raters: values of raters it rests on.
    """

    measure: str
    unit: str
    below: float
    above: float
    valid_range: tuple[float, float]
    proven_alpha: float
    n_raters: int

    def apply(self, prediction: Score) -> CalibratedInterval:
        """Return the interval of a new patient.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
        """
        self.guarantee.check_unseen(prediction.subject)
        low, high = prediction.value - self.below, prediction.value + self.above
        return CalibratedInterval(
            subject=prediction.subject,
            structure=prediction.structure,
            measure=self.measure,
            unit=self.unit,
            low=min(max(low, self.valid_range[0]), self.valid_range[1]),
            high=min(max(high, self.valid_range[0]), self.valid_range[1]),
            level=1 - self.guarantee.alpha,
        )


@CALIBRATIONS.add(
    unit="of the row", higher_is="neither", source="Stutz et al. 2023, arXiv:2307.09302", label="rater interval"
)
def fit_rater_interval(
    predictions: Sequence[Score],
    ratings: Sequence[Score],
    *,
    alpha: float,
    population: str,
    date: str,
    tails: Tails = "separate",
    valid_range: tuple[float, float] = ANY_VALUE,
) -> RaterInterval:
    """Interval around a predicted value that holds the value of a rater drawn at random.

    Args:
        predictions: the value predicted for each calibration patient.
        ratings: the value of every rater of every patient, `against` naming the rater.
        alpha: share of patients whose rater may lie outside; twice that is proven.
        population: which patients and raters these are, in words.
        date: day of the calibration.
        tails: "separate" gives each end half of alpha and needs 2/α - 1 patients; "shared" 1/α - 1.
        valid_range: values that are possible at all.

    Raises:
        InvalidInput: E401, too few patients.
        ValueError: patients without a rater, or a rater twice for one patient.
    """
    patients = of_rows(predictions)
    errors, weights = _errors(patients, ratings)
    level = alpha / 2 if tails == "separate" else alpha
    conformal_rank(patients.n, alpha, tails=2 if tails == "separate" else 1)
    if tails == "shared":
        below = above = weighted_quantile(np.abs(errors), weights, new_weight=1.0, alpha=level)
    else:
        below = weighted_quantile(-errors, weights, new_weight=1.0, alpha=level)
        above = weighted_quantile(errors, weights, new_weight=1.0, alpha=level)
    first = predictions[0]
    promise = patients.promise(
        f"a rater drawn at random puts {about(first.structure, first.measure)} into its interval with probability "
        f"about {percent(1 - alpha)}, and at least {percent(max(0.0, 1 - 2 * alpha))} by the theorem, on average "
        "over calibration sets",
        method="Monte-Carlo conformal prediction",
        alpha=alpha,
        population=population,
        date=date,
        structure=first.structure,
        absent="exclude" if patients.excluded else None,
    )
    ratings_hash = content_key([promise.data_hash, errors.tolist(), weights.tolist()])
    return RaterInterval(
        guarantee=replace(promise, data_hash=ratings_hash),
        measure=first.measure,
        unit=first.unit,
        below=float(below),
        above=float(above),
        valid_range=valid_range,
        proven_alpha=2 * alpha,
        n_raters=len(errors),
    )


def _errors(patients: Patients, ratings: Sequence[Score]) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """Rater minus prediction for every rater of every patient, each patient of weight 1."""
    for what in ("structure", "unit"):
        check_alike(ratings, what=what, kind="rows")
    given: dict[str, dict[str, float]] = defaultdict(dict)
    for row in ratings:
        if row.against in given[row.subject]:
            raise ValueError(f"{row.subject}: rater {row.against!r} comes twice")
        if not math.isnan(row.value):
            given[row.subject][row.against] = row.value
    alone = [subject for subject in patients.subjects if not given[subject]]
    if alone:
        raise ValueError(f"{len(alone)} patients have no rater: {', '.join(alone[:5])}")
    counts = [len(given[subject]) for subject in patients.subjects]
    values = np.array([value for subject in patients.subjects for value in given[subject].values()])
    return values - np.repeat(patients.values[0], counts), np.repeat(1 / np.array(counts), counts)
