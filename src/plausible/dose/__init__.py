"""From plausible contours and a dose to dose-volume histograms, their bands, and the risk of missing a constraint."""

from plausible.core.limits import Operator
from plausible.dose.bands import DvhBands, alpha_dvh, coverage_map, dvh_bands, relative_curves
from plausible.dose.conformity import CONFORMITY_INDICES, dose_grid_dvh, paddick_conformity, rtog_conformity
from plausible.dose.constraint_file import SHIPPED, parse_constraints, shipped_constraints
from plausible.dose.constraint_risk import BINOMIAL_INTERVALS, ConstraintRisk, RiskSettings, constraint_risk
from plausible.dose.constraints import Constraint, ConstraintSet, Lkb
from plausible.dose.dose_rows import SPREAD_SCORES, risk_row, sensitivity_rows, spread_rows
from plausible.dose.dvh import Dvh, dvh_of_cells, dvh_of_samples, join, on_doses
from plausible.dose.interpolation import DoseField, Interpolation
from plausible.dose.members_dvh import MemberDvhs, all_drawn, member_dvhs, structure_boxes
from plausible.dose.metric_text import DoseMetric, MetricReading, parse_metric
from plausible.dose.metrics import DVH_METRICS, DvhMetric
from plausible.dose.ntcp import ExpectedNtcp, expected_ntcp, geud_text, ntcp
from plausible.dose.openkbp import openkbp_dose_error, openkbp_dvh_score, openkbp_organ_metrics, openkbp_target_metrics
from plausible.dose.sensitivity import (
    DOSE_SCORES,
    DoseSensitivity,
    SliceReview,
    dose_on_grid,
    dose_sensitivity,
    slice_review,
)
from plausible.dose.shape_derivative import SHAPE_DERIVATIVES, metric_weight
from plausible.dose.soft import class_log_odds, log_odds, soft_dvh
from plausible.dose.spread import MetricSpread, interval_method, metric_spread, prediction_interval
from plausible.dose.structure import contours_dvh, mask_dvh

__all__ = [
    "BINOMIAL_INTERVALS",
    "CONFORMITY_INDICES",
    "DOSE_SCORES",
    "DVH_METRICS",
    "SHAPE_DERIVATIVES",
    "SHIPPED",
    "SPREAD_SCORES",
    "Constraint",
    "ConstraintRisk",
    "ConstraintSet",
    "DoseField",
    "DoseMetric",
    "DoseSensitivity",
    "Dvh",
    "DvhBands",
    "DvhMetric",
    "ExpectedNtcp",
    "Interpolation",
    "Lkb",
    "MemberDvhs",
    "MetricReading",
    "MetricSpread",
    "Operator",
    "RiskSettings",
    "SliceReview",
    "all_drawn",
    "alpha_dvh",
    "class_log_odds",
    "constraint_risk",
    "contours_dvh",
    "coverage_map",
    "dose_grid_dvh",
    "dose_on_grid",
    "dose_sensitivity",
    "dvh_bands",
    "dvh_of_cells",
    "dvh_of_samples",
    "expected_ntcp",
    "geud_text",
    "interval_method",
    "join",
    "log_odds",
    "mask_dvh",
    "member_dvhs",
    "metric_spread",
    "metric_weight",
    "ntcp",
    "on_doses",
    "openkbp_dose_error",
    "openkbp_dvh_score",
    "openkbp_organ_metrics",
    "openkbp_target_metrics",
    "paddick_conformity",
    "parse_constraints",
    "parse_metric",
    "prediction_interval",
    "relative_curves",
    "risk_row",
    "rtog_conformity",
    "sensitivity_rows",
    "shipped_constraints",
    "slice_review",
    "soft_dvh",
    "spread_rows",
    "structure_boxes",
]
