"""Plans on plausible contours: goals, beamlets, a solver, and the matrix of every plan read on every contour."""

from plausible.dose.plan.beamlets import BeamSettings, analytic_influence, beams_on, estimate_nonzeros
from plausible.dose.plan.contouring import Contouring, Region, union_points_mm
from plausible.dose.plan.influence import Influence, choose_rows, dose_grid
from plausible.dose.plan.loop import (
    Asked,
    FinishedPlan,
    Planner,
    SearchSettings,
    closed_loop,
    matrices,
    read_plan,
    usual_metrics,
)
from plausible.dose.plan.matrix import Disagreement, PlanMatrix, disagreement, fisher_interval
from plausible.dose.plan.objectives import (
    BODY,
    HEAD_AND_NECK,
    OBJECTIVES,
    PlanGoal,
    Term,
    fit_names,
    targets_of,
    terms_of,
)
from plausible.dose.plan.pyradplan import pyradplan_influence
from plausible.dose.plan.solver import Convergence, PlanningRows, Solution, optimise, uniform_start

__all__ = [
    "BODY",
    "HEAD_AND_NECK",
    "OBJECTIVES",
    "Asked",
    "BeamSettings",
    "Contouring",
    "Convergence",
    "Disagreement",
    "FinishedPlan",
    "Influence",
    "PlanGoal",
    "PlanMatrix",
    "Planner",
    "PlanningRows",
    "Region",
    "SearchSettings",
    "Solution",
    "Term",
    "analytic_influence",
    "beams_on",
    "choose_rows",
    "closed_loop",
    "disagreement",
    "dose_grid",
    "estimate_nonzeros",
    "fisher_interval",
    "fit_names",
    "matrices",
    "optimise",
    "pyradplan_influence",
    "read_plan",
    "targets_of",
    "terms_of",
    "uniform_start",
    "union_points_mm",
    "usual_metrics",
]
