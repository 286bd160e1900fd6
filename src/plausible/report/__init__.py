"""Reports: JSON as the truth, and one self-contained page per case and per cohort as a view of it."""

from plausible.report.case import case_page
from plausible.report.case_panels import CASE_PANELS, CaseView
from plausible.report.cohort import cohort_page
from plausible.report.cohort_panels import COHORT_PANELS, CohortView
from plausible.report.dose_model import CaseDose
from plausible.report.model import (
    CaseReport,
    CohortLine,
    CohortReport,
    ConstraintLine,
    Failure,
    Interval,
    MapFile,
    Reliability,
    RiskCoverageCurve,
    SliceProfile,
    State,
    StructureSummary,
    Verdict,
    WorkingPoint,
    Workload,
)
from plausible.report.panels import Panel, Panels, Reading
from plausible.report.schema import case_from_json, cohort_from_json, dose_from_json, schema, to_json

__all__ = [
    "CASE_PANELS",
    "COHORT_PANELS",
    "CaseDose",
    "CaseReport",
    "CaseView",
    "CohortLine",
    "CohortReport",
    "CohortView",
    "ConstraintLine",
    "Failure",
    "Interval",
    "MapFile",
    "Panel",
    "Panels",
    "Reading",
    "Reliability",
    "RiskCoverageCurve",
    "SliceProfile",
    "State",
    "StructureSummary",
    "Verdict",
    "WorkingPoint",
    "Workload",
    "case_from_json",
    "case_page",
    "cohort_from_json",
    "cohort_page",
    "dose_from_json",
    "schema",
    "to_json",
]
