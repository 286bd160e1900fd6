"""What a set {p̄ ≥ t} costs one patient, as a curve over the threshold: between 0 and 1 for every loss here.

A patient without the structure has no share of it to miss: such losses are NaN there, and whoever fits says what the
patient counts as.

| loss | falls or rises with t | structure absent |
|---|---|---|
| false negative rate | rises | NaN |
| false positive rate | falls | defined |
| excess rate | falls | NaN |
| false discovery rate | neither | 1 where the set is not empty |
| Dice loss | neither | NaN where the set is empty too, else 1 |
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.calibrate.counts import ThresholdCounts, same_grid
from plausible.calibrate.patients import Patients, check_alike, check_unique
from plausible.core import Catalogue

Course: TypeAlias = Literal["rises", "falls", "neither"]


@dataclass(frozen=True, slots=True, eq=False)
class LossCurve:
    """Loss of one patient and structure at every threshold.

    Attributes:
        loss: name of the loss.
        bound: largest value that the loss can take.
        values: one per threshold; NaN where undefined.
    """

    subject: str
    structure: str
    loss: str
    thresholds: Float[np.ndarray, " t"]
    values: Float[np.ndarray, " t"]
    bound: float = 1.0


Loss: TypeAlias = Callable[[ThresholdCounts], Float[np.ndarray, " t"]]

LOSSES: Catalogue[Loss] = Catalogue("loss")


def loss_curve(counts: ThresholdCounts, *, loss: str) -> LossCurve:
    """Read the curve of a loss of the catalogue from the counts of a case."""
    values = LOSSES[loss].function(counts)
    return LossCurve(counts.subject, counts.structure, loss, counts.thresholds, values)


@LOSSES.add(unit="1", higher_is="worse", source="Angelopoulos et al. 2024, arXiv:2208.02814")
def false_negative_rate(counts: ThresholdCounts) -> Float[np.ndarray, " t"]:
    """Share of the reference that the set misses: 1 - sensitivity. Rises with the threshold; NaN without reference."""
    return 1 - _ratio(counts.inside, counts.n_reference)


@LOSSES.add(unit="1", higher_is="worse", source="Angelopoulos et al. 2024, arXiv:2208.02814")
def false_positive_rate(counts: ThresholdCounts) -> Float[np.ndarray, " t"]:
    """Share of the image outside the reference that the set takes in. Falls with the threshold.

    Depends on the field of view, as the background does; `excess_rate` does not.
    """
    return _ratio(counts.outside, int(counts.outside[0]))


@LOSSES.add(unit="1", higher_is="worse", source="unpublished")
def excess_rate(counts: ThresholdCounts) -> Float[np.ndarray, " t"]:
    """Volume that the set adds outside the reference, as a share of the reference, at most 1.

    min(1, FP / reference). Falls with the threshold; NaN without reference.
    """
    return np.asarray(np.minimum(_ratio(counts.outside, counts.n_reference), 1))


@LOSSES.add(unit="1", higher_is="worse", source="Angelopoulos et al. 2021, arXiv:2110.01052")
def false_discovery_rate(counts: ThresholdCounts) -> Float[np.ndarray, " t"]:
    """Share of the set that lies outside the reference: 1 - precision. Neither rises nor falls; 0 for the empty set."""
    size = counts.inside + counts.outside
    return np.asarray(np.divide(counts.outside, size, out=np.zeros(len(size)), where=size > 0))


@LOSSES.add(unit="1", higher_is="worse", source="Dice 1945, doi:10.2307/1932409")
def dice_loss(counts: ThresholdCounts) -> Float[np.ndarray, " t"]:
    """1 - Dice of the set and the reference. Neither rises nor falls; NaN where both are empty."""
    size = counts.inside + counts.outside + counts.n_reference
    share = np.divide(2 * counts.inside, size, out=np.full(len(size), math.nan), where=size > 0)
    return np.asarray(1 - share)


def course_of(values: Float[np.ndarray, "t s"]) -> Course:
    """Whether losses rise or fall with the threshold in every patient, or neither; "rises" if they are constant."""
    steps = np.diff(values, axis=0)
    if (steps[~np.isnan(steps)] >= 0).all():
        return "rises"
    return "falls" if (steps[~np.isnan(steps)] <= 0).all() else "neither"


def stack(curves: Sequence[LossCurve]) -> tuple[Patients, Float[np.ndarray, " t"]]:
    """Return the patients with their losses (one row per threshold), and the thresholds.

    Raises:
        ValueError: no curves, a patient twice, or curves of several structures, losses, bounds or grids.
    """
    if not curves:
        raise ValueError("there are no curves to calibrate on")
    for what in ("structure", "loss", "bound"):
        check_alike(curves, what=what, kind="curves")
    check_unique([curve.subject for curve in curves])
    thresholds = same_grid([curve.thresholds for curve in curves], what="thresholds")
    ordered = sorted(curves, key=lambda curve: curve.subject)
    values = np.stack([curve.values for curve in ordered], axis=1)
    return Patients(tuple(curve.subject for curve in ordered), values), thresholds


def _ratio(part: np.ndarray, whole: int) -> Float[np.ndarray, " t"]:
    return part / whole if whole else np.full(len(part), math.nan)
