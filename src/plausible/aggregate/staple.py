"""STAPLE: estimate the hidden truth and how well each member finds it, at the same time.

Each structure is a yes-or-no question. Voxels on which the members decided alike are alike to the estimate, so that it
is made from counts: M members have few combinations of decisions, however many voxels there are.

The share of the structure in the image is the prior, and the background in view enters every specificity: a crop
changes the result. Two members alone cannot tell who of them is right: take three or more. Structures that nobody drew
are not estimated; published code estimates them all the same, and one absent structure turned the whole consensus into
background.

Sources: Warfield et al. 2004, doi:10.1109/TMI.2004.828354.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.special import expit

from plausible.aggregate.pooling import POOLS, as_pool, channels_of
from plausible.aggregate.stack import MaskStack
from plausible.core import Member, Members, collect

START = 0.99999
"""Sensitivity and specificity before the first step, as in ITK."""
TOLERANCE = 1e-10
SMALLEST = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class StapleEstimate:
    """The estimated truth and the performance of each member against it.

    Attributes:
        structures: organs and targets.
        members: names of the members.
        sensitivity: share of the estimated truth that each member marked; NaN for a structure that nobody drew.
        specificity: share of the estimated background that each member left out; NaN likewise.
        n_steps: steps of expectation maximisation; 0 for a structure that nobody drew.
        converged: whether the last step changed less than 1e-10.
        pooled: probability of the truth.
    """

    structures: tuple[str, ...]
    members: tuple[str, ...]
    sensitivity: Float[np.ndarray, "s m"]
    specificity: Float[np.ndarray, "s m"]
    n_steps: tuple[int, ...]
    converged: tuple[bool, ...]
    pooled: Member


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    sensitivity: Float[np.ndarray, " m"]
    specificity: Float[np.ndarray, " m"]
    n_steps: int
    converged: bool
    probability: Float[np.ndarray, " p"]


def estimate_staple(members: Members, *, max_steps: int = 500, slab_voxels: int | None = None) -> StapleEstimate:
    """Estimate the truth behind the members' masks.

    Args:
        members: the plausible segmentations; one is in memory at a time, of all only the masks, one bit a voxel.
        max_steps: steps of expectation maximisation at most.
        slab_voxels: read in slabs of about this many voxels.

    Returns:
        The estimate. Exclusive classes: each structure is estimated alone, the background is what is left; where the
        structures sum to more than 1 they are divided by their sum.
    """
    stack = collect(members, MaskStack, slab_voxels=slab_voxels)[MaskStack]
    truth = np.zeros((len(stack.structures), *stack.shape), np.float32)
    fits = []
    for s in range(len(stack.structures)):
        decisions, counts, places = stack.patterns(s)
        fits.append(_fit(decisions, counts, max_steps=max_steps) if len(places) else _nothing(len(stack.members)))
        truth[s] = fits[-1].probability[0]
        truth[s][stack.union(s)] = fits[-1].probability[places]
    return StapleEstimate(
        stack.structures,
        stack.members,
        np.array([fit.sensitivity for fit in fits]),
        np.array([fit.specificity for fit in fits]),
        tuple(fit.n_steps for fit in fits),
        tuple(fit.converged for fit in fits),
        as_pool(channels_of(truth, members.classes), members, "staple"),
    )


@POOLS.add(unit="1", higher_is="neither", source="Warfield et al. 2004, doi:10.1109/TMI.2004.828354", label="STAPLE")
def staple(members: Members, *, max_steps: int = 500, slab_voxels: int | None = None) -> Member:
    """Probability of the hidden truth, each member weighted by how well it finds it; see `estimate_staple`."""
    return estimate_staple(members, max_steps=max_steps, slab_voxels=slab_voxels).pooled


def _nothing(n_members: int) -> _Fit:
    undefined = np.full(n_members, np.nan)
    return _Fit(undefined, undefined, 0, True, np.zeros(1))


def _fit(decisions: Bool[np.ndarray, "m p"], counts: Int64[np.ndarray, " p"], *, max_steps: int) -> _Fit:
    yes, n = decisions.astype(np.float64), counts.astype(np.float64)
    prior = float((yes.mean(axis=0) @ n) / n.sum())
    sensitivity = specificity = np.full(len(yes), START)
    probability, step, converged = _expected(yes, sensitivity, specificity, prior), 0, False
    while not converged and step < max_steps:
        inside, outside = n * probability, n * (1 - probability)
        found, left = yes @ inside / inside.sum(), (1 - yes) @ outside / max(outside.sum(), SMALLEST)
        change = max(np.abs(found - sensitivity).max(), np.abs(left - specificity).max())
        sensitivity, specificity, step, converged = found, left, step + 1, bool(change < TOLERANCE)
        probability = _expected(yes, sensitivity, specificity, prior)
    return _Fit(sensitivity, specificity, step, converged, probability)


def _expected(
    yes: Float[np.ndarray, "m p"],
    sensitivity: Float[np.ndarray, " m"],
    specificity: Float[np.ndarray, " m"],
    prior: float,
) -> Float[np.ndarray, " p"]:
    """Probability of the truth for each combination of decisions."""
    chances = np.array([sensitivity, 1 - sensitivity, 1 - specificity, specificity])
    found, missed, added, left = np.log(np.maximum(chances, SMALLEST))
    odds = math.log(max(prior, SMALLEST)) - math.log(max(1 - prior, SMALLEST))
    return np.asarray(expit(odds + (found - added) @ yes + (missed - left) @ (1 - yes)))
