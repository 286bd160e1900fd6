"""Artefacts that change an image and not the anatomy, so that its references stay right: failures made on purpose.

Each takes the values of one channel and a generator; channels are drawn one by one. They are coarse on purpose: a
network that was not trained with them fails on some cases, and the question is whether its uncertainty tells which.

The strengths are ours.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, zoom

from plausible.core import Catalogue, Image

Artefact: TypeAlias = Callable[[np.ndarray, np.random.Generator], np.ndarray]

ARTEFACTS: Catalogue[Artefact] = Catalogue("artefact")


@ARTEFACTS.add(unit="1", higher_is="neither", source="unpublished")
def bias_field(values: Float[np.ndarray, "i j k"], rng: np.random.Generator) -> Float[np.ndarray, "i j k"]:
    """Smooth gain from a third to three times along a random direction, as from a surface coil; for magnitudes."""
    direction = rng.normal(size=3)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in values.shape), indexing="ij"), axis=-1)
    ramp = grid @ (direction / np.linalg.norm(direction))
    return np.asarray(values * np.exp(ramp * np.log(3) / max(float(np.abs(ramp).max()), 1e-9)))


@ARTEFACTS.add(unit="1", higher_is="neither", source="unpublished")
def ghosting(values: Float[np.ndarray, "i j k"], rng: np.random.Generator) -> Float[np.ndarray, "i j k"]:
    """Every fourth line of k-space along one axis weakened to a third: copies of the object a quarter field away.

    The magnitude is taken, so that it is for intensities that are magnitudes, as of MR.
    """
    axis = int(rng.integers(3))
    k_space = np.fft.fftshift(np.fft.fftn(values), axes=axis)
    lines = np.ones(values.shape[axis])
    lines[::4] = 1 / 3
    centre = values.shape[axis] // 2
    lines[max(centre - 1, 0) : centre + 2] = 1
    shape = [1, 1, 1]
    shape[axis] = -1
    return np.abs(np.fft.ifftn(np.fft.ifftshift(k_space * lines.reshape(shape), axes=axis)))


@ARTEFACTS.add(unit="1", higher_is="neither", source="Gudbjartsson and Patz 1995, doi:10.1002/mrm.1910340618")
def rician_noise(values: Float[np.ndarray, "i j k"], rng: np.random.Generator) -> Float[np.ndarray, "i j k"]:
    """Rician noise of half the image's standard deviation; for intensities that are magnitudes."""
    sd = 0.5 * values.std()
    return np.hypot(values + rng.normal(0, sd, values.shape), rng.normal(0, sd, values.shape))


@ARTEFACTS.add(unit="1", higher_is="neither", source="unpublished")
def gaussian_noise(values: Float[np.ndarray, "i j k"], rng: np.random.Generator) -> Float[np.ndarray, "i j k"]:
    """Noise of half the image's standard deviation added to it; for intensities that may be negative, such as CT."""
    return np.asarray(values + rng.normal(0, 0.5 * values.std(), values.shape))


@ARTEFACTS.add(unit="1", higher_is="neither", source="unpublished")
def thick_slices(values: Float[np.ndarray, "i j k"], rng: np.random.Generator) -> Float[np.ndarray, "i j k"]:
    """Slices three times as thick along one axis, interpolated back: what a fast clinical scan looks like."""
    axes = [axis for axis, n in enumerate(values.shape) if n > 3] or [int(np.argmax(values.shape))]
    axis = axes[int(rng.integers(len(axes)))]
    factors = [1.0, 1.0, 1.0]
    factors[axis] = 1 / 3
    coarse = zoom(values, factors, order=1, mode="nearest", grid_mode=True)
    back = [n / c for n, c in zip(values.shape, coarse.shape, strict=True)]
    return np.asarray(zoom(coarse, back, order=1, mode="nearest", grid_mode=True))


@ARTEFACTS.add(unit="1", higher_is="neither", source="unpublished")
def blur(values: Float[np.ndarray, "i j k"], rng: np.random.Generator) -> Float[np.ndarray, "i j k"]:
    """Gaussian blur of one to two voxels, as from motion or a soft reconstruction kernel."""
    return np.asarray(gaussian_filter(values, float(rng.uniform(1, 2)), mode="nearest"))


def with_artefact(image: Image, name: str, *, seed: int, number: int) -> Image:
    """Return a copy of an image with an artefact in every channel; the same seed and number give the same copy.

    Args:
        image: what is spoilt.
        name: one of `ARTEFACTS`.
        seed: of what is drawn at random.
        number: of the image among its study.
    """
    artefact, rng = ARTEFACTS[name].function, np.random.default_rng([7, seed, number])
    values = np.stack([artefact(channel.astype(np.float64), rng) for channel in image.values])
    return replace(image, values=values.astype(np.float32))
