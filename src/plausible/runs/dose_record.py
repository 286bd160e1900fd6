"""From DVHs to the records of dose.json: one structure with its metrics, constraints, complications and curves."""

import math
from collections.abc import Mapping

import numpy as np

from plausible.dose import (
    Constraint,
    ConstraintSet,
    DoseMetric,
    DoseSensitivity,
    Dvh,
    Lkb,
    MemberDvhs,
    constraint_risk,
    dvh_bands,
    expected_ntcp,
    geud_text,
    relative_curves,
    slice_review,
)
from plausible.dose.sensitivity import MEAN_DOSE
from plausible.report.dose_model import ConstraintDose, DvhCurves, MetricDose, NtcpDose, Review, StructureDose
from plausible.runs.dose_settings import DoseSettings

NOTHING = 1e-4
"""Share of a structure beyond the dose grid that counts as none; beyond it a curve is not known."""


def structure_dose(
    dvhs: MemberDvhs,
    raters: MemberDvhs | None,
    metrics: Mapping[str, DoseMetric],
    constraints: ConstraintSet,
    settings: DoseSettings,
    *,
    sensitivity: DoseSensitivity | None,
    offset: int,
) -> StructureDose:
    """Record of one structure.

    Args:
        dvhs: of the members.
        raters: of the references, if there are any.
        metrics: by their text.
        constraints: what must hold.
        settings: how it is judged.
        sensitivity: what its boundary does to the dose, in its box.
        offset: slice of the image where that box begins.
    """
    nominal = dvhs.nominal
    present = [one for one in dvhs.dvhs if one.total_volume_ml > 0]
    mean_review = _review(MEAN_DOSE, sensitivity, offset)
    return StructureDose(
        name=dvhs.structure,
        standard_name=constraints.standard_name(dvhs.structure),
        n=len(present),
        volume_ml=nominal.total_volume_ml,
        outside_share=nominal.outside_ml / nominal.total_volume_ml if nominal.total_volume_ml else math.nan,
        dvh_method=dvhs.method,
        uncertainty_gy=sensitivity.uncertainty_gy if sensitivity else math.nan,
        metrics=tuple(_metric(one, dvhs, raters, _review(text, sensitivity, offset)) for text, one in metrics.items()),
        constraints=tuple(_constraint(one, dvhs, raters, settings) for one in constraints.of(dvhs.structure)),
        curves=_curves(dvhs, raters) if present else None,
        ntcp=tuple(_ntcp(one, dvhs) for one in constraints.ntcp_of(dvhs.structure)),
        review_slice=mean_review.slice_index if mean_review else None,
    )


def _review(metric: str, sensitivity: DoseSensitivity | None, offset: int) -> Review | None:
    if sensitivity is None or metric not in sensitivity.changes:
        return None
    found = slice_review(sensitivity.changes[metric])
    index = None if found.slice_index is None else found.slice_index + offset
    return Review(slice_index=index, share=found.share, sd=found.sd)


def _metric(metric: DoseMetric, dvhs: MemberDvhs, raters: MemberDvhs | None, review: Review | None) -> MetricDose:
    values, spread = dvhs.values(metric), dvhs.spread(metric)
    reading = metric.read(dvhs.nominal)
    reference = dict(zip(raters.member_ids, map(float, raters.values(metric)), strict=True)) if raters else {}
    low, high = spread.interval_90
    defined = [value for value in reference.values() if math.isfinite(value)]
    return MetricDose(
        metric=metric.text,
        unit=metric.unit,
        nominal=reading.value,
        median=spread.median,
        mean=spread.mean,
        sd=spread.sd,
        interval_50=spread.interval_50,
        interval_90=spread.interval_90,
        method_50=spread.method_50,
        method_90=spread.method_90,
        n=spread.n,
        n_undefined=spread.n_undefined,
        members=tuple(map(float, values)),
        flags=reading.flags,
        review=review,
        reference=reference,
        covered=sum(low <= value <= high for value in defined) if defined and math.isfinite(low) else None,
    )


