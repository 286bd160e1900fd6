"""What several raters draw around a blurred object, and how uncertain that leaves each voxel: the known truth.

Raters are nested: the first draws the brightest part, the last everything that is bright at all. In the shells between
them one rater in three or two in three say yes, so that the aleatoric entropy there is H(1/3) = 0.6365 nat.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.special import entr

from plausible.simulate.objects import LEVEL, ToyObject

SHARES = (0.10, 0.55, 1.00)
"""Volume of each of three raters, as a share of the most generous one's."""


def rater_names(n_raters: int) -> tuple[str, ...]:
    """Names of the raters, the strictest first."""
    return tuple(f"rater_{n + 1}" for n in range(n_raters))


def masks_by_quantile(image: Float64[np.ndarray, "i j k"], *, n_raters: int) -> Bool[np.ndarray, "r i j k"]:
    """Masks of the published recipe: the brightest voxels, as many as each rater's share of those above `LEVEL`.

    One rater draws the voxels above `LEVEL`. Several voxels of one brightness are taken together: around a sharp object
    all raters draw the same mask.

    Source: Kahl, Lüth, Zenk, Maier-Hein, Jaeger 2024 (ValUES), arXiv:2401.08501, and its code.
    """
    if n_raters == 1:
        return (image >= LEVEL)[None]
    bright = np.count_nonzero(image >= LEVEL) / image.size
    thresholds = np.quantile(image, 1 - bright * np.asarray(shares(n_raters)))
    return np.stack([image >= threshold for threshold in thresholds])


def masks_by_radius(toy: ToyObject, *, size: int, sigma: float, n_raters: int) -> Bool[np.ndarray, "r i j k"]:
    """Masks of the clean copy: balls (or cubes) of exact radii, volumes in the proportions of the recipe.

    The largest reaches as far as the blurred object is brighter than `LEVEL`; around a sharp object all are the object.
    """
    distance, reach = toy.distance(size), toy.reach(sigma=sigma)
    radii = [reach * share ** (1 / 3) if sigma else reach for share in shares(n_raters)]
    return np.stack([distance <= radius for radius in radii])


def shares(n_raters: int) -> tuple[float, ...]:
    """Share of each rater in the largest volume: evenly from 0.1 to 1; a single rater draws all of it."""
    return tuple(np.linspace(SHARES[0], SHARES[-1], n_raters).tolist()) if n_raters > 1 else (1.0,)


def rater_fraction(masks: Bool[np.ndarray, "r i j k"]) -> Float32[np.ndarray, "i j k"]:
    """Share of the raters that say yes: the true probability of each voxel."""
    return masks.mean(axis=0, dtype=np.float64).astype(np.float32)


def aleatoric_entropy(masks: Bool[np.ndarray, "r i j k"]) -> Float32[np.ndarray, "i j k"]:
    """Entropy of the share of raters in nats: what stays uncertain with ever more data."""
    p = masks.mean(axis=0, dtype=np.float64)
    return (entr(p) + entr(1 - p)).astype(np.float32)
