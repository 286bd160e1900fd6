"""Shifted copies of test images: artefacts that change the image and not the anatomy, so that references stay right.

Each case gets one artefact, in turn, by its number in the sorted list; noise is drawn by that number.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from plausible.core import Image
from plausible.simulate.artefacts import bias_field, ghosting, rician_noise, thick_slices

SHIFTS: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    bias_field,
    ghosting,
    rician_noise,
    thick_slices,
)


def shifted(image: Image, number: int) -> tuple[Image, str]:
    """Return the image with the artefact of its number, and the name of the artefact."""
    artefact = SHIFTS[number % len(SHIFTS)]
    rng = np.random.default_rng([7, number])
    values = np.stack([artefact(channel.astype(float), rng) for channel in image.values])
    return replace(image, values=values.astype(np.float32)), artefact.__name__
