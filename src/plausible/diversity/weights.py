"""How alike are two networks inside? Features, weights and the loss between two sets of weights, as plain arrays.

Members whose predictions agree may have other features, and weights that differ in every number may give one and the
same function: what is compared here explains diversity, the predictions decide about it.

`plausible.train.inside` gets features and losses out of a model of ours.
"""

import numpy as np
from jaxtyping import Float


def linear_cka(x: Float[np.ndarray, "n p"], y: Float[np.ndarray, "k q"]) -> float:
    """Centred kernel alignment of two sets of features of the same examples: are they one up to rotation and scale?

    ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of the centred features, from 0 (nothing in common) to 1 (equal up to rotation, scale and
    shift). NaN where features do not vary. Biased towards 1 where there are more features than examples.

    Args:
        x: one row per example (a voxel of a patch, say), one column per feature.
        y: features of the same examples by another network.

    Raises:
        ValueError: another number of examples.

    Source: Kornblith et al. 2019, arXiv:1905.00414.
    """
    if len(x) != len(y):
        raise ValueError(f"features of {len(x)} and {len(y)} examples: they must be the same examples")
    x, y = (np.asarray(f, np.float64) - np.mean(f, axis=0, dtype=np.float64) for f in (x, y))
    own = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return float(np.linalg.norm(y.T @ x) ** 2 / own) if own > 0 else float("nan")


def loss_barrier(losses: Float[np.ndarray, " t"]) -> float:
    """Highest rise of the loss above the straight line between its ends, from one member's weights to another's.

    max_t [L(t) - ((1 - t) L(0) + t L(1))] at evenly spaced t. 0 where the loss is convex along the way, as for two
    members in one basin; large between independently trained networks.

    Args:
        losses: at evenly spaced weights (1 - t) a + t b, t from 0 to 1, both ends included.

    Raises:
        ValueError: fewer than three losses.

    Source: Frankle et al. 2020, arXiv:1912.05671; Garipov et al. 2018, arXiv:1802.10026.
    """
    if len(losses) < 3:
        raise ValueError(f"{len(losses)} losses: a barrier needs both ends and at least one in between")
    t = np.linspace(0, 1, len(losses))
    return float(max(0.0, (losses - ((1 - t) * losses[0] + t * losses[-1]))[1:-1].max()))


def weight_cosine(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " k"]) -> float:
    """Cosine of two sets of weights, all in one row.

    1 for the same direction, about 0 for independently trained networks. Renumbering the channels of a network changes
    it and nothing else: it is trivia between independent trainings, and tells something between members of one.
    NaN if a set is all zeros.

    Raises:
        ValueError: another number of weights.
    """
    if a.shape != b.shape:
        raise ValueError(f"{a.size} and {b.size} weights: networks of two architectures cannot be compared so")
    both = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b / both) if both > 0 else float("nan")
