"""Changes of where things are, with their inverses: mirrorings, quarter turns, rotations by a few degrees.

Mirrorings and quarter turns only rename voxels, so their inverse gives every bit back. A rotation interpolates twice:
the image with cubic splines onto a grid that is padded with 0 until nothing is cut off, and the probabilities linearly
back; as geometry the inverse is exact, and probabilities stay between 0 and 1 with the same sum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import affine_transform

from plausible.train.grid import Triple
from plausible.train.preprocess import ANISOTROPIC

Voxels: TypeAlias = tuple[int, int, int]
ANGLES = (6, -6, 12, -12, 3, -3, 9, -9)
"""Degrees about each axis in turn; training turns by up to 15."""

PLANES = {"z": (0, 1), "y": (2, 0), "x": (1, 2)}
"""Axes of the plane that turns about an axis, so that a positive angle turns the first towards the second."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A change of where things are.

    Attributes:
        name: e.g. "flip_x", "rotate_z_6".
        apply: changes the prepared image `n x y z`; the grid may grow.
        undo: brings probabilities of the changed image back onto a grid of this shape.
    """

    name: str
    apply: Callable[[np.ndarray], np.ndarray]
    undo: Callable[[np.ndarray, Voxels], np.ndarray]


def flips() -> tuple[Turn, ...]:
    """All seven mirrorings: one axis (left-right first), two, three."""
    return tuple(_flip("".join(axes)) for n in range(1, 4) for axes in combinations("xyz", n))


def rotations(spacing_mm: Triple) -> tuple[Turn, ...]:
    """Rotations about the axes, foot-head first, in planes whose spacings differ by a factor of three at most.

    Across slices further apart a rotation would tear the image, as it would in training.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    about = [axis for axis, plane in PLANES.items() if np.ptp(np.log(spacing[list(plane)])) <= np.log(ANISOTROPIC)]
    return tuple(_rotation(axis, degrees, spacing) for degrees in ANGLES for axis in about)


def quarter_turns(spacing_mm: Triple) -> tuple[Turn, ...]:
    """Turns by 90 and 270 degrees in planes of one spacing (half turns are two mirrorings)."""
    about = [axis for axis, (a, b) in PLANES.items() if np.isclose(spacing_mm[a], spacing_mm[b], rtol=1e-3)]
    return tuple(_quarters(axis, n) for n in (1, 3) for axis in about)


def _flip(axes: str) -> Turn:
    places = tuple("xyz".index(axis) + 1 for axis in axes)

    def flip(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.flip(values, axis=places))

    return Turn(f"flip_{axes}", flip, lambda found, shape: flip(found))


def _quarters(axis: str, n: int) -> Turn:
    first, second = (place + 1 for place in PLANES[axis])

    def turn(values: np.ndarray, times: int) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(values, times, axes=(first, second)))

    return Turn(f"quarter_{axis}_{90 * n}", lambda values: turn(values, n), lambda found, shape: turn(found, -n))


def _rotation(axis: str, degrees: int, spacing: Float[np.ndarray, "3"]) -> Turn:
    plane = PLANES[axis]
    angle, step = np.deg2rad(degrees), spacing[list(plane)]
    forth = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def apply(values: np.ndarray) -> np.ndarray:
        return _resampled(
            values, plane, _backwards(forth, step), _padded(values.shape[1:], plane, forth, step), order=3
        )

    def undo(found: np.ndarray, shape: Voxels) -> np.ndarray:
        return _resampled(found, plane, _backwards(forth.T, step), shape, order=1)

    return Turn(f"rotate_{axis}_{degrees}", apply, undo)


def _backwards(forth: Float[np.ndarray, "2 2"], step: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2 2"]:
    """From steps in voxels on the new grid to steps on the old one; both have their origin in the middle."""
    return forth.T * step[None, :] / step[:, None]


def _padded(
    shape: tuple[int, ...], plane: tuple[int, int], forth: Float[np.ndarray, "2 2"], step: Float[np.ndarray, "2"]
) -> Voxels:
    """Shape whose voxels reach as far as the turned corners; the padding is even, so that the middle stays."""
    size = np.asarray([shape[axis] for axis in plane])
    half = np.abs(forth) @ ((size - 1) / 2 * step) / step
    grown = size + 2 * np.maximum(0, np.ceil(half - (size - 1) / 2 - 1e-9)).astype(int)
    i, j, k = (int(grown[plane.index(axis)]) if axis in plane else shape[axis] for axis in range(3))
    return i, j, k


def _resampled(
    values: Float32[np.ndarray, "n x y z"],
    plane: tuple[int, int],
    backwards: Float[np.ndarray, "2 2"],
    shape: Voxels,
    *,
    order: Literal[1, 3],
) -> Float32[np.ndarray, "n i j k"]:
    """Each slice on its own, so that no more than one is ever held in double precision."""
    new = np.empty((values.shape[0], *shape), dtype=np.float32)
    still = 3 - sum(plane)
    layout = (0, still + 1, plane[0] + 1, plane[1] + 1)
    old_slices, new_slices = values.transpose(layout), new.transpose(layout)
    old_middle, new_middle = ((np.asarray(part.shape[2:]) - 1) / 2 for part in (old_slices, new_slices))
    offset = old_middle - backwards @ new_middle
    for channel, slices in enumerate(old_slices):
        for n, one in enumerate(slices):
            new_slices[channel, n] = affine_transform(
                one,
                backwards,
                offset,
                new_slices.shape[2:],
                order=order,
                mode="grid-constant" if order == 3 else "nearest",
            )
    return new
