"""How far the set of masks that a patient's members span has to reach: conformal, the patient as the unit.

Two promises, each for the same family of sets, which grow with λ (`samples`):

- covered: the union of the masks holds a share of the true structure;
- dice: one of the masks has at least this Dice with the true structure. Which one is not known, so this is a promise
  about the set, not about a contour that anybody could pick.

The score of a patient is the smallest λ of the grid at which it holds, infinite if none does; split conformal
prediction of that score gives the promise for any number of members. With few members many structures are out of
reach (M members move along M - 1 modes), and then the fit says so: E403.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool

from plausible.calibrate.counts import same_grid
from plausible.calibrate.guarantee import CALIBRATIONS, Absent, Calibration, IfInfeasible, percent, record
from plausible.calibrate.patients import Patients, check_alike, check_unique, settle
from plausible.calibrate.rank import conformal_quantile, infeasible
from plausible.calibrate.samples import MemberModes, SampleSetCurve, directions, member_modes
from plausible.core import Members

Criterion: TypeAlias = Literal["covered", "dice"]


@dataclass(frozen=True, slots=True, eq=False)
class PlausibleSet:
    """The set of masks of a new patient.

    Attributes:
        outer: union of the masks.
        inner: what all masks share.
        modes: what the masks are made of; None if no member gives the structure anywhere.
        reach: λ.
    """

    outer: Bool[np.ndarray, "i j k"]
    inner: Bool[np.ndarray, "i j k"]
    modes: MemberModes | None
    reach: float

    def masks(self) -> Iterator[Bool[np.ndarray, "i j k"]]:
        """Yield the outermost mask along each direction: whole contours to look at."""
        if self.modes is not None and math.isfinite(self.reach):
            for signs in directions(len(self.modes.modes)):
                yield self.modes.mask(signs, self.reach)


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet(Calibration):
    """How far the masks of the members' modes reach.

    Attributes:
        criterion: "covered" or "dice".
        level: share of the structure, or Dice.
        reach: λ.
        n_components: K.
    """

    criterion: Criterion
    level: float
    reach: float
    n_components: int

    def apply(self, members: Members) -> PlausibleSet:
        """Return the set of a new patient from its members.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: fewer than two members, or members without the structure.
        """
        self.guarantee.check_unseen(members.subject)
        modes = member_modes(members, self.guarantee.structure, n_components=self.n_components)
        if modes is None:
            whole = np.full(members.geometry.shape, math.isinf(self.reach))
            return PlausibleSet(whole, np.zeros_like(whole), None, self.reach)
        return PlausibleSet(modes.outer(self.reach), modes.inner(self.reach), modes, self.reach)


@CALIBRATIONS.add(
    unit="1", higher_is="neither", source="Viti et al. 2026, arXiv:2505.14113 (CONSIGN), changed", label="sample set"
)
def fit_sample_set(
    curves: Sequence[SampleSetCurve],
    *,
    alpha: float,
    level: float,
    criterion: Criterion,
    absent: Absent,
    population: str,
    date: str,
    if_infeasible: IfInfeasible = "raise",
) -> SampleSet:
    """Smallest reach of the members' modes at which the set of masks keeps its promise in 1 - α of patients.

    Args:
        curves: one per calibration patient, of one structure and number of components.
        alpha: share of patients in whom the set may fail.
        level: share of the structure (covered) or Dice, above 0 up to 1; decided without the calibration patients.
        criterion: what the set is to hold.
        absent: what a patient without the structure counts as.
        population: which patients these are, in words.
        date: day of the calibration.
        if_infeasible: "trivial" gives an infinite reach, the whole image, where no finite one is right (covered only:
            no set of masks is sure to hold a good one).

    Raises:
        InvalidInput: E401, too few patients; E403, too many patients whom no reach helps.
        ValueError: a level outside (0, 1], or curves that do not belong together.
    """
    if not 0 < level <= 1:
        raise ValueError(f"level must be above 0 and at most 1, got {level}")
    if criterion == "dice" and if_infeasible == "trivial":
        raise ValueError("no set of masks is sure to hold one of a given Dice: nothing is trivial here")
    every = _scores(curves, level, criterion)
    patients = settle(every, absent=absent, covered=0.0, missed=math.inf)
    reach = float(conformal_quantile(patients.values[0], alpha, if_infeasible=if_infeasible))
    if if_infeasible == "raise" and math.isinf(reach):
        raise _no_reach(patients, alpha)
    structure, n_components = curves[0].structure, curves[0].n_components
    return SampleSet(
        guarantee=patients.promise(
            f"{_claim(structure, level, criterion, reach, n_components)}, with probability at least "
            f"{percent(1 - alpha)}, on average over calibration sets",
            method="conformal sample set",
            alpha=alpha,
            population=population,
            date=date,
            structure=structure,
            absent=absent,
        ),
        criterion=criterion,
        level=level,
        reach=reach,
        n_components=n_components,
    )


def smallest_reach(curve: SampleSetCurve, *, level: float, criterion: Criterion) -> float:
    """Smallest reach at which the set of a patient holds; infinite if none does, NaN without reference."""
    values = curve.covered if criterion == "covered" else curve.best_dice
    if np.isnan(values[0]):
        return math.nan
    enough = values >= level - 1e-12
    return float(curve.reaches[enough.argmax()]) if enough.any() else math.inf


def _scores(curves: Sequence[SampleSetCurve], level: float, criterion: Criterion) -> Patients:
    if not curves:
        raise ValueError("there are no curves to calibrate on")
    for what in ("structure", "n_components"):
        check_alike(curves, what=what, kind="curves")
    check_unique([curve.subject for curve in curves])
    same_grid([curve.reaches for curve in curves], what="reaches")
    ordered = sorted(curves, key=lambda curve: curve.subject)
    scores = [smallest_reach(curve, level=level, criterion=criterion) for curve in ordered]
    return Patients(tuple(curve.subject for curve in ordered), np.array([scores]))


def _claim(structure: str, level: float, criterion: Criterion, reach: float, n_components: int) -> str:
    masks = f"the masks within {reach:.4g} standard deviations of {n_components} principal components of the members"
    if criterion == "covered":
        return f"the union of {masks} holds at least {percent(level)} of the true {structure}"
    return f"one of {masks} has a Dice of at least {level:g} with the true {structure}"


def _no_reach(patients: Patients, alpha: float) -> Exception:
    lost = int(np.isinf(patients.values[0]).sum())
    return infeasible(
        f"in {lost} of {patients.n} patients no reach is large enough: their members do not vary where they are wrong",
        expected=f"a share of such patients clearly below alpha {alpha:g}",
        fix="use more, or more diverse, members; or a margin in mm (fit_margin), which does not depend on their spread",
    )
