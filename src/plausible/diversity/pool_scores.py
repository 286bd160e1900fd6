"""What would any few members of a pool be worth together? One function per score, cheap for thousands of subsets.

A subset is given as the share of each member (0 for those left out), and judged as the weighted mean of their
probabilities. All scores are errors: lower is better.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float64

from plausible.core import Catalogue
from plausible.diversity.pool_cases import Pool, PoolCase, Weights, decided
from plausible.diversity.sequential import mean_over_pairs
from plausible.evaluate.comparison import area
from plausible.measure import PROBABILITY_FLOOR

PoolScore: TypeAlias = Callable[[Pool, Weights], np.ndarray]
"""Columns of one value per case: one whose mean is the score, or confidence and risk, whose area is."""

POOL_SCORES: Catalogue[PoolScore] = Catalogue("pool score")


@POOL_SCORES.add(unit="nat", higher_is="worse", source="Good 1952", label="NLL")
def negative_log_likelihood(pool: Pool, weights: Weights) -> Float[np.ndarray, "1 s"]:
    """Log loss of the mean probability: -log p̄ of what the rater says, mean over the voxel set and the raters.

    From 0; p̄ is floored at 1/131070. NaN for a case in which nobody marks anything.
    """
    return np.array([[_log_loss(case, weights) for case in pool.cases]])


@POOL_SCORES.add(unit="1", higher_is="worse", source="Brier 1950", label="Brier score")
def brier_score(pool: Pool, weights: Weights) -> Float[np.ndarray, "1 s"]:
    """Squared distance of the mean probability from what the rater says, summed over classes, mean over the voxel set.

    From 0 to 2. NaN for a case in which nobody marks anything.
    """
    return np.array([[case.brier(weights) for case in pool.cases]])


@POOL_SCORES.add(
    unit="ml", higher_is="worse", source="Gneiting and Raftery 2007, doi:10.1198/016214506000001437",
    label="volume CRPS",
)  # fmt: skip
def volume_crps(pool: Pool, weights: Weights) -> Float[np.ndarray, "1 s"]:
    """CRPS of the members' volumes as a forecast of the rater's volume, mean over raters and structures.

    E|X - y| - ½ E|X - X'|, members compared with themselves too; from 0. Of one member the absolute error.
    """
    return np.array([[case.crps(weights) for case in pool.cases]])


@POOL_SCORES.add(unit="1", higher_is="worse", source="Dice 1945", label="1 - Dice")
def dice_error(pool: Pool, weights: Weights) -> Float[np.ndarray, "1 s"]:
    """1 - Dice of the mask of the mean probability, mean over raters and structures.

    From 0 to 1. Structures empty on both sides are left out; NaN if all are.
    """
    return np.array([[_dice_error(case, weights) for case in pool.cases]])


@POOL_SCORES.add(unit="risk", higher_is="worse", source="Geifman and El-Yaniv 2017, arXiv:1705.08500", label="AURC")
def area_under_risk_coverage(pool: Pool, weights: Weights) -> Float[np.ndarray, "2 s"]:
    """Mean 1 - Dice of the cases kept, averaged over every coverage, the most agreed kept first.

    The confidence is the mean pairwise Dice of the members. One member says nothing of its confidence: all its cases
    tie, and the area is its mean risk.
    """
    alone = np.count_nonzero(weights) < 2
    confidence = [0.0 if alone else agreement(case, weights) for case in pool.cases]
    return np.array([confidence, dice_error(pool, weights)[0]])


@POOL_SCORES.add(unit="1", higher_is="worse", source="unpublished", label="silent failures")
def silent_failure_rate(pool: Pool, weights: Weights) -> Float[np.ndarray, "1 s"]:
    """Share of the voxel set where all members say the same and are wrong: what no disagreement can ever show.

    From 0 to the error rate of a single member. It falls with every further member, so compare equal numbers of them.
    NaN for a case in which nobody marks anything.
    """
    return np.array([[_silent(case, np.flatnonzero(weights)) for case in pool.cases]])


def reduced(values: Float[np.ndarray, "k s"]) -> float:
    """Return the score of a pool from its columns: the mean over cases, or the area under risk and coverage."""
    if len(values) == 2:
        return area(values[0], values[1])
    known = values[0][~np.isnan(values[0])]
    return float(known.mean()) if len(known) else math.nan


def scored(pool: Pool, weights: Weights, score: str) -> float:
    """Score of the weighted mean of these members over the cases of a pool.

    Raises:
        ValueError: no such score.
    """
    return reduced(POOL_SCORES[score].function(pool, weights))


def member_values(pool: Pool, weights: Weights, score: str) -> Float[np.ndarray, " s"]:
    """Score of the single members of each case, averaged by their shares: what diversity must not cost."""
    used = np.flatnonzero(weights)
    single = [POOL_SCORES[score].function(pool, np.eye(len(weights))[m])[-1] for m in used]
    return np.asarray(weights[used] @ np.array(single))


def agreement(case: PoolCase, weights: Weights) -> float:
    """Mean of `pair_agreement` over different members, by their shares; NaN for a single one."""
    return mean_over_pairs(pair_agreement(case), weights)


def pair_agreement(case: PoolCase) -> Float64[np.ndarray, "m m"]:
    """Dice of every two members of a case, mean over structures; members that both lack a structure agree in full.

    So every pair counts, and what is known of a few members bounds what all of them will say.
    """
    return np.asarray(np.nan_to_num(case.dice, nan=1.0).mean(axis=0), np.float64)


def mean_agreement(pool: Pool) -> Float64[np.ndarray, "m m"]:
    """`pair_agreement`, mean over cases."""
    return np.mean([pair_agreement(case) for case in pool.cases], axis=0)


def _log_loss(case: PoolCase, weights: Weights) -> float:
    if not case.answers.size:
        return math.nan
    used = np.flatnonzero(weights)
    mean = weights[used].astype(np.float32) @ case.likelihood[used]
    logs = np.log(np.maximum(mean, np.float32(PROBABILITY_FLOOR)))
    return -float(np.dot(case.answers, logs)) / float(case.answers.sum(dtype=np.float64))


def _dice_error(case: PoolCase, weights: Weights) -> float:
    predicted = decided(case.mean(weights)[np.newaxis], exclusive=case.exclusive)[0]
    found = []
    for s in range(len(case.structures)):
        mask = predicted[0] == s + 1 if case.exclusive else predicted[s] == 1
        masks = case.truth[:, 0] == s + 1 if case.exclusive else case.truth[:, s] == 1
        size = mask.sum() + masks.sum(axis=1)
        found += (2 * (masks & mask).sum(axis=1)[size > 0] / size[size > 0]).tolist()
    return 1 - float(np.mean(found)) if found else math.nan


def _silent(case: PoolCase, used: np.ndarray) -> float:
    if not case.hard.shape[2]:
        return math.nan
    first = case.hard[used[0]]
    agreed = (case.hard[used] == first).all(axis=0)
    return float((agreed & (case.truth != first)).mean())
