"""If a human corrects the most uncertain voxels, lesions or patients first, how fast does the result get good?

Error retention: the most uncertain share is replaced by the truth, and the score of the whole is drawn against the
share *retained*, from 1 (the prediction as it is) to 0 (the truth). Beside it stand two curves of the same errors:
`ideal`, where errors are the most uncertain, and `random`, where uncertainty tells nothing.

What is equally uncertain cannot be told apart: a tied group is corrected evenly, so that the order of voxels or files
never matters and a constant map gives the random curve. A score that is undefined when all is corrected (no reference,
no detected lesion) makes the curve NaN there, and its area NaN.

Sources: Molchanova et al. 2025, arXiv:2311.08931 (curves for lesions of multiple sclerosis); Raina et al. 2023,
arXiv:2302.05432 (nDSC).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64

from plausible.core import Catalogue

N_SHARES = 400
"""Points of a curve, as published."""
LESION_LOAD = 0.001
"""Share of lesion voxels that nDSC scales false positives to."""

Mask: TypeAlias = Bool[np.ndarray, "i j k"]


@dataclass(frozen=True, slots=True, eq=False)
class Retention:
    """Score against the share that is kept as predicted, the rest being replaced by the truth.

    Attributes:
        retained: share kept, from 0 to 1.
        score: ordered by the uncertainty.
        ideal: errors are corrected first.
        random: in no order.
        n: what was ordered: voxels, lesions or patients.
    """

    retained: Float64[np.ndarray, " p"]
    score: Float64[np.ndarray, " p"]
    ideal: Float64[np.ndarray, " p"]
    random: Float64[np.ndarray, " p"]
    n: int


def voxel_retention(
    prediction: Mask,
    reference: Mask,
    uncertainty: Float[np.ndarray, "i j k"],
    *,
    lesion_load: float | None = None,
    within: Mask | None = None,
    n_shares: int = N_SHARES,
) -> Retention:
    """Dice, or nDSC, as the most uncertain voxels are corrected (DSC-RC, nDSC-RC).

    nDSC = 2 TP / (2 TP + k FP + FN) with k = (1 - ρ) N₁ / (ρ N₀): false positives weigh as if the share ρ of all
    voxels were lesion, so that large and small lesion loads compare.

    Args:
        prediction: mask of a structure.
        reference: the true mask.
        uncertainty: of each voxel, higher is less sure.
        lesion_load: ρ of nDSC, published with 0.001; None gives Dice.
        within: voxels that count; None counts all.
        n_shares: points of the curve.

    Raises:
        ValueError: a lesion load that is not between 0 and 1.
    """
    if lesion_load is not None and not 0 < lesion_load < 1:
        raise ValueError(f"lesion_load must lie between 0 and 1, got {lesion_load}")
    chosen = np.ones(reference.shape, dtype=bool) if within is None else within
    p, y, u = prediction[chosen], reference[chosen], uncertainty[chosen]
    n_true, n_false = np.count_nonzero(y), np.count_nonzero(~y)
    weight = 1.0
    if lesion_load is not None:
        weight = (1 - lesion_load) * n_true / (lesion_load * n_false) if n_false else 0.0

    def dice(false_positives: np.ndarray, misses: np.ndarray) -> np.ndarray:
        right = 2.0 * (n_true - misses)
        return _ratio(right, right + weight * false_positives + misses) if n_true else _undefined(misses)

    return _retention(u, (p & ~y, y & ~p), dice, n_shares)


def lesion_retention(
    uncertainty: Float[np.ndarray, " l"], is_true: Bool[np.ndarray, " l"], *, n_shares: int = N_SHARES
) -> Retention:
    """Positive predictive value of predicted lesions as the most uncertain are checked (LPPV-RC).

    Checking a lesion removes it if it is false and keeps it if it is true.

    Args:
        uncertainty: of each predicted lesion.
        is_true: whether the lesion is one of the reference.
        n_shares: points of the curve.
    """
    n_found = np.count_nonzero(is_true)

    def predictive_value(false: np.ndarray) -> np.ndarray:
        return _ratio(np.full(len(false), float(n_found)), n_found + false)

    return _retention(uncertainty, (~is_true,), predictive_value, n_shares)


def patient_retention(
    uncertainty: Float[np.ndarray, " s"], dice: Float[np.ndarray, " s"], *, n_shares: int = N_SHARES
) -> Retention:
    """Mean Dice over patients as the most uncertain ones are contoured by hand, with a Dice of 1 (patient DSC-RC).

    Args:
        uncertainty: of each patient; patients without uncertainty or Dice are left out.
        dice: of each patient, or another score whose best value is 1.
        n_shares: points of the curve.
    """
    known = ~(np.isnan(uncertainty) | np.isnan(dice))
    n = int(np.count_nonzero(known))

    def mean(losses: np.ndarray) -> np.ndarray:
        return 1 - losses / n if n else _undefined(losses)

    return _retention(uncertainty[known], (1 - dice[known],), mean, n_shares)


RetentionScore: TypeAlias = Callable[..., float]

RETENTION_SCORES: Catalogue[RetentionScore] = Catalogue("retention score")


@RETENTION_SCORES.add(
    unit="1", higher_is="better", source="Molchanova et al. 2025, arXiv:2311.08931", label="area under retention"
)
def area_under_retention(curve: Retention) -> float:
    """Score averaged over every share retained, from 0 to 1: 1 is perfect at once.

    It rewards few errors and knowing where they are; `normalized_retention_gain` the second alone. NaN where the curve
    is. Some papers print 1 minus it, the area above the curve.
    """
    return float(np.trapezoid(curve.score, curve.retained))


@RETENTION_SCORES.add(unit="1", higher_is="better", source="unpublished", label="retention gain")
def normalized_retention_gain(curve: Retention) -> float:
    """How much of the possible gain the order brings: (area - random) / (ideal - random).

    1 corrects every error first, 0 as in no order, below 0 worse. NaN if there are no errors, or the curve is NaN.
    """
    ideal, none = (float(np.trapezoid(values, curve.retained)) for values in (curve.ideal, curve.random))
    return (area_under_retention(curve) - none) / (ideal - none) if ideal > none else math.nan


def _retention(
    uncertainty: np.ndarray, losses: tuple[np.ndarray, ...], score: Callable[..., np.ndarray], n_shares: int
) -> Retention:
    """The curve of a score that is made of sums of losses over what is retained."""
    retained = np.linspace(0, 1, n_shares)
    anything = np.sum(losses, axis=0)
    orders = (uncertainty, anything, np.zeros(len(uncertainty)))
    curves = [score(*(_kept(order, loss, retained) for loss in losses)) for order in orders]
    return Retention(retained, curves[0], curves[1], curves[2], len(uncertainty))


def _kept(uncertainty: np.ndarray, loss: np.ndarray, retained: np.ndarray) -> Float64[np.ndarray, " p"]:
    """Sum of a loss over the least uncertain share; within a tied group it grows evenly."""
    _, place, count = np.unique(uncertainty, return_inverse=True, return_counts=True)
    sums = np.bincount(place, weights=loss, minlength=len(count))
    reached = np.append(0, np.cumsum(count))
    return np.interp(retained * reached[-1], reached, np.append(0.0, np.cumsum(sums)))


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float64[np.ndarray, " p"]:
    return np.asarray(np.divide(part, whole, out=_undefined(part), where=whole > 0))


def _undefined(like: np.ndarray) -> Float64[np.ndarray, " p"]:
    return np.full(len(like), np.nan)
