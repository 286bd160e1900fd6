"""What a plan is asked for: quadratic terms of the dose in structures, weighed against each other.

A plan minimises the sum of weight x term over all goals. All terms are quadratic in the dose (Gy²), so that dividing
dose by the number of fractions changes no plan. Voxels weigh alike within a structure; structures do not weigh by their
size.

Where structures overlap: a target takes its voxels from targets of a lower prescription; an organ keeps only what no
target takes, unless its goal says `keeps_overlap`, as it should for cord and brainstem; the body is what nothing takes.

Source: quadratic penalties as in Wu and Mohan 2000, doi:10.1118/1.599010, and in matRad (Wieser et al. 2017,
doi:10.1002/mp.12251).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from plausible.core import Catalogue, standard_name

BODY = "body"
"""The structure that stands for all of the body that no other structure takes."""

Objective: TypeAlias = Callable[..., tuple[float, np.ndarray]]
"""From the dose in a structure's voxels and a level in Gy to a value in Gy² and its derivative by each dose."""

OBJECTIVES: Catalogue[Objective] = Catalogue("objective")
SOURCE = "Wu and Mohan 2000, doi:10.1118/1.599010"


@OBJECTIVES.add(unit="Gy²", higher_is="worse", source=SOURCE)
def target_dose(dose_gy: Float64[np.ndarray, " n"], level_gy: float | int) -> tuple[float, Float64[np.ndarray, " n"]]:
    """Mean squared distance of the dose from a level, above and below it. 0 where all voxels receive the level."""
    off = dose_gy - level_gy
    return float(np.mean(off**2)), 2 * off / len(off)


@OBJECTIVES.add(unit="Gy²", higher_is="worse", source=SOURCE)
def maximum_dose(dose_gy: Float64[np.ndarray, " n"], level_gy: float | int) -> tuple[float, Float64[np.ndarray, " n"]]:
    """Mean square of the dose above a level. 0 where no voxel receives more."""
    over = np.maximum(dose_gy - level_gy, 0)
    return float(np.mean(over**2)), 2 * over / len(over)


@OBJECTIVES.add(unit="Gy²", higher_is="worse", source=SOURCE)
def minimum_dose(dose_gy: Float64[np.ndarray, " n"], level_gy: float | int) -> tuple[float, Float64[np.ndarray, " n"]]:
    """Mean square of the dose missing to a level. 0 where no voxel receives less."""
    under = np.maximum(level_gy - dose_gy, 0)
    return float(np.mean(under**2)), -2 * under / len(under)


@OBJECTIVES.add(unit="Gy²", higher_is="worse", source="unpublished")
def mean_dose(dose_gy: Float64[np.ndarray, " n"], level_gy: float | int) -> tuple[float, Float64[np.ndarray, " n"]]:
    """Square of the mean dose above a level. 0 where the mean is no higher."""
    over = max(float(np.mean(dose_gy)) - level_gy, 0.0)
    return over**2, np.full(len(dose_gy), 2 * over / len(dose_gy))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGoal:
    """One term of what a plan is asked for.

    Attributes:
        structure: name of the structure, or "body" for what no structure takes.
        objective: name in `OBJECTIVES`; a structure with "target_dose" is a target and the level its prescription.
        dose_gy: the level in Gy, over all fractions.
        weight: of this term in the sum.
        aim: share of the level that the optimiser is given; targets are aimed at a little above the prescription.
        keeps_overlap: whether the term also covers voxels inside a target.

    Raises:
        ValueError: an unknown objective, or a negative level, weight or aim.
    """

    structure: str
    objective: str
    dose_gy: float | int = 0.0
    weight: float | int = 1.0
    aim: float | int = 1.0
    keeps_overlap: bool = False

    def __post_init__(self) -> None:
        _ = OBJECTIVES[self.objective]
        if not (self.dose_gy >= 0 and self.weight >= 0 and self.aim > 0):
            raise ValueError(
                f"{self.structure}: dose_gy and weight must be at least 0 and aim above 0, got {self.dose_gy}, "
                f"{self.weight} and {self.aim}"
            )

    @property
    def is_target(self) -> bool:
        """Whether this goal prescribes a dose."""
        return self.objective == "target_dose"


