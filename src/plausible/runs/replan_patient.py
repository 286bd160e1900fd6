"""What a plan is made in: the patient, the dose-influence matrix by either engine, and what it will need."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import map_coordinates

from plausible.core import Geometry, InvalidInput, Problem
from plausible.dose.plan import (
    BeamSettings,
    Contouring,
    Influence,
    PlanGoal,
    Region,
    SearchSettings,
    analytic_influence,
    beams_on,
    dose_grid,
    estimate_nonzeros,
    pyradplan_influence,
    targets_of,
    union_points_mm,
)
from plausible.dose.plan.beamlets import CUT_SIGMAS
from plausible.dose.plan.influence import centres_mm
from plausible.dose.plan.pyradplan import LATERAL_REACH_MM
from plausible.runs.replan_settings import ReplanSettings


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """What a plan is made in.

    Attributes:
        contourings: the reference first.
        body: the patient.
        image_hu: CT, where there is one.
        geometry: grid of the image and the body.
    """

    subject: str
    contourings: tuple[Contouring, ...]
    body: Bool[np.ndarray, "i j k"]
    image_hu: Float[np.ndarray, "i j k"] | None
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class Size:
    """What a case will need.

    Attributes:
        n_bytes: of the matrix and the rows of the search with their transpose.
    """

    n_plans: int
    n_beamlets: int
    n_nonzeros: int
    n_bytes: int


def targets_mm(patient: Patient, goals: Sequence[PlanGoal]) -> np.ndarray:
    """Points of the union of all plausible targets.

    Raises:
        InvalidInput: E651, there are none, or the reference has none.
    """
    names = [goal.structure for goal in targets_of(goals)]
    if not any(patient.contourings[0].regions[name].mask.any() for name in names):
        drawn = ", ".join(patient.contourings[0].regions)
        raise InvalidInput(
            Problem(
                code="E651",
                subject=patient.subject,
                found=f"no target with voxels among {drawn or 'no structures'}",
                expected=f"one of {', '.join(names) or 'the structures that the goals prescribe a dose to'}",
                fix="give targets with --fixed-structures, or goals with the names of this study (--goals)",
            )
        )
    return union_points_mm(patient.contourings, names)


def size_of(patient: Patient, goals: Sequence[PlanGoal], settings: ReplanSettings, beams: BeamSettings,
            search: SearchSettings) -> Size:  # fmt: skip
    """Estimate what a case will need, from geometry alone."""
    points = targets_mm(patient, goals)
    grid = dose_grid(patient.geometry, spacing_mm=settings.dose_mm)
    centres = centres_mm(np.arange(grid.n_voxels, dtype=np.int64), grid)
    centres = centres[Region.of(patient.body, patient.geometry).holds(centres)]
    analytic = settings.engine == "analytic"
    reach = beams.beamlet_mm / 2 + CUT_SIGMAS * beams.penumbra_mm if analytic else LATERAL_REACH_MM
    cut = beams_on(points, beams)
    nonzeros = estimate_nonzeros(cut, centres, beamlet_mm=beams.beamlet_mm, reach_mm=reach)
    in_any = np.zeros(len(centres), dtype=bool)
    for contours in patient.contourings:
        for held in contours.inside(centres).values():
            in_any |= held
    share = in_any.mean() + search.body_share * (1 - in_any.mean())
    n_beamlets = sum(beam.n_beamlets for beam in cut)
    return Size(len(patient.contourings), n_beamlets, nonzeros, round(8 * nonzeros * (1 + 2 * share)))


def compute_influence(patient: Patient, points: np.ndarray, goals: Sequence[PlanGoal], settings: ReplanSettings,
                      beams: BeamSettings) -> Influence:  # fmt: skip
    """Compute the matrix with the engine that was chosen."""
    if settings.engine == "pyradplan":
        target = np.zeros(patient.geometry.shape, dtype=bool)
        for contours in patient.contourings:
            for goal in targets_of(goals):
                target |= contours.regions[goal.structure].onto(patient.geometry)
        image = patient.image_hu if patient.image_hu is not None else np.where(patient.body, 0.0, -1000.0)
        return pyradplan_influence(
            image, geometry=patient.geometry, target=target, body=patient.body, spacing_mm=settings.dose_mm,
            settings=beams,
        )  # fmt: skip
    grid = dose_grid(patient.geometry, spacing_mm=settings.dose_mm)
    centres = centres_mm(np.arange(grid.n_voxels, dtype=np.int64), grid)
    body = Region.of(patient.body, patient.geometry).holds(centres).reshape(grid.shape)
    density = None
    if patient.image_hu is not None and settings.density == "ct":
        density = relative_density(patient.image_hu, centres, patient.geometry).reshape(grid.shape)
    return analytic_influence(points, geometry=grid, body=body, density=density, settings=beams)


def relative_density(image_hu: np.ndarray, points_mm: np.ndarray, geometry: Geometry) -> Float[np.ndarray, " n"]:
    """Density of a toy patient relative to water, 1 + HU / 1000, from 0 to 3."""
    places = geometry.to_places(points_mm)
    found = map_coordinates(image_hu.astype(np.float32), places.T, order=1, mode="nearest")
    return np.asarray(np.clip(1 + found / 1000, 0, 3), dtype=np.float64)
