"""Margins in mm around a predicted structure that hold the true one: distances between voxel centres, per patient.

- outer: the prediction grown by the margin holds a share τ of the true structure;
- inner: the prediction shrunk by the margin spills over it by at most a share 1 - τ of its volume; with τ = 1 it lies
  inside the true structure.

Distances are Euclidean in mm with the image's own spacing, whatever its anisotropy. Per patient only two short curves
are kept. A margin is rounded up to the grid; beyond its end it is infinite, never cut off. Shrinking does not start at
the border of the image.

If the prediction is empty but the structure is there, no margin holds it: infinite. If the structure is absent both
curves are NaN, and whoever fits says what the patient counts as.

Sources: Mossina and Friedrich 2025, arXiv:2503.05618 (margins); Davenport 2024, arXiv:2410.03406 (inner and outer
sets).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import edt
import numpy as np
from jaxtyping import Bool, Float

from plausible.calibrate.counts import same_grid
from plausible.calibrate.guarantee import (
    CALIBRATIONS,
    Absent,
    Calibration,
    IfInfeasible,
    percent,
    record,
)
from plausible.calibrate.patients import Patients, check_alike, check_unique, settle
from plausible.calibrate.rank import conformal_quantile, infeasible

ROUNDING_MM = 1e-4
"""Distances up to this much above a margin are within it: rounding must not decide over a whole layer of voxels."""

Sides: TypeAlias = Literal["outer", "inner", "both"]
Spacing: TypeAlias = tuple[float, float, float]


def margin_grid(*, largest_mm: float = 100.0, step_mm: float = 0.1) -> Float[np.ndarray, " g"]:
    """Margins from 0 to `largest_mm`, on which curves are kept."""
    return np.asarray(np.round(np.arange(round(largest_mm / step_mm) + 1) * step_mm, 6))


@dataclass(frozen=True, slots=True, eq=False)
class MarginCurve:
    """What margins around a prediction hold of the reference, for one patient and structure.

    Attributes:
        margins_mm: ascending from 0.
        covered: share of the reference inside the prediction grown by each margin.
        spilled: volume of the prediction shrunk by each margin that lies outside the reference, as a share of the
            reference.
    """

    subject: str
    structure: str
    margins_mm: Float[np.ndarray, " g"]
    covered: Float[np.ndarray, " g"]
    spilled: Float[np.ndarray, " g"]

    def outer_mm(self, share: float) -> float:
        """Smallest margin that covers a share of the reference; infinite if none does, NaN without reference."""
        return self._first(self.covered >= share - 1e-12)

    def inner_mm(self, share: float) -> float:
        """Smallest margin at which at most 1 - share is spilled; infinite if none does, NaN without reference."""
        return self._first(self.spilled <= 1 - share + 1e-12)

    def _first(self, enough: Bool[np.ndarray, " g"]) -> float:
        if np.isnan(self.covered[0]):
            return math.nan
        return float(self.margins_mm[enough.argmax()]) if enough.any() else math.inf


def margin_curve(
    prediction: Bool[np.ndarray, "i j k"],
    reference: Bool[np.ndarray, "i j k"],
    *,
    spacing_mm: Spacing,
    subject: str,
    structure: str,
    margins_mm: Float[np.ndarray, " g"] | None = None,
) -> MarginCurve:
    """Measure the margins of one structure of one patient; only the box around both masks is looked at.

    Args:
        prediction: the mask that margins are put around.
        reference: the true structure.
        spacing_mm: distance of voxel centres along each axis.
        subject: the patient.
        structure: organ or target.
        margins_mm: the grid, the same for all patients; `margin_grid()` if None.
    """
    grid = margin_grid() if margins_mm is None else margins_mm
    n_reference = int(np.count_nonzero(reference))
    if not n_reference:
        undefined = np.full(len(grid), math.nan)
        return MarginCurve(subject, structure, grid, undefined, undefined)
    box = _box(prediction | reference)
    ours, theirs = prediction[box], reference[box]
    outside = _distance(ours, spacing_mm)[theirs]
    depth = _distance(~ours, spacing_mm)[ours & ~theirs]
    covered = _at_most(outside, grid) / n_reference
    spilled = 1 - _at_most(depth, grid) / max(len(depth), 1)
    return MarginCurve(subject, structure, grid, covered, spilled * len(depth) / n_reference)


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Margin(Calibration):
    """Margins in mm around a predicted structure.

    Attributes:
        share: τ, the share of the structure that must be held.
        outer_mm: how far to grow; None if it was not asked for.
        inner_mm: how far to shrink; None likewise.
    """

    share: float
    outer_mm: float | None
    inner_mm: float | None

    def outer(
        self, prediction: Bool[np.ndarray, "i j k"], *, spacing_mm: Spacing, subject: str
    ) -> Bool[np.ndarray, "i j k"]:
        """Return the prediction of a new patient grown by the outer margin.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: the outer margin was not calibrated.
        """
        self.guarantee.check_unseen(subject)
        return grown(prediction, margin_mm=_asked(self.outer_mm, "outer"), spacing_mm=spacing_mm)

    def inner(
        self, prediction: Bool[np.ndarray, "i j k"], *, spacing_mm: Spacing, subject: str
    ) -> Bool[np.ndarray, "i j k"]:
        """Return the prediction of a new patient shrunk by the inner margin.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: the inner margin was not calibrated.
        """
        self.guarantee.check_unseen(subject)
        return shrunk(prediction, margin_mm=_asked(self.inner_mm, "inner"), spacing_mm=spacing_mm)


@CALIBRATIONS.add(unit="mm", higher_is="neither", source="Mossina and Friedrich 2025, arXiv:2503.05618", label="margin")
def fit_margin(
    curves: Sequence[MarginCurve],
    *,
    alpha: float,
    share: float,
    sides: Sides,
    absent: Absent,
    population: str,
    date: str,
    if_infeasible: IfInfeasible = "raise",
) -> Margin:
    """Smallest margin in mm that holds a share of the true structure in 1 - α of patients.

    Args:
        curves: one per calibration patient, of one structure.
        alpha: share of patients in whom the margin may fail; "both" sides get half of it each.
        share: τ, above 0 up to 1; decided without the calibration patients.
        sides: "outer", "inner", or "both" at once.
        absent: what a patient without the structure counts as.
        population: which patients these are, in words.
        date: day of the calibration.
        if_infeasible: "trivial" gives an infinite margin where no finite one is right.

    Raises:
        InvalidInput: E401, too few patients; E403, too many patients whom no margin helps.
        ValueError: a share outside (0, 1], or curves that do not belong together.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    every = _scores(curves, share, sides)
    patients = settle(every, absent=absent, covered=0.0, missed=math.inf)
    margins = conformal_quantile(
        patients.values, alpha, tails=len(patients.values), if_infeasible=if_infeasible
    ).tolist()
    if if_infeasible == "raise" and math.inf in margins:
        raise _no_margin(patients, alpha)
    outer = margins[0] if sides != "inner" else None
    inner = margins[-1] if sides != "outer" else None
    return Margin(
        guarantee=patients.promise(
            f"{_claim(curves[0].structure, share, outer, inner)}, with probability at least {percent(1 - alpha)}, on "
            "average over calibration sets",
            method="conformal margin",
            alpha=alpha,
            population=population,
            date=date,
            structure=curves[0].structure,
            absent=absent,
        ),
        share=share,
        outer_mm=outer,
        inner_mm=inner,
    )


