"""Views of an image for test-time augmentation: the image is changed, predicted, and the prediction is changed back."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float32

from plausible.sample.sampling import Sampling

Values = Float32[np.ndarray, "n x y z"]


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at a prepared image.

    Attributes:
        name: e.g. "flip_x"; empty for the untouched image.
        apply: changes the prepared image `n x y z`; the shape stays.
        undo: changes probabilities `c x y z` of the view back onto the image's grid.
    """

    name: str
    apply: Callable[[np.ndarray], np.ndarray]
    undo: Callable[[np.ndarray], np.ndarray]


UNTOUCHED = View("", lambda values: values, lambda values: values)
"""The image as it is."""


def views_of(sampling: Sampling) -> tuple[View, ...]:
    """Return the views that are asked for, the untouched image first."""
    axes = [chosen for n in range(1, 4) for chosen in combinations("xyz", n)]
    return (UNTOUCHED, *(_flip("".join(chosen)) for chosen in axes))[: sampling.views]


def _flip(axes: str) -> View:
    places = tuple("xyz".index(axis) + 1 for axis in axes)

    def flip(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.flip(values, axis=places))

    return View(f"flip_{axes}", flip, flip)
