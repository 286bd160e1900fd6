"""Which uncertainty is good for what: grids of model x measure x aggregation x task, as ValUES declares them."""

from plausible.validate.arm import LINE_COLUMNS, SETS, Arm, Heading, Judged, Line, Uncertainty, lines_of
from plausible.validate.prediction_tasks import ambiguity, calibration, segmentation
from plausible.validate.separation import effects, entanglement, rank_correlation, separation
from plausible.validate.tasks import TASKS, Task
from plausible.validate.uncertainty_levels import (
    PlattFit,
    UncertaintyLevels,
    calibration_errors,
    platt_fit,
    uncertainty_calibration_error,
)
from plausible.validate.uncertainty_tasks import active_learning, failure, out_of_distribution

__all__ = [
    "LINE_COLUMNS",
    "SETS",
    "TASKS",
    "Arm",
    "Heading",
    "Judged",
    "Line",
    "PlattFit",
    "Task",
    "Uncertainty",
    "UncertaintyLevels",
    "active_learning",
    "ambiguity",
    "calibration",
    "calibration_errors",
    "effects",
    "entanglement",
    "failure",
    "lines_of",
    "out_of_distribution",
    "platt_fit",
    "rank_correlation",
    "segmentation",
    "separation",
    "uncertainty_calibration_error",
]
