"""From plausible contours and a dose to dose-volume histograms, their bands, and the risk of missing a constraint."""

from plausible.dose.contour_planes import Plane, Planes, contour_planes
from plausible.dose.dvh import Dvh, dvh_of_cells, dvh_of_samples, join, on_doses
from plausible.dose.interpolation import DoseField, Interpolation
from plausible.dose.members_dvh import MemberDvhs, member_dvhs
from plausible.dose.metric_text import DoseMetric, MetricReading, parse_metric
from plausible.dose.metrics import DVH_METRICS, DvhMetric
from plausible.dose.rasterise import rasterise
from plausible.dose.soft import class_log_odds, log_odds, soft_dvh
from plausible.dose.structure import contours_dvh, mask_dvh

__all__ = [
    "DVH_METRICS",
    "DoseField",
    "DoseMetric",
    "Dvh",
    "DvhMetric",
    "Interpolation",
    "MemberDvhs",
    "MetricReading",
    "Plane",
    "Planes",
    "class_log_odds",
    "contour_planes",
    "contours_dvh",
    "dvh_of_cells",
    "dvh_of_samples",
    "join",
    "log_odds",
    "mask_dvh",
    "member_dvhs",
    "on_doses",
    "parse_metric",
    "rasterise",
    "soft_dvh",
]
