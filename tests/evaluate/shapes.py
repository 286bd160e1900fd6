"""Masks to score: an ellipsoid on an anisotropic grid, and the same one damaged more and more."""

import numpy as np

SHAPE = (15, 17, 21)
SPACING = (0.7, 1.1, 3.0)


def ellipsoid(shape=SHAPE) -> np.ndarray:
    i, j, k = np.indices(shape)
    return ((i - 7) / 5) ** 2 + ((j - 8) / 6) ** 2 + ((k - 10) / 7) ** 2 < 1


def damaged(mask: np.ndarray, *, steps: int) -> np.ndarray:
    """Slices cut off one end."""
    lost = mask.copy()
    first = int(np.flatnonzero(mask.any(axis=(1, 2)))[0])
    lost[: first + steps] = False
    return lost


def one_voxel(shape=SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[3, 4, 5] = True
    return mask
