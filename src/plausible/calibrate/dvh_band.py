"""A band that holds the whole dose-volume histogram of the true structure with a stated probability.

The band lies around the predicted curve and is as wide, at each dose, as the members' own spread says, times one factor
for all doses. The score of a patient is the largest deviation of the true curve over all doses in units of that spread,
upwards and downwards apart, so the promise is about the curve at once and not dose by dose:

    above = max_d (V(d) - V̂(d)) / s(d),   below = max_d (V̂(d) - V(d)) / s(d),   s(d) = max(spread(d), floor)

A true curve never rises, so each end of the band may be made falling without loss: its upper end is the smallest seen
at lower doses, its lower end the largest seen at higher ones. Curves are shares of the structure's own volume.

The dose is taken as it is planned or delivered: nothing is promised about its own errors.

Source: unpublished; split conformal prediction with a supremum score, as for functional data: Diquigiovanni, Fontana
and Vantini 2022, doi:10.1016/j.jmva.2021.104879.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from plausible.calibrate.counts import same_grid
from plausible.calibrate.guarantee import CALIBRATIONS, Calibration, IfInfeasible, percent, record
from plausible.calibrate.intervals import Tails, tail_distances
from plausible.calibrate.patients import Patients, check_alike, check_unique, settle


@dataclass(frozen=True, slots=True, eq=False)
class DvhCurve:
    """Cumulative dose-volume histogram of one structure of one patient on a grid of doses.

    Attributes:
        doses_gy: ascending, the same for all patients.
        predicted: share of the volume that receives at least each dose, 0 to 1, as predicted.
        spread: standard deviation of that share between the members.
        reference: the same share in the true structure; NaN where there is none or it is not known.
        dose_range_gy: lowest and highest dose anywhere in the patient, outside which no structure can be: the band is
            1 below and 0 above, so that the dose of small volumes is bounded too.
    """

    subject: str
    structure: str
    doses_gy: Float64[np.ndarray, " d"]
    predicted: Float64[np.ndarray, " d"]
    spread: Float64[np.ndarray, " d"]
    reference: Float64[np.ndarray, " d"]
    dose_range_gy: tuple[float, float] = (0.0, np.inf)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DvhBandOfPatient:
    """Band of one patient: at every dose of the grid at once, the true share lies between `low` and `high`."""

    subject: str
    structure: str
    doses_gy: Float64[np.ndarray, " d"]
    low: Float64[np.ndarray, " d"]
    high: Float64[np.ndarray, " d"]
    level: float

    def holds(self, reference: Float64[np.ndarray, " d"]) -> bool:
        """Whether a curve lies inside at every dose of the grid."""
        return bool(((self.low <= reference + 1e-12) & (reference <= self.high + 1e-12)).all())

    def dose_interval_gy(self, share: float) -> tuple[float, float]:
        """Lowest and highest D_x that a curve inside the band can have, x a share of the volume above 0 up to 1.

        Between two doses of the grid nothing but falling is known, so that each end lies at a dose of the grid, on the
        safe side. All x at once. 0 and infinity where the grid ends before the band does.
        """
        at_least, above = self.low >= share, self.high < share
        low = self.doses_gy[at_least][-1] if at_least.any() else 0.0
        high = self.doses_gy[above][0] if above.any() else np.inf
        return float(low), float(high)


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class DvhBand(Calibration):
    """How many spreads below and above the predicted curve the true one may lie anywhere.

    Attributes:
        doses_gy: the grid of doses.
        below: spreads below the predicted curve.
        above: spreads above it.
        spread_floor: smallest spread that is used, a share of the volume.
        tails: whether both sides have a factor of their own.
    """

    doses_gy: tuple[float, ...]
    below: float
    above: float
    spread_floor: float
    tails: Tails

    def apply(self, curve: DvhCurve) -> DvhBandOfPatient:
        """Return the band of a new patient; the curve's `reference` is not looked at.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: another structure or grid of doses.
        """
        self.guarantee.check_unseen(curve.subject)
        if curve.structure != self.guarantee.structure or not np.array_equal(curve.doses_gy, self.doses_gy):
            raise ValueError(
                f"{curve.subject}: calibrated for {self.guarantee.structure} on {len(self.doses_gy)} doses, got "
                f"{curve.structure} on {len(curve.doses_gy)}"
            )
        spread = np.maximum(curve.spread, self.spread_floor)
        low = np.clip(curve.predicted - self.below * spread, 0, 1)
        high = np.clip(curve.predicted + self.above * spread, 0, 1)
        coldest, hottest = curve.dose_range_gy
        low, high = np.where(curve.doses_gy <= coldest, 1.0, low), np.where(curve.doses_gy > hottest, 0.0, high)
        return DvhBandOfPatient(
            subject=curve.subject,
            structure=curve.structure,
            doses_gy=curve.doses_gy,
            low=np.maximum.accumulate(low[::-1])[::-1],
            high=np.minimum.accumulate(high),
            level=1 - self.guarantee.alpha,
        )


@CALIBRATIONS.add(unit="spreads", higher_is="neither", source="unpublished", label="band of the whole DVH")
def fit_dvh_band(
    curves: Sequence[DvhCurve],
    *,
    alpha: float,
    spread_floor: float,
    population: str,
    date: str,
    tails: Tails = "separate",
    if_infeasible: IfInfeasible = "raise",
) -> DvhBand:
    """Band that holds the whole curve of the true structure in 1 - α of patients.

    A patient without a true curve is left out. With one dose on the grid this is the interval of that V_d.

    Args:
        curves: one per calibration patient, of one structure, on one grid of doses.
        alpha: share of patients whose curve may leave the band anywhere.
        spread_floor: smallest spread that is used, a share of the volume above 0, e.g. 0.01; decided without the
            calibration patients. Where members agree by chance, it keeps the band from closing.
        population: which patients these are, in words.
        date: day of the calibration.
        tails: "separate" gives each side a factor at α/2 and needs 2/α - 1 patients; "shared" one for both.
        if_infeasible: "trivial" gives 0 to 1 at every dose with too few patients.

    Raises:
        InvalidInput: E401, too few patients.
        ValueError: a floor that is not above 0, or curves that do not belong together.
    """
    if not spread_floor > 0:
        raise ValueError(f"spread_floor must be above 0, got {spread_floor}")
    patients = settle(_deviations(curves, spread_floor), absent="exclude", covered=np.nan, missed=np.nan)
    lower, upper = patients.values
    below, above = tail_distances(lower, upper, alpha, tails=tails, if_infeasible=if_infeasible)
    structure = curves[0].structure
    return DvhBand(
        guarantee=patients.promise(
            f"the whole dose-volume histogram of {structure} lies in its band with probability at least "
            f"{percent(1 - alpha)}, on average over calibration sets",
            method="conformal DVH band",
            alpha=alpha,
            population=population,
            date=date,
            structure=structure,
            absent="exclude" if patients.excluded else None,
        ),
        doses_gy=tuple(curves[0].doses_gy.tolist()),
        below=float(below),
        above=float(above),
        spread_floor=spread_floor,
        tails=tails,
    )


def _deviations(curves: Sequence[DvhCurve], floor: float) -> Patients:
    """Largest deviation of each patient's true curve below and above the predicted one, in spreads."""
    if not curves:
        raise ValueError("there are no curves to calibrate on")
    check_alike(curves, what="structure", kind="curves")
    check_unique([curve.subject for curve in curves])
    same_grid([curve.doses_gy for curve in curves], what="doses")
    ordered = sorted(curves, key=lambda curve: curve.subject)
    scores = [_deviation(curve, floor) for curve in ordered]
    return Patients(tuple(curve.subject for curve in ordered), np.array(scores).T)


def _deviation(curve: DvhCurve, floor: float) -> tuple[float, float]:
    apart: Float[np.ndarray, " d"] = (curve.reference - curve.predicted) / np.maximum(curve.spread, floor)
    return float(np.max(-apart)), float(np.max(apart))
