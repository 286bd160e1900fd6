"""The voxel measures once more, in float64, straight from their definitions over all members at once."""

import numpy as np
from scipy.special import entr, rel_entr, xlogy

FLOOR = 1 / 131070
DISAGREEMENT = {"mutual_information", "variance", "expected_pairwise_kl"}


def outcomes(stack: np.ndarray, *, exclusive: bool) -> np.ndarray:
    """Distributions m o f i j k: over the classes, or over present and absent of each region."""
    return stack[:, :, np.newaxis] if exclusive else np.stack([stack, 1 - stack], axis=1)


def divergence(q: np.ndarray, other: np.ndarray) -> np.ndarray:
    floored = np.maximum(q, FLOOR), np.maximum(other, FLOOR)
    return (xlogy(q, floored[0]) - xlogy(q, floored[1])).sum(axis=0)


def exact_maps(stack: np.ndarray, *, exclusive: bool) -> dict[str, np.ndarray]:
    """Every measure of `m c i j k`; mutual information as the mean divergence of the members from their mean."""
    stack = stack.astype(np.float64)
    q = outcomes(stack, exclusive=exclusive)
    mean = q.mean(axis=0)
    winners = stack.argmax(axis=1)
    masks = np.stack([winners == c for c in range(1, stack.shape[1])], axis=1) if exclusive else stack > 0.5
    return {
        "mean_probability": stack.mean(axis=0),
        "predictive_entropy": entr(mean).sum(axis=0),
        "expected_entropy": np.mean([entr(one).sum(axis=0) for one in q], axis=0),
        "mutual_information": np.mean([rel_entr(one, mean).sum(axis=0) for one in q], axis=0),
        "one_minus_max_probability": 1 - mean.max(axis=0),
        "variance": np.var(q, axis=0).sum(axis=0) / 2,
        "expected_pairwise_kl": np.mean([divergence(one, other) for one in q for other in q], axis=0),
        "vote_share": masks.mean(axis=0),
    }
