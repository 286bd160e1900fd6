"""Intervals that hold a patient's true volume, or any other scalar, with a stated probability.

Two kinds: around one predicted value, or around two predicted quantiles of the members (conformalised quantiles). The
score of a patient says by how much the truth lies above and below what was predicted, in units of the row or, given
the members' own spread, in multiples of it, so that unsure cases get wider intervals.

Tails are separate by default: each has its own quantile at α/2. A bias of b then moves the interval instead of widening
it by up to 2|b|, as one quantile of absolute errors does.

A patient without the structure has volume 0 and counts like any other. A NaN excludes the patient.

Sources: Romano, Patterson and Candès 2019, arXiv:1905.03222 (quantiles); Lei et al. 2018,
doi:10.1080/01621459.2017.1307116 (normalised); Cheung et al. 2024, arXiv:2404.15274 (separate tails under bias).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.calibrate.guarantee import (
    CALIBRATIONS,
    Calibration,
    Guarantee,
    IfInfeasible,
    about,
    percent,
    record,
)
from plausible.calibrate.patients import Patients, of_rows
from plausible.calibrate.rank import conformal_quantile
from plausible.core import Score

Tails: TypeAlias = Literal["separate", "shared"]
ANY_VALUE = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedInterval:
    """Interval of one patient that holds the true value with probability `level`."""

    subject: str
    structure: str
    measure: str
    unit: str
    low: float
    high: float
    level: float


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalCalibration(Calibration):
    """How far below and above what was predicted the truth may lie.

    Attributes:
        measure: name of the predicted value (or of the lower quantile).
        unit: its unit.
        below: distance of the lower end below the predicted value (or lower quantile), in `unit`, or in multiples of
            the spread.
        above: distance of the upper end above it (or above the upper quantile); negative if that was too cautious.
        normalized: whether distances are multiples of the spread of each case.
        spread_floor: smallest spread that is used, in `unit`.
        valid_range: values that are possible at all, e.g. (0, inf) for a volume.
        from_quantiles: whether the interval starts from two predicted quantiles.
        tails: whether the lower and the upper distance have a quantile each.
    """

    measure: str
    unit: str
    below: float
    above: float
    normalized: bool
    spread_floor: float
    valid_range: tuple[float, float]
    from_quantiles: bool
    tails: Tails

    def apply(
        self, prediction: Score, *, upper: Score | None = None, spread: Score | None = None
    ) -> CalibratedInterval:
        """Return the interval of a new patient.

        Args:
            prediction: the predicted value, or the lower of the two quantiles.
            upper: the upper quantile, where the calibration used quantiles.
            spread: the members' spread, where the calibration used it.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: rows that the calibration was not made for.
        """
        self.guarantee.check_unseen(prediction.subject)
        self._check(prediction, upper, spread)
        scale = float(_scale(np.array([spread.value]), self.spread_floor)[0]) if spread else 1.0
        low = prediction.value - self.below * scale
        high = (upper or prediction).value + self.above * scale
        low, high = (min(max(value, self.valid_range[0]), self.valid_range[1]) for value in sorted((low, high)))
        return CalibratedInterval(
            subject=prediction.subject,
            structure=prediction.structure,
            measure=self.measure,
            unit=self.unit,
            low=low,
            high=high,
            level=1 - self.guarantee.alpha,
        )

    def _check(self, prediction: Score, upper: Score | None, spread: Score | None) -> None:
        asked = (self.measure, self.unit, self.guarantee.structure, self.from_quantiles, self.normalized)
        given = (
            prediction.measure,
            prediction.unit,
            prediction.structure,
            upper is not None,
            spread is not None,
        )
        if asked != given:
            raise ValueError(
                f"{prediction.subject}: calibrated for (measure, unit, structure, upper quantile, spread) = {asked}, "
                f"got {given}"
            )
        if any(row.subject != prediction.subject for row in (upper, spread) if row):
            raise ValueError(f"rows of different patients: {prediction.subject} and another")


@CALIBRATIONS.add(
    unit="of the row",
    higher_is="neither",
    source="Lei et al. 2018, doi:10.1080/01621459.2017.1307116",
    label="interval",
)
def fit_interval(
    predictions: Sequence[Score],
    references: Sequence[Score],
    *,
    alpha: float,
    population: str,
    date: str,
    tails: Tails = "separate",
    spreads: Sequence[Score] | None = None,
    spread_floor: float = 0.0,
    valid_range: tuple[float, float] = ANY_VALUE,
    if_infeasible: IfInfeasible = "raise",
) -> IntervalCalibration:
    """Interval around a predicted value, as wide as the errors on the calibration patients ask for.

    Args:
        predictions: the value predicted for each calibration patient, e.g. volume in ml.
        references: the true value of each.
        alpha: share of patients whose true value may lie outside.
        population: which patients these are, in words.
        date: day of the calibration.
        tails: "separate" gives each end a quantile at α/2 and needs 2/α - 1 patients; "shared" one quantile of
            absolute errors, with 1/α - 1 patients, wider by up to twice the bias.
        spreads: the members' own spread for each patient, in the same unit; intervals then are multiples of it.
        spread_floor: smallest spread that is used; decided without the calibration patients.
        valid_range: values that are possible at all.
        if_infeasible: "trivial" gives the whole valid range with too few patients.

    Raises:
        InvalidInput: E401, too few patients.
        ValueError: rows that do not match, or a spread of 0 without a floor.
    """
    columns = [predictions, references, *([spreads] if spreads is not None else [])]
    _check_units(*columns)
    patients = of_rows(*columns)
    predicted, true = patients.values[:2]
    scale = _scale(patients.values[2], spread_floor) if spreads is not None else np.ones(patients.n)
    below, above = tail_distances(
        (predicted - true) / scale, (true - predicted) / scale, alpha, tails=tails, if_infeasible=if_infeasible
    )
    return IntervalCalibration(
        guarantee=_promise(patients, predictions[0], references[0], "conformal interval", alpha, population, date),
        measure=predictions[0].measure,
        unit=predictions[0].unit,
        below=float(below),
        above=float(above),
        normalized=spreads is not None,
        spread_floor=spread_floor,
        valid_range=valid_range,
        from_quantiles=False,
        tails=tails,
    )


@CALIBRATIONS.add(
    unit="of the row", higher_is="neither", source="Romano et al. 2019, arXiv:1905.03222", label="quantile interval"
)
def fit_quantile_interval(
    lows: Sequence[Score],
    highs: Sequence[Score],
    references: Sequence[Score],
    *,
    alpha: float,
    population: str,
    date: str,
    tails: Tails = "separate",
    valid_range: tuple[float, float] = ANY_VALUE,
    if_infeasible: IfInfeasible = "raise",
) -> IntervalCalibration:
    """Interval from two quantiles of the members, moved until it holds the truth often enough.

    Args:
        lows: lower quantile of the members' values for each calibration patient.
        highs: upper quantile of the same.
        references: the true value of each.
        alpha: share of patients whose true value may lie outside.
        population: which patients these are, in words.
        date: day of the calibration.
        tails: as `fit_interval`.
        valid_range: values that are possible at all.
        if_infeasible: "trivial" gives the whole valid range with too few patients.

    Raises:
        InvalidInput: E401, too few patients.
        ValueError: rows that do not match, or a lower quantile above the upper one.
    """
    _check_units(lows, highs, references)
    patients = of_rows(lows, highs, references)
    low, high, true = patients.values
    if (low > high).any():
        raise ValueError(f"{int((low > high).sum())} patients have a lower quantile above the upper one")
    below, above = tail_distances(low - true, true - high, alpha, tails=tails, if_infeasible=if_infeasible)
    return IntervalCalibration(
        guarantee=_promise(patients, lows[0], references[0], "conformalised quantiles", alpha, population, date),
        measure=lows[0].measure,
        unit=lows[0].unit,
        below=float(below),
        above=float(above),
        normalized=False,
        spread_floor=0.0,
        valid_range=valid_range,
        from_quantiles=True,
        tails=tails,
    )


def tail_distances(
    below: Float[np.ndarray, "*repeats n"],
    above: Float[np.ndarray, "*repeats n"],
    alpha: float,
    *,
    tails: Tails,
    if_infeasible: IfInfeasible = "raise",
) -> tuple[Float[np.ndarray, "*repeats"], Float[np.ndarray, "*repeats"]]:
    """How far both ends must be moved, from how far the truth lies below the lower and above the upper start.

    Raises:
        InvalidInput: E401, too few patients.
    """
    if tails == "shared":
        both = conformal_quantile(np.maximum(below, above), alpha, if_infeasible=if_infeasible)
        return both, both
    lower = conformal_quantile(below, alpha, tails=2, if_infeasible=if_infeasible)
    upper = conformal_quantile(above, alpha, tails=2, if_infeasible=if_infeasible)
    return lower, upper


def _scale(spread: Float[np.ndarray, " n"], floor: float) -> Float[np.ndarray, " n"]:
    scale = np.maximum(spread, floor)
    if not (scale > 0).all():
        raise ValueError(
            f"{int((~(scale > 0)).sum())} patients have a spread of 0 (or none): give spread_floor, the smallest "
            "spread that can be believed, in the unit of the row"
        )
    return scale


def _promise(
    patients: Patients, prediction: Score, reference: Score, method: str, alpha: float, population: str, date: str
) -> Guarantee:
    return patients.promise(
        f"{about(prediction.structure, reference.measure)} lies in its interval with probability at least "
        f"{percent(1 - alpha)}, on average over calibration sets",
        method=method,
        alpha=alpha,
        population=population,
        date=date,
        structure=prediction.structure,
        absent="exclude" if patients.excluded else None,
    )


def _check_units(*columns: Sequence[Score]) -> None:
    units = {rows[0].unit for rows in columns if rows}
    if len(units) > 1:
        raise ValueError(f"rows in different units: {', '.join(sorted(units))}")
