"""From probabilities to a mask: which voxels belong to the structure depends on what the mask is for.

The most probable class is best where each voxel counts alone. For Dice, more is better: a voxel belongs to the mask
from about half the Dice that can be expected, at most p = 0.5. A volume is neither: it is the sum of the probabilities.

Voxels are taken to be independent given their probabilities. Where they come and go in blocks, decode joint samples
with `minimum_bayes_risk` instead.

Masks of exclusive classes may overlap when each structure is decoded alone; see `without_overlap`.

Sources: Dai and Li 2023, arXiv:2206.13086 (RankSEG); Nordström et al. 2022, arXiv:2206.06484 (volumes).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import roots_legendre

from plausible.core import Catalogue, Member

N_EXACT = 500
"""Voxels up to which the expected Dice is exact. Beyond, it is a series, whose error is below 1e-6."""
FEW = 100
"""Expected size in voxels below which the series is not trusted for the first `N_EXACT` of them."""
N_NODES = 128

Decoding: TypeAlias = Callable[..., Bool[np.ndarray, "s i j k"]]

DECODINGS: Catalogue[Decoding] = Catalogue("decoding")


@DECODINGS.add(unit="1", higher_is="neither", source="Bayes rule of the error rate")
def most_probable(pooled: Member) -> Bool[np.ndarray, "s i j k"]:
    """Masks by the most probable class, or p > 0.5 for overlapping regions; equal ones go to the class named first."""
    return pooled.classes.masks(pooled.probabilities)


@DECODINGS.add(unit="1", higher_is="neither", source="definition")
def above_threshold(pooled: Member, *, threshold: float) -> Bool[np.ndarray, "s i j k"]:
    """Voxels whose probability is above a threshold, each structure alone.

    Raises:
        ValueError: a threshold that is not from 0 up to but without 1.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must lie from 0 up to 1, got {threshold}")
    return _structures(pooled) > threshold


@DECODINGS.add(unit="1", higher_is="neither", source="Dai and Li 2023, arXiv:2206.13086", label="Dice-optimal")
def dice_optimal(pooled: Member) -> Bool[np.ndarray, "s i j k"]:
    """Masks with the largest Dice that can be expected if voxels are independent, each structure alone.

    The k most probable voxels, see `best_dice`. Of equally probable voxels the first ones are taken.
    """
    return np.stack([best_dice(p).mask for p in _structures(pooled)])


@dataclass(frozen=True, slots=True, eq=False)
class BestDice:
    """The mask of the largest expected Dice.

    Attributes:
        mask: its voxels.
        expected_dice: mean Dice over truths drawn voxel by voxel; two empty masks count 1.
        n_voxels: how many of the most probable voxels it holds.
    """

    mask: Bool[np.ndarray, "i j k"]
    expected_dice: float
    n_voxels: int


def best_dice(p: Float[np.ndarray, "i j k"]) -> BestDice:
    """Find the set S that maximises E[2 |S ∩ Y| / (|S| + |Y|)] over independent Y, by the ranks of p.

    The empty mask scores the probability that nothing is there, Π (1 - p).
    """
    flat = p.ravel()
    order = np.argsort(-flat, kind="stable")
    ranked = flat[order[: np.count_nonzero(flat > 0)]].astype(np.float64)
    expected = np.concatenate([[np.prod(1 - ranked)], expected_dice(ranked)])
    k = int(np.argmax(expected))
    mask = np.zeros(flat.shape, dtype=bool)
    mask[order[:k]] = True
    return BestDice(mask.reshape(p.shape), float(expected[k]), k)


def expected_dice(ranked: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Expected Dice of the first k voxels, k = 1 to n, if voxels are independent.

    E[|S ∩ Y| / (k + |Y|)] = ∫ t^k Π_j (1 - p_j + p_j t) Σ_{i ≤ k} p_i / (1 - p_i + p_i t) dt from 0 to 1: a polynomial
    of degree 2n - 1 at most, which n nodes of Gauss integrate exactly. Beyond `N_EXACT` voxels the size of Y is close
    to its mean, and a series around it takes over, unless few of them can be expected to be there.

    Args:
        ranked: probabilities, in the order in which voxels are taken; without zeros, which change nothing.
    """
    if not len(ranked):
        return np.zeros(0)
    if len(ranked) <= N_EXACT:
        return _integrated(ranked, n_first=len(ranked), n_nodes=len(ranked))
    expected = _series(ranked)
    if ranked.sum() < FEW:
        expected[:N_EXACT] = _integrated(ranked, n_first=N_EXACT, n_nodes=N_NODES)
    return expected


def without_overlap(
    masks: Bool[np.ndarray, "s i j k"], probabilities: Float[np.ndarray, "s i j k"]
) -> Bool[np.ndarray, "s i j k"]:
    """Give each voxel that several masks claim to the one with the largest probability there; the first of equals."""
    claimed = np.where(masks, probabilities, -1.0)
    winner = claimed.argmax(axis=0)
    return masks & (winner == np.arange(len(masks))[:, np.newaxis, np.newaxis, np.newaxis])


def _structures(pooled: Member) -> Float[np.ndarray, "s i j k"]:
    return pooled.probabilities[1:] if pooled.classes.exclusive else pooled.probabilities


def _integrated(p: Float[np.ndarray, " n"], *, n_first: int, n_nodes: int) -> Float[np.ndarray, " k"]:
    """Expected Dice of the first 1, 2, ... voxels, by Gauss-Legendre nodes."""
    nodes, weights = roots_legendre(n_nodes)
    t, w = (nodes + 1) / 2, weights / 2
    generating = np.array([np.log1p(-p * (1 - one)).sum() for one in t])
    k = np.arange(1, n_first + 1)[:, np.newaxis]
    first = p[:n_first, np.newaxis]
    shared = np.cumsum(first / (1 - first * (1 - t)), axis=0)
    return np.asarray(2 * (np.exp(k * np.log(t) + generating) * shared) @ w)


def _series(p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Σ p_i E[1 / (k + 1 + |Y without i|)], by the moments of |Y| around A = k + 1 + E|Y|."""
    around = np.arange(2, len(p) + 2) + p.sum()
    second, third = float((p * (1 - p)).sum()), float((p * (1 - p) * (1 - 2 * p)).sum())
    of_first = 1 / around + second / around**3 - third / around**4 + 3 * second**2 / around**5
    of_second = 1 / around**2 - 1 / around**3 + 3 * second / around**4
    ones, squares, cubes = (np.cumsum(p**power) for power in (1, 2, 3))
    return np.asarray(2 * (ones * of_first + squares * of_second + cubes * 2 / around**3))
