"""What was promised of the dose, applied to a new patient: intervals, bands and rules beside the members' own."""

from dataclasses import replace

import numpy as np

from plausible.calibrate import ConstraintPass, DvhBand, IntervalCalibration
from plausible.report.dose_model import CaseDose, ConstraintDose, DvhCurves, MetricDose, StructureDose
from plausible.report.text import known
from plausible.runs.calibration import Calibrations
from plausible.runs.dose_calibration import curve_of, metric_row


def calibrated_case(case: CaseDose, calibrations: Calibrations) -> CaseDose:
    """Return a case with its calibrated intervals, bands and decisions.

    Raises:
        InvalidInput: E402, a patient of the calibration set.
    """
    structures = tuple(_structure(case, one, calibrations) for one in case.structures)
    methods = "\n".join([case.methods, *calibrations.statements])
    return replace(case, structures=structures, calibration=calibrations.summary, methods=methods)


def _structure(case: CaseDose, structure: StructureDose, calibrations: Calibrations) -> StructureDose:
    metrics = tuple(_metric(case.subject, structure.name, one, calibrations) for one in structure.metrics)
    by_metric = {one.metric: one for one in structure.metrics}
    constraints = tuple(
        _decided(case.subject, structure.name, one, by_metric[one.metric], calibrations)
        for one in structure.constraints
    )
    return replace(structure, metrics=metrics, constraints=constraints, curves=_banded(case, structure, calibrations))


def _metric(subject: str, structure: str, metric: MetricDose, calibrations: Calibrations) -> MetricDose:
    record = calibrations.about(IntervalCalibration, structure, measure=metric.metric)
    if record is None or not (known(metric.nominal) and known(metric.sd)):
        return metric
    prediction, spread = (metric_row(subject, structure, metric, value) for value in (metric.nominal, metric.sd))
    found = record.apply(prediction, spread=spread)
    return replace(metric, calibrated=(found.low, found.high), calibrated_level=found.level)


def _decided(
    subject: str, structure: str, constraint: ConstraintDose, metric: MetricDose, calibrations: Calibrations
) -> ConstraintDose:
    rules = calibrations.all_about(ConstraintPass, structure, measure=constraint.metric)
    record = next((one for one in rules if (one.operator, one.limit) == (constraint.operator, constraint.limit)), None)
    if record is None or not (known(metric.nominal) and known(metric.sd)):
        return constraint
    prediction, spread = (metric_row(subject, structure, metric, value) for value in (metric.nominal, metric.sd))
    return replace(
        constraint, calibrated_pass=record.apply(prediction, spread).passes, missed_at_most=record.guarantee.alpha
    )


def _banded(case: CaseDose, structure: StructureDose, calibrations: Calibrations) -> DvhCurves | None:
    record, curves = calibrations.of(DvhBand, structure.name), structure.curves
    if record is None or curves is None:
        return curves
    curve = curve_of(case, structure, doses_gy=np.array(record.doses_gy), rater="")
    if not (known(curve.predicted[0]) and known(curve.spread[0])):
        return curves
    band = record.apply(curve)
    low = np.interp(curves.dose_gy, band.doses_gy, band.low, right=0.0)
    high = np.interp(curves.dose_gy, band.doses_gy, band.high)
    return replace(
        curves,
        low_calibrated=tuple(low.tolist()),
        high_calibrated=tuple(high.tolist()),
        calibrated_level=band.level,
    )
