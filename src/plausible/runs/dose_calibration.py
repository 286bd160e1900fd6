"""What can be promised of the dose of new patients, from patients whose dose.json has a reference contour.

For every structure and metric an interval, for every structure a band that holds its whole DVH, for every constraint a
rule for calling it met. The records stand in a file of the same form as calibration.json.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64

from plausible.calibrate import (
    Calibration,
    DvhCurve,
    Tails,
    fit_constraint_pass,
    fit_dvh_band,
    fit_interval,
)
from plausible.core import InvalidInput, Problem, Score, provenance
from plausible.report.dose_model import CaseDose, DvhCurves, MetricDose, StructureDose
from plausible.runs.calibration import Calibrations
from plausible.runs.dose_record import NOTHING
from plausible.runs.layout import told

DOSE_CALIBRATION_JSON = "dose_calibration.json"
VALID_RANGES: Mapping[str, tuple[float, float]] = {"Gy": (0.0, math.inf), "%": (0.0, 100.0), "cc": (0.0, math.inf)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseCalibrateSettings:
    """What is to be promised of the dose of new patients.

    Attributes:
        population: which patients could have been drawn in the place of these, in words: site, scanner, indication.
        alpha: share of new patients whose metric may lie outside its interval, or whose DVH may leave its band.
        missed: share of new patients in whom a constraint may pass although it is violated.
        tails: separate gives each end its own distance, shared one for both; separate needs twice the patients.
        rater: reference that counts as true, where cases have several.
        spread_floor_gy: smallest standard deviation between members that is believed, for metrics in Gy.
        spread_floor_percent: the same for metrics in % and for the band.
        spread_floor_cc: the same for metrics in cc.
        band_step_gy: distance of the doses at which the band is made.
    """

    population: str = ""
    alpha: float = 0.1
    missed: float = 0.05
    tails: Tails = "separate"
    rater: str = ""
    spread_floor_gy: float = 0.5
    spread_floor_percent: float = 1.0
    spread_floor_cc: float = 0.05
    band_step_gy: float = 0.5

    def __post_init__(self) -> None:
        if not self.population.strip():
            raise ValueError('say for which patients: --population "site A, oropharynx, 70 Gy"')
        for name in ("alpha", "missed"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("spread_floor_gy", "spread_floor_percent", "spread_floor_cc", "band_step_gy"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")

    def floor(self, unit: str) -> float:
        """Smallest spread that is believed in a unit; of a number without one, a hundredth."""
        floors = {"Gy": self.spread_floor_gy, "%": self.spread_floor_percent, "cc": self.spread_floor_cc}
        return floors.get(unit, 0.01)


def calibrate_doses(cases: Sequence[CaseDose], settings: DoseCalibrateSettings, *, today: date) -> Calibrations:
    """Fit everything; what cannot be promised is listed with its reason.

    Raises:
        InvalidInput: E401, nothing can be promised; E406, no reference, or several and none chosen.
    """
    true = {case.subject: _rater(case, settings.rater) for case in cases}
    records, refused = list[Calibration](), list[dict[str, Any]]()
    first: InvalidInput | None = None
    for what, fit in _fits(cases, true, settings, {"population": settings.population, "date": today.isoformat()}):
        try:
            records.append(fit())
        except InvalidInput as error:
            first = first or error
            refused.append({"what": what, **error.problem.to_dict()})
    if first and not records:
        raise first
    made = provenance(
        f"calibrate-dose {told(asdict(settings))}",
        settings=asdict(settings),
        inputs={case.subject: str(case.provenance.get("key", "")) for case in cases},
    )
    return Calibrations(tuple(records), tuple(refused), made.to_dict())


def _fits(
    cases: Sequence[CaseDose], true: Mapping[str, str], settings: DoseCalibrateSettings, common: dict[str, Any]
) -> list[tuple[str, Callable[[], Calibration]]]:
    fits: list[tuple[str, Callable[[], Calibration]]] = []
    for structure in dict.fromkeys(one.name for case in cases for one in case.structures):
        found = [(case.subject, one) for case in cases for one in case.structures if one.name == structure]
        for metric in dict.fromkeys(m.metric for _, one in found for m in one.metrics):
            columns = _columns(found, metric, true)
            fits.append((f"{metric} of {structure}", partial(_interval, columns, settings, common)))
        for text in dict.fromkeys(c.text for _, one in found for c in one.constraints):
            fits.append((f"{text} of {structure}", partial(_pass, found, text, true, settings, common)))
        fits.append((f"DVH of {structure}", partial(_band, cases, structure, true, settings, common)))
    return fits


Columns = tuple[list[Score], list[Score], list[Score]]


def _columns(found: Sequence[tuple[str, StructureDose]], metric: str, true: Mapping[str, str]) -> Columns:
    """Rows of what was predicted, of the members' spread, and of the reference."""
    pairs = [(subject, one, m) for subject, one in found for m in one.metrics if m.metric == metric]
    predicted = [metric_row(subject, one.name, m, m.nominal) for subject, one, m in pairs]
    spread = [metric_row(subject, one.name, m, m.sd) for subject, one, m in pairs]
    reference = [metric_row(subject, one.name, m, m.reference.get(true[subject])) for subject, one, m in pairs]
    return predicted, spread, reference


