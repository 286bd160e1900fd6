"""A water phantom with a round target and a cord behind it, and plans on it by the toy beamlets."""

import numpy as np

from plausible.core import Geometry
from plausible.dose.plan import (
    BeamSettings,
    Contouring,
    Influence,
    PlanGoal,
    PlanningRows,
    Region,
    Solution,
    analytic_influence,
    choose_rows,
    optimise,
    terms_of,
    uniform_start,
)
from plausible.dose.plan.influence import centres_mm

GEOMETRY = Geometry((45, 39, 17), np.array([[5, 0, 0, -110], [0, 5, 0, -95], [0, 0, 5, -40], [0, 0, 0, 1.0]]))
"""Its middle voxel lies at the world's origin."""
POINTS = centres_mm(np.arange(GEOMETRY.n_voxels), GEOMETRY)
BODY_MASK = (((POINTS[:, :2] / [105, 90]) ** 2).sum(axis=1) < 1).reshape(GEOMETRY.shape)
GOALS = (
    PlanGoal(structure="target", objective="target_dose", dose_gy=60, weight=1000, aim=1.01),
    PlanGoal(structure="cord", objective="maximum_dose", dose_gy=20, weight=100, keeps_overlap=True),
    PlanGoal(structure="body", objective="maximum_dose", dose_gy=40, weight=100),
    PlanGoal(structure="body", objective="mean_dose"),
)
BEAMS = BeamSettings(angles_deg=(0.0, 60.0, 120.0, 180.0, 240.0, 300.0), beamlet_mm=10.0, margin_mm=5.0)


def ball(radius_mm: float, centre_mm: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Mask of a ball."""
    return (((POINTS - centre_mm) ** 2).sum(axis=1) <= radius_mm**2).reshape(GEOMETRY.shape)


CORD = ((((POINTS[:, :2] - [0, -50]) / 12) ** 2).sum(axis=1) < 1).reshape(GEOMETRY.shape)


def contouring(name: str, target: np.ndarray) -> Contouring:
    """A target of its own with the cord of all."""
    return Contouring(name, {"target": Region.of(target, GEOMETRY), "cord": Region.of(CORD, GEOMETRY)})


def influence(largest: np.ndarray, beams: BeamSettings = BEAMS) -> Influence:
    """The toy matrix for targets up to the largest."""
    points = Region.of(largest, GEOMETRY).points_mm()
    return analytic_influence(points, geometry=GEOMETRY, body=BODY_MASK, settings=beams)


def plan(
    matrix: Influence, contours: Contouring, *, body_share: float = 1.0, seed: int = 0, iterations: int = 60
) -> Solution:
    """Plan on one contouring from equal weights."""
    inside = contours.inside(matrix.centres_mm())
    rows = choose_rows(np.logical_or.reduce(list(inside.values())), body_share=body_share, seed=seed)
    terms = terms_of(GOALS, {name: held[rows] for name, held in inside.items()})
    search: PlanningRows = matrix.planning_rows(rows)
    return optimise(search, terms, start=uniform_start(search, terms), iterations=iterations)
