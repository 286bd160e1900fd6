"""The closed loop: a plan on every contouring, and every plan read on every contouring.

The first contouring is the reference. Its plan starts from equal weights; the others start from its solution. Every
plan is scaled so that a metric of **its own** first target is the prescription, as a planner would do who believes that
contour; this takes part of the effect on that target's coverage away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from plausible.core import Dose
from plausible.dose.dvh import Dvh
from plausible.dose.metric_text import DoseMetric, parse_metric
from plausible.dose.plan.contouring import Contouring, Region
from plausible.dose.plan.influence import Influence, choose_rows
from plausible.dose.plan.matrix import PlanMatrix
from plausible.dose.plan.objectives import PlanGoal, targets_of, terms_of
from plausible.dose.plan.solver import Convergence, PlanningRows, optimise, uniform_start
from plausible.dose.structure import mask_dvh

USUAL_METRIC = {"target_dose": "D95%[Gy]", "minimum_dose": "D98%[Gy]", "maximum_dose": "D0.1cc[Gy]",
                "mean_dose": "Mean[Gy]"}  # fmt: skip
"""What is read of a structure where nobody asks for anything else, by its goal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How plans are searched for.

    Attributes:
        iterations: of the plan on the reference, from equal weights.
        warm_iterations: of every other plan, from the reference's solution.
        body_share: share of the body's voxels outside all structures that the search looks at.
        normalise: metric of a plan's own first target that is scaled to the prescription.
        search_seed: of the draw of the body's voxels.
    """

    iterations: int = 100
    warm_iterations: int = 60
    body_share: float = 0.1
    normalise: str = "D95%[Gy]"
    search_seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.warm_iterations < 1 or not 0 < self.body_share <= 1:
            raise ValueError(
                "iterations and warm_iterations must be at least 1 and body_share lie above 0 and up to 1, got "
                f"{self.iterations}, {self.warm_iterations} and {self.body_share}"
            )
        if parse_metric(self.normalise).unit != "Gy":
            raise ValueError(f"normalise must be a dose in Gy, got {self.normalise}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A metric of a structure."""

    structure: str
    metric: DoseMetric


@dataclass(frozen=True, slots=True, eq=False)
class FinishedPlan:
    """A plan on one contouring.

    Attributes:
        id: of the contouring.
        weights: beamlet weights, scaled.
        searched: beamlet weights before scaling, the start of others.
        factor: what they were scaled by.
        convergence: how the search went.
    """

    id: str
    weights: Float64[np.ndarray, " b"]
    searched: Float64[np.ndarray, " b"]
    factor: float
    convergence: Convergence


class Planner:
    """Makes plans of one case, on the rows of its matrix that lie in a structure of any contouring."""

    def __init__(
        self,
        influence: Influence,
        contourings: Sequence[Contouring],
        goals: Sequence[PlanGoal],
        settings: SearchSettings,
    ) -> None:
        self.influence, self.goals, self.settings = influence, goals, settings
        points = influence.centres_mm()
        in_any = np.zeros(len(points), dtype=bool)
        for each in contourings:
            for held in each.inside(points).values():
                in_any |= held
        self.rows: Int64[np.ndarray, " r"] = choose_rows(
            in_any, body_share=settings.body_share, seed=settings.search_seed
        )
        self._points = points[self.rows]
        self._search: PlanningRows = influence.planning_rows(self.rows)

    def plan(self, contours: Contouring, *, start: Float64[np.ndarray, " b"] | None = None) -> FinishedPlan:
        """Plan on a contouring, warm from a start or cold from equal weights.

        Raises:
            ValueError: the contouring has no voxel of a target on the dose grid, or a target without dose.
        """
        terms = terms_of(self.goals, contours.inside(self._points))
        cold = start is None
        found = optimise(
            self._search,
            terms,
            start=uniform_start(self._search, terms) if start is None else start,
            iterations=self.settings.iterations if cold else self.settings.warm_iterations,
        )
        first = self._first_target(contours)
        level = parse_metric(self.settings.normalise).value(
            _dvh(contours.regions[first.structure], self.influence.dose(found.weights))
        )
        if not level > 0:
            raise ValueError(
                f"{contours.id}: {self.settings.normalise} of {first.structure} is {level}; nothing to scale"
            )
        factor = first.dose_gy / level
        return FinishedPlan(contours.id, found.weights * factor, found.weights, factor, found.convergence)

    def _first_target(self, contours: Contouring) -> PlanGoal:
        drawn = [goal for goal in targets_of(self.goals) if goal.structure in contours.regions]
        if not drawn:
            raise ValueError(f"{contours.id}: no target of the goals is drawn")
        return drawn[0]


def usual_metrics(goals: Sequence[PlanGoal], structures: Sequence[str]) -> tuple[Asked, ...]:
    """One metric per goal whose structure is drawn, by the kind of the goal."""
    found = [
        Asked(goal.structure, parse_metric(USUAL_METRIC[goal.objective]))
        for goal in goals
        if goal.structure in structures
    ]
    return tuple(dict.fromkeys(found))


def read_plan(dose: Dose, contours: Contouring, asked: Sequence[Asked]) -> Float64[np.ndarray, " a"]:
    """Metrics of one dose on one contouring; NaN where it lacks the structure."""
    dvhs = {
        name: _dvh(contours.regions[name], dose)
        for name in dict.fromkeys(one.structure for one in asked)
        if name in contours.regions
    }
    return np.array(
        [one.metric.value(dvhs[one.structure]) if one.structure in dvhs else np.nan for one in asked], dtype=np.float64
    )


def matrices(
    asked: Sequence[Asked], ids: Sequence[str], read: Mapping[tuple[str, str], Float64[np.ndarray, " a"]]
) -> tuple[PlanMatrix, ...]:
    """Collect what every plan gives on every contouring to one matrix per metric.

    Args:
        asked: the metrics, in the order of the values.
        ids: contourings, the reference first.
        read: values by plan and contouring.
    """
    values = np.array([[read[plan, contour] for contour in ids] for plan in ids]).reshape(len(ids), len(ids), -1)
    return tuple(
        PlanMatrix(one.structure, one.metric.text, tuple(ids), np.ascontiguousarray(values[:, :, n]))
        for n, one in enumerate(asked)
    )


def closed_loop(
    influence: Influence,
    contourings: Sequence[Contouring],
    goals: Sequence[PlanGoal],
    *,
    settings: SearchSettings | None = None,
    asked: Sequence[Asked] = (),
) -> tuple[PlanMatrix, ...]:
    """Plan on every contouring and read every plan on every contouring, all in memory.

    Args:
        influence: of beamlets that cover the targets of all contourings.
        contourings: the reference first.
        goals: with the names of the contourings (`fit_names`).
        settings: of the search.
        asked: metrics; without them one per goal.
    """
    wanted = tuple(asked) or usual_metrics(goals, list(contourings[0].regions))
    planner = Planner(influence, contourings, goals, settings or SearchSettings())
    read: dict[tuple[str, str], np.ndarray] = {}
    start: np.ndarray | None = None
    for contours in contourings:
        plan = planner.plan(contours, start=start)
        start = plan.searched if start is None else start
        dose = influence.dose(plan.weights)
        read |= {(plan.id, other.id): read_plan(dose, other, wanted) for other in contourings}
    return matrices(wanted, [each.id for each in contourings], read)


def _dvh(region: Region, dose: Dose) -> Dvh:
    return mask_dvh(region.mask, dose, geometry=region.geometry)