def metric_row(subject: str, structure: str, metric: MetricDose, value: float | None) -> Score:
    """Row of a quantity of a metric in one patient; NaN where it is undefined."""
    return Score(
        subject=subject,
        structure=structure,
        measure=metric.metric,
        value=math.nan if value is None else float(value),
        unit=metric.unit,
        higher_is="neither",
        n=metric.n,
    )


def _interval(columns: Columns, settings: DoseCalibrateSettings, common: dict[str, Any]) -> Calibration:
    predicted, spread, reference = columns
    return fit_interval(
        predicted,
        reference,
        alpha=settings.alpha,
        tails=settings.tails,
        spreads=spread,
        spread_floor=settings.floor(predicted[0].unit),
        valid_range=VALID_RANGES.get(predicted[0].unit, (-math.inf, math.inf)),
        **common,
    )


def _pass(
    found: Sequence[tuple[str, StructureDose]],
    text: str,
    true: Mapping[str, str],
    settings: DoseCalibrateSettings,
    common: dict[str, Any],
) -> Calibration:
    asked = next(c for _, one in found for c in one.constraints if c.text == text)
    predicted, spread, reference = _columns(found, asked.metric, true)
    return fit_constraint_pass(
        predicted,
        spread,
        reference,
        operator=asked.operator,
        limit=asked.limit,
        alpha=settings.missed,
        spread_floor=settings.floor(asked.unit),
        **common,
    )


def _band(
    cases: Sequence[CaseDose],
    structure: str,
    true: Mapping[str, str],
    settings: DoseCalibrateSettings,
    common: dict[str, Any],
) -> Calibration:
    hottest = max(case.maximum_gy or 0.0 for case in cases)
    doses_gy = np.arange(0.0, 1.1 * hottest + settings.band_step_gy, settings.band_step_gy)
    curves = [
        curve_of(case, one, doses_gy=doses_gy, rater=true[case.subject])
        for case in cases
        for one in case.structures
        if one.name == structure and one.curves is not None
    ]
    return fit_dvh_band(
        curves,
        alpha=settings.alpha,
        tails=settings.tails,
        spread_floor=settings.spread_floor_percent / 100,
        **common,
    )


def curve_of(case: CaseDose, structure: StructureDose, *, doses_gy: Float64[np.ndarray, "d"], rater: str) -> DvhCurve:
    """Curves of one structure on a grid of doses; NaN where there is none, or part of it lies beyond the dose grid."""
    curves = structure.curves
    assert curves is not None
    reference = curves.reference.get(rater)
    undefined = np.full(len(doses_gy), np.nan)
    whole = structure.outside_share <= NOTHING
    return DvhCurve(
        subject=case.subject,
        structure=structure.name,
        doses_gy=doses_gy,
        predicted=_read(curves, curves.nominal, doses_gy) if whole else undefined,
        spread=_read(curves, curves.sd, doses_gy),
        reference=undefined if reference is None else _read(curves, reference, doses_gy),
        dose_range_gy=(0.0, case.maximum_gy if case.maximum_gy is not None else math.inf),
    )


def _read(
    curves: DvhCurves, values: Sequence[float | None], doses_gy: Float64[np.ndarray, "d"]
) -> Float64[np.ndarray, "d"]:
    """Curve at other doses; beyond its last dose it is 0."""
    known = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return np.interp(doses_gy, np.asarray(curves.dose_gy), known, right=0.0)


def _rater(case: CaseDose, wanted: str) -> str:
    """Which reference counts as true."""
    if wanted in case.raters or (not wanted and len(case.raters) == 1):
        return wanted or case.raters[0]
    there = ", ".join(case.raters) or "no reference"
    raise InvalidInput(
        Problem(
            code="E406",
            subject=case.subject,
            found=there,
            expected="one reference contour per case" + (f", {wanted}" if wanted else ""),
            fix="give --references; of several raters choose one with --rater NAME",
        )
    )
