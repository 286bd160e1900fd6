"""Plans on plausible contours: goals, beamlets, a solver, and the matrix of every plan read on every contour."""

from plausible.dose.plan.beamlets import BeamSettings, analytic_influence, beams_on, estimate_nonzeros
from plausible.dose.plan.contouring import Contouring, Region, union_points_mm
from plausible.dose.plan.influence import Influence, choose_rows, dose_grid
from plausible.dose.plan.matrix import Disagreement, PlanMatrix, disagreement, fisher_interval
from plausible.dose.plan.objectives import BODY, HEAD_AND_NECK, OBJECTIVES, PlanGoal, Term, targets_of, terms_of
from plausible.dose.plan.pyradplan import pyradplan_influence
from plausible.dose.plan.solver import Convergence, PlanningRows, Solution, optimise, uniform_start

__all__ = [
    "BODY",
    "HEAD_AND_NECK",
    "OBJECTIVES",
    "BeamSettings",
    "Contouring",
    "Convergence",
    "Disagreement",
    "Influence",
    "PlanGoal",
    "PlanMatrix",
    "PlanningRows",
    "Region",
    "Solution",
    "Term",
    "analytic_influence",
    "beams_on",
    "choose_rows",
    "disagreement",
    "dose_grid",
    "estimate_nonzeros",
    "fisher_interval",
    "optimise",
    "pyradplan_influence",
    "targets_of",
    "terms_of",
    "uniform_start",
    "union_points_mm",
]
