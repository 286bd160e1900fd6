"""Shifted copies of test images: artefacts that change the image and not the anatomy, so that references stay right.

Each case gets one artefact, in turn, by its number in the sorted list; noise is drawn by that number.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.ndimage import zoom

from plausible.core import Image


def bias_field(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth gain from a third to three times along a random direction, as from a surface coil."""
    direction = rng.normal(size=3)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in values.shape), indexing="ij"), axis=-1)
    ramp = grid @ (direction / np.linalg.norm(direction))
    return np.asarray(values * np.exp(ramp * np.log(3) / np.abs(ramp).max()))


def ghosting(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every fourth line of k-space along one axis weakened to a third: copies of the object a quarter field away."""
    axis = int(rng.integers(3))
    k_space = np.fft.fftshift(np.fft.fftn(values), axes=axis)
    lines = np.ones(values.shape[axis])
    lines[::4] = 1 / 3
    centre = values.shape[axis] // 2
    lines[centre - 1 : centre + 2] = 1
    shape = [1, 1, 1]
    shape[axis] = -1
    return np.abs(np.fft.ifftn(np.fft.ifftshift(k_space * lines.reshape(shape), axes=axis)))


def noise(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rician noise of half the image's standard deviation."""
    sd = 0.5 * values.std()
    return np.hypot(values + rng.normal(0, sd, values.shape), rng.normal(0, sd, values.shape))


def thick_slices(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Slices three times as thick along one axis, interpolated back: what a fast clinical scan looks like."""
    axis = int(rng.integers(3))
    factors = [1.0, 1.0, 1.0]
    factors[axis] = 1 / 3
    coarse = zoom(values, factors, order=1, mode="nearest", grid_mode=True)
    back = [n / c for n, c in zip(values.shape, coarse.shape, strict=True)]
    return np.asarray(zoom(coarse, back, order=1, mode="nearest", grid_mode=True))


SHIFTS: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    bias_field,
    ghosting,
    noise,
    thick_slices,
)


def shifted(image: Image, number: int) -> tuple[Image, str]:
    """Return the image with the artefact of its number, and the name of the artefact."""
    artefact = SHIFTS[number % len(SHIFTS)]
    rng = np.random.default_rng([7, number])
    values = np.stack([artefact(channel.astype(float), rng) for channel in image.values])
    return replace(image, values=values.astype(np.float32)), artefact.__name__
