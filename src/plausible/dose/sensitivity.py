"""Which voxels and slices matter for the dose: boundary uncertainty, weighted by dose contrast.

If a boundary moves by u(s) mm, a metric of the dose inside changes to first order by a surface integral, the shape
derivative (V volume, S surface, D_mean mean dose):

    d D_mean = (1/V) integral over S of (D - D_mean) u dS
    d V_d    = (1/V) integral over S of (1[D >= d] - V_d) u dS
    d D_x    = - d V_d / (dV_d/dd) at d = D_x

So a boundary matters where members disagree *and* the dose differs from what the structure gets anyway. Members say how
the boundary moves: summed over voxels with weight w(D), the difference between a member's occupancy and the
segmentation's is that integral, without a surface to be traced, and with the correlation of the members' errors kept.

The dose-aware uncertainty is S_dose = (1/V) sum of abs(D - D_mean) E abs(occupancy - segmentation) voxel volume, in
Gy: by how much the mean dose would change if every disagreement pointed the same way. For small displacements it is
(1/V) integral of abs(D - D_mean) E abs(u) dS. 0 where the dose is uniform or nobody disagrees. No counterpart was found
in the literature; exact in the limit of small displacements (tests: a ball in a quadratic dose).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from plausible.core import Catalogue, Dose, Geometry
from plausible.dose.dvh import Dvh
from plausible.dose.interpolation import DoseField, Interpolation
from plausible.dose.metric_text import DoseMetric
from plausible.dose.shape_derivative import metric_weight

MEAN_DOSE = "Mean[Gy]"


@dataclass(frozen=True, slots=True, eq=False)
class DoseSensitivity:
    """What the members' boundaries do to the dose of one structure, to first order.

    Attributes:
        structure: its name.
        contrast_gy: abs(D - D_mean) x mean abs(occupancy - segmentation), at each voxel.
        uncertainty_gy: S_dose, the sum of that map over V in voxels.
        changes: by metric, in its unit: change of each member from each slice, `m z`; the mean dose is always there.
        axis: voxel axis along which slices are counted.
        n: members.
    """

    structure: str
    contrast_gy: Float32[np.ndarray, "i j k"]
    uncertainty_gy: float
    changes: Mapping[str, Float64[np.ndarray, "m z"]]
    axis: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceReview:
    """What reviewing one slice would do for one metric.

    Attributes:
        slice_index: the slice whose review would reduce the variance most; None where there is no variance.
        share: part of the first-order variance over members that goes if that slice is settled.
        sd: first-order SD of the metric over the members, before the review.
    """

    slice_index: int | None
    share: float
    sd: float


def dose_sensitivity(
    occupancies: Iterable[Float32[np.ndarray, "i j k"]],
    segmentation: Float32[np.ndarray, "i j k"],
    dose_gy: Float32[np.ndarray, "i j k"],
    *,
    nominal: Dvh,
    metrics: Sequence[DoseMetric],
    axis: int,
    structure: str,
) -> DoseSensitivity:
    """Measure what the members' boundaries do to the dose of a structure.

    Args:
        occupancies: of each member, from 0 to 1 at each voxel; walked over once.
        segmentation: nominal occupancy.
        dose_gy: dose at the same voxels; where it is NaN (outside the dose grid) nothing is counted.
        nominal: DVH of the segmentation.
        metrics: what may be read of `changes`; those without a derivative (maximum, minimum) are left out.
        axis: voxel axis along which slices are counted.
        structure: its name.
    """
    dose = np.nan_to_num(dose_gy.astype(np.float64))
    n_inside = float(segmentation.sum(dtype=np.float64))
    inside = np.isfinite(dose_gy)
    weights = {one.text: found for one in metrics if (found := metric_weight(one, dose, nominal)) is not None}
    others = tuple(a for a in range(3) if a != axis)
    disagreement = np.zeros(segmentation.shape, dtype=np.float64)
    changes: dict[str, list[np.ndarray]] = {name: [] for name in weights}
    n = 0
    for occupancy in occupancies:
        difference = np.where(inside, occupancy - segmentation, 0.0)
        disagreement += np.abs(difference)
        for name, weight in weights.items():
            changes[name].append((weight * difference).sum(axis=others) / n_inside if n_inside else _none(weight, axis))
        n += 1
    contrast = np.abs(dose - nominal.mean_dose_gy) * disagreement / max(n, 1) if n_inside else np.zeros(dose.shape)
    return DoseSensitivity(
        structure=structure,
        contrast_gy=contrast.astype(np.float32),
        uncertainty_gy=float(contrast.sum()) / n_inside if n_inside else float("nan"),
        changes={name: np.stack(rows) for name, rows in changes.items() if rows},
        axis=axis,
        n=n,
    )


def slice_review(changes: Float64[np.ndarray, "m z"]) -> SliceReview:
    """Find the slice whose review would reduce the variance of a metric most.

    A reviewed slice is the same in all members, so it no longer contributes: what goes is
    Var(sum of all) - Var(sum of the others). Slices whose changes cancel others' can make the variance grow.
    """
    if len(changes) < 2 or not np.isfinite(changes).all():
        return SliceReview(slice_index=None, share=float("nan"), sd=float("nan"))
    total = changes.sum(axis=1)
    variance = float(total.var(ddof=1))
    if variance <= 1e-18:
        return SliceReview(slice_index=None, share=0.0, sd=0.0)
    without = (total[:, np.newaxis] - changes).var(axis=0, ddof=1)
    best = int(np.argmin(without))
    return SliceReview(slice_index=best, share=float(1 - without[best] / variance), sd=float(np.sqrt(variance)))


def dose_on_grid(
    dose: Dose, geometry: Geometry, *, interpolation: Interpolation = "linear"
) -> Float32[np.ndarray, "i j k"]:
    """Dose in Gy at the voxel centres of another grid; NaN beyond the dose grid."""
    field = DoseField.of(dose, interpolation=interpolation)
    matrix = field.from_frame(geometry.affine)
    found = np.full(geometry.shape, np.nan, dtype=np.float32)
    for i in range(geometry.shape[0]):
        j, k = np.meshgrid(np.arange(geometry.shape[1]), np.arange(geometry.shape[2]), indexing="ij")
        centres = np.stack([np.full(j.size, float(i)), j.ravel().astype(float), k.ravel().astype(float)], axis=1)
        points = centres @ matrix[:, :3].T + matrix[:, 3]
        inside = field.inside(points)
        plane = np.full(len(points), np.nan)
        plane[inside] = field.at(points[inside])
        found[i] = plane.reshape(geometry.shape[1:])
    return found


DoseScore = Callable[[DoseSensitivity], float]
DOSE_SCORES: Catalogue[DoseScore] = Catalogue("dose-aware score")


@DOSE_SCORES.add(unit="Gy", higher_is="worse", source="unpublished", label="dose-aware uncertainty")
def dose_aware_uncertainty(sensitivity: DoseSensitivity) -> float:
    """S_dose: change of the mean dose if every disagreement on the boundary pointed the same way. 0 if nobody does."""
    return sensitivity.uncertainty_gy


@DOSE_SCORES.add(unit="Gy", higher_is="worse", source="unpublished", label="first-order SD of the mean dose")
def first_order_mean_dose_sd(sensitivity: DoseSensitivity) -> float:
    """SD of the mean dose over the members, by the shape derivative. NaN with one member."""
    changes = sensitivity.changes.get(MEAN_DOSE)
    return float("nan") if changes is None else slice_review(changes).sd


@DOSE_SCORES.add(unit="1", higher_is="neither", source="unpublished", label="variance settled by one slice")
def review_slice_share(sensitivity: DoseSensitivity) -> float:
    """Part of the variance of the mean dose that goes if the one slice that matters most is settled."""
    changes = sensitivity.changes.get(MEAN_DOSE)
    return float("nan") if changes is None else slice_review(changes).share


def _none(weight: np.ndarray, axis: int) -> Float64[np.ndarray, "z"]:
    return np.full(weight.shape[axis], np.nan)
