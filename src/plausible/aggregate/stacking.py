"""Which weights of the members would have predicted held-out cases best? Shares that minimise the log loss.

The loss of a weighted mean is convex in the weights, so there is one best value. The largest gradient bounds how far
from it a result can be, whatever the solver did.

Sources: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1 (stacking); Yao et al. 2018, doi:10.1214/17-BA1091 (of
predictive distributions).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import Bounds, LinearConstraint, minimize

from plausible.core import Member, Members
from plausible.measure import PROBABILITY_FLOOR

TOLERANCE_NAT = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class StackingWeights:
    """Weights on the simplex.

    Attributes:
        weights: by name of the member; at least 0, together 1.
        negative_log_likelihood: mean loss of the weighted mean on the held-out voxels, in nat.
        gap: the smallest possible loss is at most this much lower, in nat.
    """

    weights: dict[str, float]
    negative_log_likelihood: float
    gap: float


def truth_probability(
    members: Members, reference: Member, *, within: Bool[np.ndarray, "i j k"] | None = None
) -> Float[np.ndarray, "m n"]:
    """Probability that each member gave to what the reference says, streamed member by member.

    Exclusive classes: of the true class, one value per voxel. Overlapping regions: of present where it is, of absent
    where it is not, one value per voxel and region. Concatenate cases, and raters, along the second axis.

    Args:
        members: the predictions of a held-out case.
        reference: a rater, on the same grid and with the same classes.
        within: voxels that count; None counts all. The background is easy and drowns the rest.
    """
    chosen = np.ones(members.geometry.shape, dtype=bool) if within is None else within
    y = reference.probabilities[:, chosen]
    given = []
    for member in members:
        p = member.probabilities[:, chosen]
        true = np.take_along_axis(p, y.argmax(axis=0)[np.newaxis], axis=0)
        given.append((true if members.classes.exclusive else np.where(y > 0.5, p, 1 - p)).ravel())
    return np.array(given)


def stacking_weights(p_true: Float[np.ndarray, "m n"], *, members: tuple[str, ...]) -> StackingWeights:
    """Find the weights that minimise -(1/n) Σ_v log Σ_m w_m p_m(v).

    Args:
        p_true: `truth_probability` of held-out cases, all voxels together; floored at 1/131070.
        members: names of the members, in the order of the rows.

    Raises:
        ValueError: no voxels, or a name missing.
    """
    if not p_true.size or len(members) != len(p_true):
        raise ValueError(f"need a name per member and voxels: {len(members)} names for an array {p_true.shape}")
    p = np.maximum(p_true.astype(np.float64), PROBABILITY_FLOOR)
    found = minimize(
        _loss_and_slope,
        np.full(len(p), 1 / len(p)),
        args=(p,),
        jac=True,
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(np.ones(len(p)), 1, 1),
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    weights = _polished(np.clip(found.x, 0, None), p)
    loss, _ = _loss_and_slope(weights, p)
    return StackingWeights(dict(zip(members, weights.tolist(), strict=True)), loss, _gap(weights, p))


def _loss_and_slope(weights: np.ndarray, p: np.ndarray) -> tuple[float, np.ndarray]:
    mixed = weights @ p
    return float(-np.log(mixed).mean()), -(p / mixed).mean(axis=1)


def _polished(weights: Float[np.ndarray, " m"], p: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
    """Go on by expectation maximisation, which never raises the loss, until nothing is left to gain."""
    weights = (weights + 1e-9) / (weights + 1e-9).sum()  # what is 0 could never grow
    for _ in range(1000):
        if _gap(weights, p) < TOLERANCE_NAT:
            break
        weights = weights * (p / (weights @ p)).mean(axis=1)
    return weights / weights.sum()


def _gap(weights: Float[np.ndarray, " m"], p: Float[np.ndarray, "m n"]) -> float:
    """Bound on the loss that is left to gain: log of the largest mean ratio p_m / p̄, by Jensen's inequality."""
    return max(0.0, float(np.log((p / (weights @ p)).mean(axis=1).max())))
