"""Shape derivatives of DVH metrics: what a voxel at the boundary adds to a metric if it joins the structure.

A weight w(D) is such that the metric changes by (1/V) sum of w(D) x change of occupancy x voxel volume, to first order
(V the volume): D - D_mean for the mean, 1[D >= d] - V_d for V_d, that over minus the slope of the curve for D_x.
The smallest and the largest dose have no derivative, nor has the homogeneity index one of its own here.

Source: unpublished; the shape derivative of an integral over a domain, applied to the metrics (see `sensitivity`).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from plausible.core import Catalogue
from plausible.dose.dvh import Dvh
from plausible.dose.metric_text import DoseMetric

SLOPE_STEP = 0.01
"""Half the step over which the slope of a DVH is taken, as a share of its range of doses."""
UNIFORM_GY = 1e-6
"""A smaller range of doses is a uniform dose: no boundary matters."""

ShapeDerivative: TypeAlias = Callable[[DoseMetric, Float64[np.ndarray, "*n"], Dvh], Float64[np.ndarray, "*n"]]
SHAPE_DERIVATIVES: Catalogue[ShapeDerivative] = Catalogue("shape derivative")


def metric_weight(metric: DoseMetric, dose_gy: Float64[np.ndarray, "*n"], dvh: Dvh) -> Float64[np.ndarray, "*n"] | None:
    """Weight of each voxel for a metric of a structure; None if it has no derivative or is undefined.

    Args:
        metric: whose change is asked for, in its own unit.
        dose_gy: dose of the voxels.
        dvh: of the structure as it is.
    """
    if metric.name not in SHAPE_DERIVATIVES or not np.isfinite(metric.value(dvh)):
        return None
    weight = SHAPE_DERIVATIVES[metric.name].function(metric, dose_gy, dvh)
    of_dose = SHAPE_DERIVATIVES[metric.name].unit == "Gy" and metric.unit == "%"
    return 100 * weight / metric.prescription_gy if of_dose and metric.prescription_gy else weight


@SHAPE_DERIVATIVES.add(unit="Gy", higher_is="neither", source="unpublished")
def mean_dose(metric: DoseMetric, dose_gy: Float64[np.ndarray, "*n"], dvh: Dvh) -> Float64[np.ndarray, "*n"]:
    """Dose contrast D - D_mean."""
    return dose_gy - dvh.mean_dose_gy


@SHAPE_DERIVATIVES.add(unit="Gy", higher_is="neither", source="unpublished")
def dose_at_percent(metric: DoseMetric, dose_gy: Float64[np.ndarray, "*n"], dvh: Dvh) -> Float64[np.ndarray, "*n"]:
    """(1[D >= D_x] - x) / f, f the share of the volume per Gy at D_x."""
    at = _in_gy(metric, dvh)
    return ((dose_gy >= at) - metric.number / 100) * _gy_per_share(dvh, at)


@SHAPE_DERIVATIVES.add(unit="Gy", higher_is="neither", source="unpublished")
def dose_at_volume(metric: DoseMetric, dose_gy: Float64[np.ndarray, "*n"], dvh: Dvh) -> Float64[np.ndarray, "*n"]:
    """1[D >= D_x] / f: an absolute volume takes nothing away where the structure grows in the cold."""
    at = _in_gy(metric, dvh)
    return (dose_gy >= at) * _gy_per_share(dvh, at)


@SHAPE_DERIVATIVES.add(unit="%", higher_is="neither", source="unpublished")
def percent_at_dose(metric: DoseMetric, dose_gy: Float64[np.ndarray, "*n"], dvh: Dvh) -> Float64[np.ndarray, "*n"]:
    """100 (1[D >= d] - V_d)."""
    return 100.0 * (dose_gy >= _threshold(metric)) - metric.value(dvh)


@SHAPE_DERIVATIVES.add(unit="cc", higher_is="neither", source="unpublished")
def volume_at_dose(metric: DoseMetric, dose_gy: Float64[np.ndarray, "*n"], dvh: Dvh) -> Float64[np.ndarray, "*n"]:
    """V 1[D >= d]."""
    return (dose_gy >= _threshold(metric)) * dvh.total_volume_ml


@SHAPE_DERIVATIVES.add(unit="Gy", higher_is="neither", source="unpublished")
def generalised_equivalent_uniform_dose(
    metric: DoseMetric, dose_gy: Float64[np.ndarray, "*n"], dvh: Dvh
) -> Float64[np.ndarray, "*n"]:
    """(D^a - E^a) E^(1 - a) / a, E the gEUD."""
    a, geud = metric.number, _in_gy(metric, dvh)
    ratio = np.maximum(dose_gy, UNIFORM_GY) / max(geud, UNIFORM_GY)
    return np.asarray((ratio**a - 1) * geud / a, dtype=np.float64)


@SHAPE_DERIVATIVES.add(unit="cc", higher_is="neither", source="unpublished")
def volume(metric: DoseMetric, dose_gy: Float64[np.ndarray, "*n"], dvh: Dvh) -> Float64[np.ndarray, "*n"]:
    """V: every voxel counts alike."""
    return np.full(dose_gy.shape, dvh.total_volume_ml)


def _in_gy(metric: DoseMetric, dvh: Dvh) -> float:
    value = metric.value(dvh)
    return value * metric.prescription_gy / 100 if metric.unit == "%" and metric.prescription_gy else value


def _threshold(metric: DoseMetric) -> float:
    if metric.setting == "dose_percent":
        return metric.number / 100 * (metric.prescription_gy or float("nan"))
    return metric.number


def _gy_per_share(dvh: Dvh, at_gy: float) -> float:
    """1 / f: how many Gy the curve falls by per share of the volume, at a dose; 0 for a uniform dose."""
    reach = dvh.max_dose_gy - dvh.min_dose_gy
    if reach < UNIFORM_GY:
        return 0.0
    step = SLOPE_STEP * reach
    ends = np.asarray(dvh.volume_at(np.array([at_gy - step, at_gy + step])))
    fallen = float(ends[0] - ends[1]) / dvh.total_volume_ml
    held = min(at_gy + step, dvh.max_dose_gy) - max(at_gy - step, dvh.min_dose_gy)
    return held / fallen if fallen > 0 else 0.0
