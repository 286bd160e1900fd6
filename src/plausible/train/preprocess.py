"""From an image's own grid to the network's, and back: orientation, spacing, intensities.

Axes are turned (never interpolated) to left-right, back-front, foot-head, so that files of any orientation look alike
to the network. Resampling keeps the extent of the grid: voxels are cells, not points. Images with cubic splines, labels
linearly per value, probabilities linearly; along an axis more than three times as coarse as the finest, linearly.
"""

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, Integer, Num
from nibabel.orientations import io_orientation
from scipy.ndimage import zoom

from plausible.core import Geometry, Image
from plausible.train.grid import Grid

ANISOTROPIC = 3.0
Order = Literal[0, 1, 3]
Orientation: TypeAlias = tuple[tuple[int, int, int], tuple[bool, bool, bool]]


def orientation_of(geometry: Geometry) -> Orientation:
    """Return which voxel axis runs closest to left-right, back-front and foot-head, and whether it runs backwards."""
    found = io_orientation(geometry.affine)
    axes = [int(np.flatnonzero(found[:, 0] == world)[0]) for world in range(3)]
    flips = [bool(found[axis, 1] < 0) for axis in axes]
    return (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2])


def turn(array: Num[np.ndarray, "c i j k"], orientation: Orientation) -> Num[np.ndarray, "c x y z"]:
    """View of an array with its voxel axes turned to left-right, back-front, foot-head; writing to it turns back."""
    axes, flips = orientation
    turned = array.transpose(0, *(axis + 1 for axis in axes))
    return turned[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in flips))]


def target_shape(geometry: Geometry, spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Shape of the turned grid at the target spacing; at least one voxel along each axis."""
    axes, _ = orientation_of(geometry)
    size = np.asarray(geometry.shape) * np.asarray(geometry.spacing_mm)
    i, j, k = (max(1, round(float(size[axis]) / step)) for axis, step in zip(axes, spacing_mm, strict=True))
    return i, j, k


def prepare_image(image: Image, plan: Grid) -> Float32[np.ndarray, "c x y z"]:
    """Turn, resample and normalise an image as the network wants it."""
    turned = turn(image.values, orientation_of(image.geometry))
    shape = target_shape(image.geometry, plan.spacing_mm)
    coarse = _coarse_axis(image.geometry, plan.spacing_mm)
    prepared = np.empty((len(turned), *shape), dtype=np.float32)
    for c, channel in enumerate(turned):
        resampled = resample(channel.astype(np.float32), shape, order=3, linear_axis=coarse)
        prepared[c] = normalise(resampled, plan, channel=c)
    return prepared


def prepare_labels(
    values: Integer[np.ndarray, "i j k"], geometry: Geometry, plan: Grid
) -> Integer[np.ndarray, "x y z"]:
    """Turn and resample a label map: the value with the largest linear share of each new voxel."""
    turned = turn(values[None], orientation_of(geometry))[0]
    shape = target_shape(geometry, plan.spacing_mm)
    if turned.shape == shape:
        return np.ascontiguousarray(turned)
    found = np.unique(turned)
    shares = np.stack([resample((turned == v).astype(np.float32), shape, order=1) for v in found])
    winner: np.ndarray = found[shares.argmax(axis=0)]
    return winner


def restore(
    probabilities: Float32[np.ndarray, "c x y z"], geometry: Geometry, *, exclusive: bool
) -> Float32[np.ndarray, "c i j k"]:
    """Bring probabilities linearly back onto the image's own grid."""
    orientation = orientation_of(geometry)
    i, j, k = (geometry.shape[axis] for axis in orientation[0])
    restored = np.empty((len(probabilities), *geometry.shape), dtype=np.float32)
    for turned, channel in zip(turn(restored, orientation), probabilities, strict=True):
        turned[...] = resample(channel, (i, j, k), order=1)
    if probabilities.shape[1:] != (i, j, k):
        np.clip(restored, 0, 1, out=restored)
        if exclusive:
            restored /= restored.sum(axis=0, keepdims=True)
    return restored


def resample(
    values: Float32[np.ndarray, "i j k"], shape: tuple[int, int, int], *, order: Order, linear_axis: int | None = None
) -> Float32[np.ndarray, "x y z"]:
    """Resample to a shape over the same extent with splines of an order; `linear_axis` is linear whatever the order."""
    if values.shape == shape:
        return values
    factors = [new / old for new, old in zip(shape, values.shape, strict=True)]
    if linear_axis is None:
        return _zoom(values, factors, order=order)
    within = [1.0 if axis == linear_axis else factor for axis, factor in enumerate(factors)]
    across = [factor if axis == linear_axis else 1.0 for axis, factor in enumerate(factors)]
    return _zoom(_zoom(values, within, order=order), across, order=1 if order else 0)


def normalise(values: Float32[np.ndarray, "i j k"], plan: Grid, *, channel: int) -> Float32[np.ndarray, "i j k"]:
    """Normalise one channel as its name in the dataset asks for.

    A masked image (a quarter or more of the training images' voxels exactly 0) has its z-score from the other voxels.
    """
    told = plan.channels[channel]
    if told.scheme == "none":
        return values
    if told.scheme == "ct":
        clipped = np.clip(values, told.percentile_00_5, told.percentile_99_5)
        return np.asarray((clipped - told.mean) / max(told.sd, 1e-8), dtype=np.float32)
    inside = values[np.abs(values) > 1e-6] if told.zero_share >= 0.25 else values
    inside = inside if inside.size else values
    mean, sd = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
    return ((values - mean) / max(sd, 1e-8)).astype(np.float32)


def _zoom(values: np.ndarray, factors: list[float], *, order: Order) -> np.ndarray:
    if all(factor == 1 for factor in factors):
        return values
    zoomed = zoom(values.astype(np.float32), factors, order=order, mode="nearest", grid_mode=True)
    return np.asarray(zoomed, dtype=np.float32)


def _coarse_axis(geometry: Geometry, spacing_mm: tuple[float, float, float]) -> int | None:
    axes, _ = orientation_of(geometry)
    for spacing in (np.asarray(geometry.spacing_mm)[list(axes)], np.asarray(spacing_mm)):
        if spacing.max() / spacing.min() > ANISOTROPIC:
            return int(spacing.argmax())
    return None