def grown(mask: Bool[np.ndarray, "i j k"], *, margin_mm: float, spacing_mm: Spacing) -> Bool[np.ndarray, "i j k"]:
    """Voxels whose centre lies within a margin of a voxel of the mask; all of them for an infinite margin."""
    if math.isinf(margin_mm):
        return np.ones_like(mask)
    return np.asarray(_distance(mask, spacing_mm) <= margin_mm + ROUNDING_MM)


def shrunk(mask: Bool[np.ndarray, "i j k"], *, margin_mm: float, spacing_mm: Spacing) -> Bool[np.ndarray, "i j k"]:
    """Voxels of the mask whose centre lies further than a margin from every voxel outside it."""
    if math.isinf(margin_mm):
        return np.zeros_like(mask)
    return np.asarray(mask & (_distance(~mask, spacing_mm) > margin_mm + ROUNDING_MM))


def _scores(curves: Sequence[MarginCurve], share: float, sides: Sides) -> Patients:
    if not curves:
        raise ValueError("there are no curves to calibrate on")
    check_alike(curves, what="structure", kind="curves")
    check_unique([curve.subject for curve in curves])
    same_grid([curve.margins_mm for curve in curves], what="margins")
    ordered = sorted(curves, key=lambda curve: curve.subject)
    outer = [curve.outer_mm(share) for curve in ordered]
    inner = [curve.inner_mm(share) for curve in ordered]
    columns = {"outer": [outer], "inner": [inner], "both": [outer, inner]}[sides]
    return Patients(tuple(curve.subject for curve in ordered), np.array(columns))


def _claim(structure: str, share: float, outer: float | None, inner: float | None) -> str:
    parts = []
    if outer is not None:
        parts.append(f"grown by {outer:g} mm, holds at least {percent(share)} of the true one")
    if inner is not None:
        spilled = (
            "lies inside the true one" if share == 1 else f"spills over the true one by {percent(1 - share)} at most"
        )
        parts.append(f"shrunk by {inner:g} mm, {spilled}")
    return f"the predicted {structure}, " + ", and, ".join(parts)


def _no_margin(patients: Patients, alpha: float) -> Exception:
    lost = int(np.isinf(patients.values).any(axis=0).sum())
    return infeasible(
        f"in {lost} of {patients.n} patients no margin of the grid is large enough",
        expected=f"a share of such patients clearly below alpha {alpha:g}",
        fix="look at these cases first (an empty prediction, a structure missed); or ask for a smaller share or a "
        "larger alpha",
    )


def _asked(margin_mm: float | None, side: str) -> float:
    if margin_mm is None:
        raise ValueError(f"the {side} margin was not calibrated; fit with sides='{side}' or 'both'")
    return margin_mm


def _distance(mask: Bool[np.ndarray, "i j k"], spacing_mm: Spacing) -> Float[np.ndarray, "i j k"]:
    """Distance in mm from each voxel centre to the nearest of the mask; infinite if it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    return np.asarray(edt.edt(~mask, anisotropy=spacing_mm, black_border=False))


def _at_most(distances: Float[np.ndarray, " n"], grid: Float[np.ndarray, " g"]) -> np.ndarray:
    """How many distances lie within each margin."""
    return np.searchsorted(np.sort(distances), grid + ROUNDING_MM, side="right")


def _box(mask: Bool[np.ndarray, "i j k"]) -> tuple[slice, slice, slice]:
    """Smallest box around a mask, with one layer of voxels more where the image has them."""
    sides = []
    for axis in range(3):
        present = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        sides.append(slice(max(0, int(present[0]) - 1), int(present[-1]) + 2))
    return sides[0], sides[1], sides[2]
