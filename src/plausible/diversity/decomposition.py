"""What does a mean gain over its members? Exactly their diversity: loss of the pool = mean member loss - diversity.

How much that is depends on the loss and on how members are pooled, and so the pool belongs to the name:

- Brier score and the arithmetic mean: diversity is the spread of the probabilities and needs no label.
- Cross-entropy and the geometric mean: the mean divergence of the members from their pool; needs no label.
- Cross-entropy and the arithmetic mean: depends on the label.

So a gain is bought: members that are worse by more than they are different make a worse pool. Every identity holds to
rounding for each voxel. For the cross-entropy probabilities are held above `PROBABILITY_FLOOR`, and sum to one again.

Sources: Krogh and Vedelsby 1994 (squared error); Wood et al. 2023, arXiv:2301.03962 (Bregman losses and their pools).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float64

from plausible.core import Catalogue
from plausible.measure import PROBABILITY_FLOOR


@dataclass(frozen=True, slots=True, eq=False)
class Ambiguity:
    """Loss of a pool, taken apart. One value per voxel, or their sums.

    Attributes:
        ensemble_loss: of the pool.
        member_loss: mean over the members.
        diversity: of the members, computed from its own formula where that needs no label.
    """

    ensemble_loss: Float64[np.ndarray, "*b"]
    member_loss: Float64[np.ndarray, "*b"]
    diversity: Float64[np.ndarray, "*b"]


Decompose: TypeAlias = Callable[..., Ambiguity]

DECOMPOSITIONS: Catalogue[Decompose] = Catalogue("ambiguity decomposition")

WOOD = "Wood et al. 2023, arXiv:2301.03962"


@DECOMPOSITIONS.add(unit="1", higher_is="neither", source="Krogh and Vedelsby 1994", label="Brier, arithmetic mean")
def brier_arithmetic(p: Float[np.ndarray, "m c n"], target: Float[np.ndarray, "c n"]) -> Ambiguity:
    """Brier score of the mean probability = mean Brier score - mean squared distance of a member from the mean.

    Args:
        p: probabilities of the members.
        target: 1 in the true class, 0 elsewhere; or shares of raters.
    """
    p, target = np.asarray(p, np.float64), np.asarray(target, np.float64)
    mean = p.mean(axis=0)
    return Ambiguity(
        _squared(mean, target), _squared(p, target).mean(axis=0), np.asarray(_squared(p, mean[np.newaxis]).mean(axis=0))
    )


@DECOMPOSITIONS.add(unit="nat", higher_is="neither", source=WOOD, label="cross-entropy, geometric mean")
def cross_entropy_geometric(p: Float[np.ndarray, "m c n"], target: Float[np.ndarray, "c n"]) -> Ambiguity:
    """Cross-entropy of the normalised geometric mean = mean cross-entropy - mean KL of the pool from a member.

    Args:
        p: probabilities of the members.
        target: 1 in the true class, 0 elsewhere; or shares of raters.
    """
    logs = floored_logarithms(p)
    pooled = geometric_pool(logs)
    diversity = (np.exp(pooled) * (pooled - logs)).sum(axis=1).mean(axis=0)
    return Ambiguity(_cross_entropy(pooled, target), _cross_entropy(logs, target).mean(axis=0), np.asarray(diversity))


@DECOMPOSITIONS.add(unit="nat", higher_is="neither", source=WOOD, label="cross-entropy, arithmetic mean")
def cross_entropy_arithmetic(p: Float[np.ndarray, "m c n"], target: Float[np.ndarray, "c n"]) -> Ambiguity:
    """Cross-entropy of the mean probability = mean cross-entropy - mean log ratio of mean and member at the truth.

    The diversity needs the label: members that spread over wrong classes do not help.

    Args:
        p: probabilities of the members.
        target: 1 in the true class, 0 elsewhere; or shares of raters.
    """
    logs = floored_logarithms(p)
    mean = np.log(np.exp(logs).mean(axis=0))
    diversity = (np.asarray(target, np.float64) * (mean[np.newaxis] - logs)).sum(axis=1).mean(axis=0)
    return Ambiguity(_cross_entropy(mean, target), _cross_entropy(logs, target).mean(axis=0), np.asarray(diversity))


@dataclass(frozen=True, slots=True, eq=False)
class BiasVarianceDiversity:
    """Expected loss of a pool over repeated trainings: bias + variance - diversity. One value per voxel, or their sums.

    Attributes:
        expected_loss: of the pool, mean over the trials.
        bias: loss of each kind of member's own centre over its trials, mean over the kinds.
        variance: spread of the trials around that centre, mean over the kinds.
        diversity: spread of the members around their pool, mean over the trials.
    """

    expected_loss: Float64[np.ndarray, "*b"]
    bias: Float64[np.ndarray, "*b"]
    variance: Float64[np.ndarray, "*b"]
    diversity: Float64[np.ndarray, "*b"]


def brier_bias_variance_diversity(
    p: Float[np.ndarray, "t m c n"], target: Float[np.ndarray, "c n"]
) -> BiasVarianceDiversity:
    """Take the expected Brier score of the mean probability apart.

    Trials are the same members trained again, such as with another seed; m are the kinds of member in one ensemble,
    such as folds or networks. With few trials the centre is uncertain and variance counts as bias: with t trials, bias
    is too large and variance too small by about a t-th of the variance.

    Args:
        p: probabilities by trial and kind of member.
        target: 1 in the true class, 0 elsewhere; or shares of raters.
    """
    p, target = np.asarray(p, np.float64), np.asarray(target, np.float64)
    pooled, centre = p.mean(axis=1), p.mean(axis=0)
    return BiasVarianceDiversity(
        expected_loss=_squared(pooled, target).mean(axis=0),
        bias=_squared(centre, target).mean(axis=0),
        variance=_squared(p, centre[np.newaxis]).mean(axis=(0, 1)),
        diversity=_squared(p, pooled[:, np.newaxis]).mean(axis=(0, 1)),
    )


def cross_entropy_bias_variance_diversity(
    p: Float[np.ndarray, "t m c n"], target: Float[np.ndarray, "c n"]
) -> BiasVarianceDiversity:
    """Take the expected cross-entropy of the geometric pool apart; centres are geometric too. As the Brier score's.

    Args:
        p: probabilities by trial and kind of member.
        target: 1 in the true class, 0 elsewhere; or shares of raters.
    """
    logs = floored_logarithms(p)
    pooled, centre = _normalised(logs.mean(axis=1)), _normalised(logs.mean(axis=0))
    return BiasVarianceDiversity(
        expected_loss=_cross_entropy(pooled, target).mean(axis=0),
        bias=_cross_entropy(centre, target).mean(axis=0),
        variance=_divergence(centre[np.newaxis], logs).mean(axis=(0, 1)),
        diversity=_divergence(pooled[:, np.newaxis], logs).mean(axis=(0, 1)),
    )


def floored_logarithms(p: Float[np.ndarray, "*b c n"]) -> Float64[np.ndarray, "*b c n"]:
    """Logarithms of probabilities that are at least `PROBABILITY_FLOOR` and sum to one over the classes."""
    floored = np.maximum(np.asarray(p, np.float64), PROBABILITY_FLOOR)
    return np.log(floored) - np.log(floored.sum(axis=-2, keepdims=True))


def geometric_pool(logs: Float64[np.ndarray, "m c n"]) -> Float64[np.ndarray, "c n"]:
    """Logarithm of the normalised geometric mean of probabilities given by their logarithms."""
    return _normalised(logs.mean(axis=0))


def _normalised(logs: np.ndarray) -> Float64[np.ndarray, "*b c n"]:
    return np.asarray(logs - np.log(np.exp(logs).sum(axis=-2, keepdims=True)))


def _squared(p: np.ndarray, other: np.ndarray) -> Float64[np.ndarray, "*b"]:
    return np.asarray(((p - other) ** 2).sum(axis=-2))


def _cross_entropy(logs: np.ndarray, target: np.ndarray) -> Float64[np.ndarray, "*b"]:
    return np.asarray(-(np.asarray(target, np.float64) * logs).sum(axis=-2))


def _divergence(logs: np.ndarray, others: np.ndarray) -> Float64[np.ndarray, "*b"]:
    return np.asarray((np.exp(logs) * (logs - others)).sum(axis=-2))