def _constraint(one: Constraint, dvhs: MemberDvhs, raters: MemberDvhs | None, settings: DoseSettings) -> ConstraintDose:
    metric = one.dose_metric
    risk = constraint_risk(dvhs.values(metric), one, settings=settings.risk)
    nominal = dvhs.nominal_value(metric)
    theirs = [one.violation(value) for value in raters.values(metric)] if raters else []
    at_dose, at_share = _place(metric, one.limit, dvhs.nominal)
    low, high = dvhs.spread(metric).interval_90
    return ConstraintDose(
        metric=metric.text,
        unit=metric.unit,
        text=one.text,
        operator=one.operator,
        limit=one.limit,
        acceptable=one.acceptable,
        priority=one.priority,
        source=one.source,
        checked=one.checked,
        verdict=risk.verdict,
        sure=risk.sure,
        probability=risk.probability,
        low=risk.low,
        high=risk.high,
        level=settings.risk_level,
        interval=settings.risk_interval,
        k=risk.k,
        n=risk.n,
        k_acceptable=risk.k_acceptable,
        n_undefined=risk.n_undefined,
        nominal=nominal,
        nominal_violates=one.violation(nominal),
        close=low <= one.limit <= high,
        at_dose_gy=at_dose,
        at_share=at_share,
        reference_violates=dict(zip(raters.member_ids, theirs, strict=True)) if raters else {},
    )


def _place(metric: DoseMetric, limit: float, nominal: Dvh) -> tuple[float, float]:
    """Where a limit lies in the figure of the DVH: dose, and share of the volume (NaN for a mean or an extreme)."""
    of_dose = metric.prescription_gy / 100 if metric.prescription_gy and metric.unit == "%" else 1.0
    volume = nominal.total_volume_ml or math.nan
    threshold = metric.number
    if metric.setting == "dose_percent":
        threshold = metric.number / 100 * (metric.prescription_gy or math.nan)
    places = {
        "dose_at_percent": (limit * of_dose, metric.number / 100),
        "dose_at_volume": (limit * of_dose, metric.number / volume),
        "percent_at_dose": (threshold, limit / 100),
        "volume_at_dose": (threshold, limit / volume),
        "homogeneity_index": (math.nan, math.nan),
        "volume": (math.nan, math.nan),
    }
    dose, share = places.get(metric.name, (limit * of_dose, math.nan))
    return dose, min(share, 1.0) if math.isfinite(share) else math.nan


def _ntcp(model: Lkb, dvhs: MemberDvhs) -> NtcpDose:
    metric = geud_text(model)
    found = expected_ntcp(dvhs.values(metric), model, nominal_gy=dvhs.nominal_value(metric))
    return NtcpDose(
        endpoint=model.endpoint,
        td50_gy=model.td50_gy,
        m=model.m,
        n=model.n,
        source=model.source,
        checked=model.checked,
        nominal=found.nominal,
        expected=found.expected,
        jensen_gap=found.jensen_gap,
        low=found.low,
        high=found.high,
        n_members=found.n,
    )


def _curves(dvhs: MemberDvhs, raters: MemberDvhs | None) -> DvhCurves:
    found = dvh_bands(dvhs.dvhs, nominal=dvhs.nominal, beside=raters.dvhs if raters else ())
    there = [
        (rater, dvh)
        for rater, dvh in zip(raters.member_ids, raters.dvhs, strict=True)
        if dvh.total_volume_ml > 0 and dvh.outside_ml <= NOTHING * dvh.total_volume_ml
    ] if raters else []  # fmt: skip
    return DvhCurves(
        dose_gy=_short(found.dose_gy),
        nominal=_short(found.nominal),
        median=_short(found.median),
        low_50=_short(found.band_50[0]),
        high_50=_short(found.band_50[1]),
        low_90=_short(found.band_90[0]),
        high_90=_short(found.band_90[1]),
        expected=_short(found.expected),
        of_mean_map=_short(found.of_mean_map),
        method_50=found.method_50,
        method_90=found.method_90,
        reference={rater: _short(relative_curves([dvh], found.dose_gy)[0]) for rater, dvh in there},
        sd=_short(found.sd),
    )


def _short(values: np.ndarray) -> tuple[float, ...]:
    """Values of a curve with five decimals, which no figure can tell apart; metrics keep all their digits."""
    return tuple(float(value) for value in np.round(values, 5))