HEAD_AND_NECK: tuple[PlanGoal, ...] = (
    *(PlanGoal(structure=f"PTV_{dose}", objective="target_dose", dose_gy=dose, weight=1000, aim=1.01)
      for dose in (70, 63, 56)),
    PlanGoal(structure="SpinalCord", objective="maximum_dose", dose_gy=38, weight=1000, keeps_overlap=True),
    PlanGoal(structure="Brainstem", objective="maximum_dose", dose_gy=44, weight=1000, keeps_overlap=True),
    PlanGoal(structure="Bone_Mandible", objective="maximum_dose", dose_gy=70, weight=1000),
    *(PlanGoal(structure=name, objective="mean_dose", weight=20)
      for name in ("Parotid_R", "Parotid_L", "Larynx", "Esophagus")),
    PlanGoal(structure=BODY, objective="maximum_dose", dose_gy=50, weight=100),
    PlanGoal(structure=BODY, objective="mean_dose", weight=1),
)  # fmt: skip
"""Goals of a research plan for three prescription levels, with names of TG-263. Not a clinical protocol."""


def fit_names(goals: Sequence[PlanGoal], structures: Sequence[str]) -> tuple[PlanGoal, ...]:
    """Goals of the structures that are there, under the names they have there; "LeftParotid" is "Parotid_L"."""
    own = {_standard(name): name for name in structures}
    found = [
        goal if goal.structure == BODY else replace(goal, structure=own[_standard(goal.structure)])
        for goal in goals
        if goal.structure == BODY or _standard(goal.structure) in own
    ]
    return tuple(found)


def _standard(name: str) -> str:
    return standard_name(name) or name


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One goal with the voxels it covers, as rows of the influence matrix."""

    goal: PlanGoal
    rows: Int64[np.ndarray, " n"]


def targets_of(goals: Sequence[PlanGoal]) -> tuple[PlanGoal, ...]:
    """Goals that prescribe a dose, the highest first."""
    return tuple(sorted((goal for goal in goals if goal.is_target), key=lambda goal: -goal.dose_gy))


def terms_of(goals: Sequence[PlanGoal], inside: Mapping[str, Bool[np.ndarray, " n"]]) -> tuple[Term, ...]:
    """Share the voxels out to the goals by the rule for overlaps; goals without a voxel are left out.

    Args:
        goals: what the plan is asked for.
        inside: for each structure of one contouring whether each row of the matrix lies in it.
    """
    n_rows = len(next(iter(inside.values())))
    in_target, own = np.zeros(n_rows, dtype=bool), dict[str, np.ndarray]()
    for goal in targets_of(goals):
        if goal.structure in inside:
            own[goal.structure] = inside[goal.structure] & ~in_target
            in_target |= inside[goal.structure]
    rest = ~np.logical_or.reduce(list(inside.values()))
    terms = []
    for goal in goals:
        if goal.structure == BODY:
            covered = rest
        elif goal.structure not in inside:
            continue
        elif goal.is_target:
            covered = own[goal.structure]
        else:
            covered = inside[goal.structure] if goal.keeps_overlap else inside[goal.structure] & ~in_target
        terms.append(Term(goal, np.flatnonzero(covered).astype(np.int64)))
    return tuple(term for term in terms if len(term.rows))


def total(terms: Sequence[Term], dose_gy: Float[np.ndarray, " n"]) -> tuple[float, Float64[np.ndarray, " n"]]:
    """Weighted sum of all terms at a dose, and its derivative by the dose of each row."""
    value, gradient = 0.0, np.zeros(len(dose_gy))
    for term in terms:
        goal = term.goal
        found, slope = OBJECTIVES[goal.objective].function(
            dose_gy[term.rows].astype(np.float64), goal.dose_gy * goal.aim
        )
        value += goal.weight * found
        gradient[term.rows] += goal.weight * slope
    return value, gradient
